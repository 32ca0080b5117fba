//! Tells the crate a digest of the migrations, so that a template database made from others is
//! never taken for the present schema, not even while a migration is being written.

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

fn main() {
    let migrations = Path::new("../migration/src");
    println!("cargo::rerun-if-changed={}", migrations.display());
    let mut digest = DefaultHasher::new();
    add(migrations, &mut digest);
    println!("cargo::rustc-env=SCHEMA_DIGEST={:016x}", digest.finish());
}

fn add(folder: &Path, digest: &mut DefaultHasher) {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the migration crate lies beside this one")
        .map(|entry| entry.expect("its sources can be listed").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add(&path, digest);
        } else {
            digest.write(&std::fs::read(&path).expect("its sources can be read"));
        }
    }
}

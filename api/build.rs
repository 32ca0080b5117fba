//! Tells the crate a digest of what its answers are made by, so that no cache takes an answer of
//! another build for one of this.

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

fn main() {
    let mut digest = DefaultHasher::new();
    for folder in ["src", "../entity/src"] {
        println!("cargo::rerun-if-changed={folder}");
        add(Path::new(folder), &mut digest);
    }
    // Other versions of what we build on may write the same thing differently.
    println!("cargo::rerun-if-changed=../Cargo.lock");
    digest.write(&std::fs::read("../Cargo.lock").unwrap_or_default());
    for variable in ["CARGO_PKG_VERSION", "PROFILE", "TARGET"] {
        digest.write(std::env::var(variable).unwrap_or_default().as_bytes());
    }
    println!(
        "cargo::rustc-env=RESPONSE_REVISION={:016x}",
        digest.finish()
    );
}

fn add(folder: &Path, digest: &mut DefaultHasher) {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the sources lie beside this file")
        .map(|entry| entry.expect("sources can be listed").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add(&path, digest);
        } else {
            digest.write(&std::fs::read(&path).expect("sources can be read"));
        }
    }
}

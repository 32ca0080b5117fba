//! The scripts as an operator calls them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{Ended, World, ended, text_of};

/// A script with the database of a world, and PostgreSQL's programs on its path.
pub(crate) fn script(world: &World, name: &str, arguments: &[&str]) -> Command {
    let url = |(name, value): (_, Option<&std::ffi::OsStr>)| {
        (name == "FANFARE_DATABASE_URL").then(|| value.unwrap().to_owned())
    };
    let command = world.command(&[]);
    let url = command.get_envs().filter_map(url).last().unwrap();
    script_at(&url, name, arguments)
}

pub(crate) fn script_at(
    url: &(impl AsRef<std::ffi::OsStr> + ?Sized),
    name: &str,
    arguments: &[&str],
) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/backup");
    let mut command = Command::new(path.join(name));
    command.args(arguments).env("FANFARE_DATABASE_URL", url);
    command.env("PATH", programs()).env_remove("PGPASSWORD");
    command
}

/// The path with the programs of the server that tests use: Debian keeps them off it.
pub(crate) fn programs() -> OsString {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let folder = versions
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folder.into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap()
}

/// Backs a world up into its folder, and gives the file's path.
pub(crate) async fn backup(world: &World) -> String {
    let folder = tempfile::tempdir_in(world.folder.path()).unwrap().keep();
    let backup = ended(script(world, "backup", &[&text_of(&folder)])).await;
    assert_eq!(backup.code, Some(0), "{backup:?}");
    backup.out.trim().to_owned()
}

/// Restores into a world, and gives what was told.
pub(crate) async fn restore(world: &World, arguments: &[&str]) -> String {
    let restore = ended(script(world, "restore", arguments)).await;
    assert_eq!(restore.code, Some(0), "{restore:?}");
    restore.text()
}

/// Runs a script that has to fail, with these words in what it says.
pub(crate) async fn fails(command: Command, words: &[&str]) -> Ended {
    let ended = ended(command).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    for word in words {
        assert!(ended.text().contains(word), "no {word:?} in {ended:?}");
    }
    ended
}

/// Rows of a world's database, as text, with bars between columns.
pub(crate) async fn query(world: &World, sql: &str) -> String {
    let url = script(world, "backup", &[]);
    let url = url
        .get_envs()
        .find(|(name, _)| *name == "FANFARE_DATABASE_URL");
    let mut psql = Command::new("psql");
    psql.args([
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--command",
        sql,
    ]);
    psql.arg("--dbname").arg(url.unwrap().1.unwrap());
    psql.env("PATH", programs());
    ended(psql).await.well().trim_end().to_owned()
}

//! An embedded database is copied by SQLite itself while a process has it.

use std::process::Command;

use testkit::Signal;

use super::{dataset, feed};
use crate::feed::Feeds;
use crate::world::{PATIENCE, World, ended, stop, text_of};

#[tokio::test]
async fn a_copy_of_an_embedded_database_in_use_goes_on_under_its_new_epoch() {
    let world = World::embedded().await;
    let feeds = Feeds::start();
    feeds.set("north", feed(&["A show"]));
    world.apply(&[("north", &feeds.url("north"))]).await;
    let serving = world.all().await;
    world.sync("north").await;
    let known = serving.api.search("").await;
    // It looks for a new version four times a second.
    let first = "the API knows the first version";
    let epoch = testkit::eventually(PATIENCE, first, async || {
        let (epoch, version) = dataset(&serving.api).await;
        (version == 1).then_some(epoch)
    })
    .await;
    let command = world.command(&[]);
    let url = command
        .get_envs()
        .find(|(name, _)| *name == "FANFARE_DATABASE_URL");
    let url = url.unwrap().1.unwrap().to_str().unwrap();
    let file = url
        .trim_start_matches("sqlite://")
        .trim_end_matches("?mode=rwc");
    let copy = text_of(&world.folder.path().join("copy.db"));
    // As the sqlite3 of OPERATIONS.md does, which not every machine has.
    let sqlite = |file: &str, sql: &str| {
        let mut python = Command::new("python3");
        let program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], \
                       isolation_level=None, timeout=10).execute(sys.argv[2])";
        python.args(["-c", program, file, sql]);
        ended(python)
    };
    sqlite(file, &format!("VACUUM INTO '{copy}'")).await.well();
    feeds.set("north", feed(&["A show", "A play"]));
    world.sync("north").await;
    stop(&serving.process, Signal::TERM).await;

    sqlite(&copy, "UPDATE dataset SET epoch = randomblob(16)")
        .await
        .well();
    let world = world.with("FANFARE_DATABASE_URL", &format!("sqlite://{copy}"));
    let serving = world.all().await;
    let (renewed, version) = dataset(&serving.api).await;
    assert_ne!(renewed, epoch);
    assert_eq!(version, 1);
    assert_eq!(serving.api.search("").await, known);
    world.sync("north").await;
    assert_eq!(serving.api.search("").await.len(), 4);
    stop(&serving.process, Signal::TERM).await;
}

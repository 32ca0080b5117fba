//! A database in a file.

use testkit::Signal;

use super::{Told, of_world, until};
use crate::dump::dump;
use crate::world::{World, stop};

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_not_made() {
    let world = World::over(testkit::Database::sqlite_empty().await);
    let look = async || of_world(&world).await;
    let there_is_none = |told: &Told| {
        told.ends_with(0)?;
        told.is(
            "database",
            "file",
            "note",
            "there is none",
            "fanfare migrate",
        )
    };
    for _ in 0..2 {
        until(look, there_is_none).await;
    }
    let migrated = world.run(&["migrate"]).await.well();
    assert!(migrated.contains("applied "), "{migrated}");
    let up_to_date = |told: &Told| told.is("database", "schema", "ok", "up to date", "");
    until(look, up_to_date).await;
}

#[tokio::test]
async fn a_file_in_use_is_looked_at_beside_its_process() {
    let listen = format!("127.0.0.1:{}", testkit::free_port());
    let world = World::embedded().await.with("FANFARE_LISTEN", &listen);
    world.apply(&[("north", "http://127.0.0.1:1/north")]).await;
    let before = dump(&world).await;
    let look = async || of_world(&world).await;
    until(look, |told| {
        told.has_none("database", "in use")?;
        told.is("queue", "address", "note", "in the process", "")
    })
    .await;
    assert_eq!(dump(&world).await, before, "nothing is written");

    let all = world.all().await;
    let pid = all.process.pid().to_string();
    until(look, |told| {
        told.is_ok("process", "FANFARE_LISTEN")?;
        told.is("database", "in use", "note", &pid, "")?;
        told.is("running", "workers", "ok", "1 worker", "")
    })
    .await;
    stop(&all.process, Signal::TERM).await;
}

#[tokio::test]
async fn what_is_no_database_is_left_as_it_is() {
    let world = World::embedded().await;
    let file = world.file("notes.txt", "these are notes, and there are many of them");
    let world = world.with("FANFARE_DATABASE_URL", &format!("sqlite://{file}?mode=rwc"));
    until(
        async || of_world(&world).await,
        |told| {
            told.ends_with(1)?;
            told.is(
                "database",
                "file",
                "error",
                "no SQLite database",
                "FANFARE_DATABASE_URL",
            )
        },
    )
    .await;
    assert_eq!(std::fs::read_dir(world.folder.path()).unwrap().count(), 1);
}

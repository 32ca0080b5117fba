//! A database in a file.

use testkit::Signal;

use super::Told;
use crate::dump::dump;
use crate::world::{World, stop};

async fn look(world: &World) -> Told {
    Told::of(world.run(&["doctor", "--json"]).await)
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_not_made() {
    let world = World::over(testkit::Database::sqlite_empty().await);
    let told = look(&world).await;
    assert_eq!(told.code, Some(0), "{}", told.text);
    told.is(
        "database",
        "file",
        "note",
        "there is none",
        "fanfare migrate",
    );
    assert_eq!(look(&world).await.findings.len(), told.findings.len());
    let migrated = world.run(&["migrate"]).await.well();
    assert!(migrated.contains("applied "), "{migrated}");
    look(&world)
        .await
        .is("database", "schema", "ok", "up to date", "");
}

#[tokio::test]
async fn a_file_in_use_is_looked_at_beside_its_process() {
    let listen = format!("127.0.0.1:{}", testkit::free_port());
    let world = World::embedded().await.with("FANFARE_LISTEN", &listen);
    world.apply(&[("north", "http://127.0.0.1:1/north")]).await;
    let before = dump(&world).await;
    let told = look(&world).await;
    assert!(!told.has("database", "in use"), "{}", told.text);
    told.is("queue", "address", "note", "in the process", "");
    assert_eq!(dump(&world).await, before, "nothing is written");

    let all = world.all().await;
    testkit::eventually(crate::world::PATIENCE, "a ready process", async || {
        look(&world).await.found("process", "FANFARE_LISTEN")["state"] == "ok"
    })
    .await;
    let told = look(&world).await;
    told.is(
        "database",
        "in use",
        "note",
        &all.process.pid().to_string(),
        "",
    );
    told.is("running", "workers", "ok", "1 worker", "");
    stop(&all.process, Signal::TERM).await;
}

#[tokio::test]
async fn what_is_no_database_is_left_as_it_is() {
    let world = World::embedded().await;
    let file = world.file("notes.txt", "these are notes, and there are many of them");
    let world = world.with("FANFARE_DATABASE_URL", &format!("sqlite://{file}?mode=rwc"));
    let told = look(&world).await;
    assert_eq!(told.code, Some(1));
    told.is(
        "database",
        "file",
        "error",
        "no SQLite database",
        "FANFARE_DATABASE_URL",
    );
    assert_eq!(std::fs::read_dir(world.folder.path()).unwrap().count(), 1);
}

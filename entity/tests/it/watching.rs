//! Looks at the dataset's version, and hearing of commits.

use std::collections::HashSet;
use std::time::Duration;

use entity::dataset::{self, Listener};
use entity::{Config, Database, connect, provider};
use futures::FutureExt;
use sea_orm::{ConnectionTrait, TransactionTrait};
use testkit::{PostgresServer, eventually};

use crate::on_both_databases;
use crate::world::{PATIENCE, World, bare, creating};

on_both_databases!(
    a_state_is_the_version_and_a_secret_that_debug_output_leaves_out,
    a_renewed_epoch_is_another_one_at_the_same_version,
    a_look_at_the_version_does_not_wait_for_what_keeps_the_pools_busy,
    watching_never_writes_on_sqlite_and_ends_with_the_rest,
);

async fn a_state_is_the_version_and_a_secret_that_debug_output_leaves_out(world: World) {
    let state = dataset::state(&world.db.read).await.unwrap();
    let version = dataset::version(&world.db.write).await.unwrap();
    assert_eq!(state.version, version);
    let drawn: HashSet<u8> = state.secret.into_iter().collect();
    assert!(drawn.len() > 8, "this is not random: {:?}", state.secret);
    let shown = format!("{state:?}");
    assert_eq!(shown, format!("State {{ version: {version:?}, .. }}"));

    world
        .execute("UPDATE dataset SET secret = NULL", vec![])
        .await;
    assert!(dataset::state(&world.db.read).await.is_err());
}

async fn a_renewed_epoch_is_another_one_at_the_same_version(world: World) {
    let before = dataset::version(&world.db.write).await.unwrap();
    let epoch = dataset::renew_epoch(&world.db.write).await.unwrap();
    let after = dataset::version(&world.db.write).await.unwrap();
    assert_ne!(epoch, before.epoch);
    assert_eq!((after.epoch, after.number), (epoch, before.number));
}

async fn a_look_at_the_version_does_not_wait_for_what_keeps_the_pools_busy(world: World) {
    let mut busy = Vec::new();
    let second = Duration::from_secs(1);
    while let Ok(tx) = tokio::time::timeout(second, world.db.read.begin()).await {
        busy.push(tx.unwrap());
    }
    assert!(busy.len() >= 4, "{}", busy.len());
    let watch = world.db.watch();
    for connection in [&watch.read, &watch.write] {
        let look = tokio::time::timeout(PATIENCE / 10, dataset::version(connection));
        look.await.expect("nothing to wait for").unwrap();
    }
}

async fn watching_never_writes_on_sqlite_and_ends_with_the_rest(world: World) {
    let watch = world.db.watch().clone();
    let written = watch
        .write
        .execute_unprepared("UPDATE dataset SET version = 9")
        .await;
    assert_eq!(written.is_ok(), world.db.kind() == entity::Kind::Postgres);
    world.db.clone().close().await;
    for connection in [&watch.read, &watch.write] {
        assert!(dataset::version(connection).await.is_err());
    }
}

#[tokio::test]
async fn a_look_at_the_version_ends_after_a_second_on_postgres() {
    let world = World::postgres().await;
    let watch = world.db.watch();
    let slow = watch.read.execute_unprepared("SELECT pg_sleep(60)").await;
    let error = slow.unwrap_err().to_string();
    assert!(error.contains("statement timeout"), "{error}");
}

#[tokio::test]
async fn there_is_nothing_to_listen_to_on_sqlite() {
    let world = World::sqlite().await;
    assert!(dataset::listen(&world.db).await.unwrap().is_none());
}

async fn listening(db: &Database) -> Listener {
    dataset::listen(db).await.unwrap().expect("PostgreSQL")
}

async fn hears(listener: &mut Listener) {
    let heard = tokio::time::timeout(PATIENCE, listener.changed());
    heard.await.expect("to hear of it").unwrap();
}

/// Nothing is heard for longer than a notification takes.
async fn silent(listener: &mut Listener) -> bool {
    let waiting = tokio::time::timeout(Duration::from_millis(100), listener.changed());
    waiting.await.is_err()
}

async fn store(world: &World, event_id: &str) {
    let begun = world.begun("acme").await;
    world
        .commit(&begun, &creating("acme", [bare(event_id)]))
        .await;
}

#[tokio::test]
async fn a_listener_hears_of_commits_purges_and_new_epochs_and_of_nothing_else() {
    let world = World::postgres().await;
    world.add(&["acme"]).await;
    let mut listener = listening(&world.db).await;
    assert!(silent(&mut listener).await);

    store(&world, "1").await;
    hears(&mut listener).await;
    assert!(silent(&mut listener).await);

    // A feed that did not change.
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", [])).await;
    assert!(silent(&mut listener).await);

    let tx = world.db.begin().await.unwrap();
    dataset::renew_epoch(&tx).await.unwrap();
    assert!(silent(&mut listener).await, "not yet committed");
    tx.commit().await.unwrap();
    hears(&mut listener).await;

    provider::purge(&world.db, "acme").await.unwrap();
    hears(&mut listener).await;
    assert!(silent(&mut listener).await);
}

#[tokio::test]
async fn notifications_that_arrive_together_are_heard_of_once() {
    let world = World::postgres().await;
    let mut listener = listening(&world.db).await;
    let sql = "SELECT pg_notify('fanfare_dataset', n::text) FROM generate_series(1, 3) AS n";
    world.db.write.execute_unprepared(sql).await.unwrap();
    hears(&mut listener).await;
    assert!(silent(&mut listener).await);
}

#[tokio::test]
async fn a_listener_that_lost_its_connection_hears_of_it_and_listens_on() {
    let world = World::postgres().await;
    world.add(&["acme"]).await;
    let mut listener = listening(&world.db).await;
    let ended = world.number(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    );
    assert_eq!(ended.await, 1);
    hears(&mut listener).await;
    assert!(silent(&mut listener).await);
    store(&world, "1").await;
    hears(&mut listener).await;
}

#[tokio::test]
async fn a_listener_outlives_its_server_and_says_when_it_is_back() {
    let mut server = PostgresServer::start().await;
    let mut config = Config::new(server.url().parse().unwrap());
    config.application_name = "hearing".to_owned();
    let db = connect(&config).await.unwrap();
    let mut listener = listening(&db).await;
    server.kill().await;
    let gone = tokio::time::timeout(PATIENCE, listener.changed()).await;
    assert!(gone.unwrap().is_err());
    server.start_again().await;
    hears(&mut listener).await;

    let sql = "SELECT 1 FROM pg_stat_activity \
               WHERE application_name = 'hearing' AND query LIKE 'LISTEN%'";
    let found = db.write.execute_unprepared(sql).await.unwrap();
    assert_eq!(found.rows_affected(), 1, "it says who it is");
    let notify = "SELECT pg_notify('fanfare_dataset', '')";
    db.write.execute_unprepared(notify).await.unwrap();
    hears(&mut listener).await;
}

/// Dropping and calling again is what a `select` does.
#[tokio::test]
async fn a_listener_misses_nothing_between_calls() {
    let world = World::postgres().await;
    let mut listener = listening(&world.db).await;
    for _ in 0..50 {
        assert!(listener.changed().now_or_never().is_none());
        dataset::renew_epoch(&world.db.write).await.unwrap();
        eventually(PATIENCE, "the listener hears", async || {
            listener.changed().now_or_never().is_some_and(|heard| {
                heard.unwrap();
                true
            })
        })
        .await;
    }
}

/// The listener's own clock, not the server's, says how long it was silent.
const SILENCE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_listener_whose_server_says_nothing_any_more_looks_for_another_connection() {
    let server = PostgresServer::start().await;
    let config = Config::new(server.url().parse().unwrap());
    let db = connect(&config).await.unwrap();
    let mut listener = listening(&db).await;
    server.freeze();
    tokio::time::pause();
    // Nobody answers, so the clock leaps from one deadline to the next.
    let lost = tokio::time::timeout(10 * SILENCE, listener.changed()).await;
    assert!(lost.expect("the silence is noticed").is_err());
    tokio::time::resume();
    server.thaw();
    hears(&mut listener).await;
}

#[tokio::test]
async fn a_listener_that_has_nothing_to_hear_keeps_its_connection() {
    let world = World::postgres().await;
    let mut listener = listening(&world.db).await;
    for _ in 0..3 {
        tokio::time::pause();
        tokio::time::advance(SILENCE).await;
        tokio::time::resume();
        assert!(silent(&mut listener).await);
    }
    dataset::renew_epoch(&world.db.write).await.unwrap();
    hears(&mut listener).await;
}

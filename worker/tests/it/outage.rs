//! A database that goes away amid a sync: no run fails for it, and the worker goes on.

use std::time::Duration;

use entity::run::{Outcome, State};
use entity::{claim, invariants};
use sea_orm::ConnectOptions;
use testkit::PostgresServer;
use worker::Config;

use crate::feeds::{Answer, Feeds, base, feed};
use crate::role::{Role, config, memory, push};
use crate::world::{PATIENCE, World};

/// A provider whose feed waits for the test, on a server that the test stops.
async fn waiting() -> (PostgresServer, World, Feeds) {
    let server = PostgresServer::start().await;
    let mut options = ConnectOptions::new(server.url());
    options.max_connections(1).sqlx_logging(false);
    let database = sea_orm::Database::connect(options).await.unwrap();
    migration::migrate(&database).await.unwrap();
    database.close().await.unwrap();
    let world = World::at(&server.url()).await;
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    feeds.close();
    world.add("acme", &feeds.url).await;
    (server, world, feeds)
}

#[tokio::test]
async fn an_outage_ends_in_a_hand_back_and_a_second_try() {
    let (mut server, world, feeds) = waiting().await;
    let queue = memory().await;
    let role = Role::start(&world, &queue, short_lease("worker-1"));
    let run = world.claim_one("acme").await;
    push(&queue, run).await;
    feeds.asked_times(1).await;
    server.stop().await;
    feeds.open();
    server.start_again().await;
    // Handed back to the queue, from where the same worker takes it again.
    feeds.asked_times(2).await;
    settled(&world, run).await;
    role.idle().await;
    let row = world.run(run).await;
    assert_eq!((row.outcome, row.token), (Some(Outcome::Stored), 2));
    unharmed(&world).await;
    role.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_amid_an_outage_leaves_its_run_to_the_reaper() {
    let (mut server, world, feeds) = waiting().await;
    let queue = memory().await;
    let impatient = Config {
        drain: Duration::ZERO,
        ..short_lease("worker-1")
    };
    let role = Role::start(&world, &queue, impatient);
    let run = world.claim_one("acme").await;
    push(&queue, run).await;
    feeds.asked_times(1).await;
    server.stop().await;
    feeds.open();
    role.stop().await;
    server.start_again().await;
    let reaped = testkit::eventually(PATIENCE, "the run is reaped", async || {
        let reaped = claim::reap(&world.db, 10).await.ok()?;
        (!reaped.lost.is_empty()).then_some(reaped)
    })
    .await;
    assert_eq!((reaped.lost[0].id, reaped.takeovers.len()), (run, 1));
    let takeover = reaped.takeovers[0].id;
    let next = Role::start(&world, &queue, config("worker-2"));
    push(&queue, takeover).await;
    settled(&world, takeover).await;
    assert_eq!(world.run(run).await.outcome, Some(Outcome::Lost));
    assert_eq!(world.run(takeover).await.outcome, Some(Outcome::Stored));
    unharmed(&world).await;
    next.stop().await;
}

/// Shorter than any outage.
fn short_lease(name: &str) -> Config {
    Config {
        lease: Duration::from_millis(500),
        ..config(name)
    }
}

async fn settled(world: &World, run: uuid::Uuid) {
    testkit::eventually(PATIENCE, "the run has ended", async || {
        world.run(run).await.state == State::Finished
    })
    .await;
}

async fn unharmed(world: &World) {
    let provider = world.provider("acme").await;
    let failures = [provider.consecutive_failures, provider.transient_failures];
    assert_eq!((failures, provider.consecutive_crashes), ([0, 0], 0));
    assert!(
        world
            .runs("acme")
            .await
            .iter()
            .all(|run| run.outcome != Some(Outcome::Failed))
    );
    assert_eq!(
        (world.version().await, world.events("acme").await.len()),
        (1, 1)
    );
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
}

#[tokio::test]
async fn a_worker_whose_database_falls_silent_goes_on_looking_at_its_leases() {
    let (server, world, _feeds) = waiting().await;
    let config = short_lease("worker-1");
    let (pulse, turns, lease) = (config.pulse.clone(), config.turns.clone(), config.lease);
    let role = Role::start(&world, &memory().await, config);
    let silence = 5 * lease;
    testkit::eventually(PATIENCE, "it gives signs of life", async || {
        pulse.within(lease)
    })
    .await;
    server.freeze();
    // Its connections stay open, and nothing ever comes on them.
    testkit::eventually(PATIENCE, "none of them is taken", async || {
        pulse.stopped(2 * silence)
    })
    .await;
    assert!(turns.within(silence), "it waits for one answer for ever");
    server.thaw();
    testkit::eventually(PATIENCE, "they are taken again", async || {
        pulse.within(lease)
    })
    .await;
    role.stop().await;
}

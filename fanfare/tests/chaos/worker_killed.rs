//! A worker that is killed (`SIGKILL`), wherever it stands: others take over.

use std::time::{Duration, Instant};

use entity::run::{self, Outcome};
use entity::{Database, provider};
use simulator::Behavior;
use testkit::{Process, Signal, eventually};

use crate::checker::Check;
use crate::sql::{self, Gate};
use crate::world::{LEASE, PATIENCE, World, stop};

const NAME: &str = "provider-0001";

/// The runs of a provider, the newest first.
async fn runs(db: &Database, name: &str) -> Vec<run::Model> {
    let provider = provider::by_name(&db.write, name).await.unwrap().unwrap();
    run::latest(&db.write, provider.id, 10).await.unwrap()
}

/// Waits for the run that takes over, and checks that the first one was lost.
async fn taken_over(db: &Database, killed: &Process) {
    let [second, first] = eventually(PATIENCE, "the takeover's end", async || {
        let runs = <[run::Model; 2]>::try_from(runs(db, NAME).await).ok();
        runs.filter(|[second, _]| second.outcome.is_some())
    })
    .await;
    assert_eq!(first.outcome, Some(Outcome::Lost));
    assert_eq!(second.outcome, Some(Outcome::Stored));
    let dead = format!("-{}-", killed.pid());
    assert!(first.worker.unwrap().contains(&dead));
    assert!(!second.worker.unwrap().contains(&dead));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_was_fetching_when_it_was_killed_is_taken_over() {
    let world = World::of(6).await;
    let db = world.db().await;
    let dripping = Behavior::SlowBody {
        bytes_per_second: 100,
    };
    world.simulator.set_behavior(NAME, dripping).unwrap();
    world.apply(&db).await;
    let (scheduler, first) = (world.scheduler().await, world.worker().await);
    eventually(PATIENCE, "the others' end", async || {
        let stored = "SELECT count(*) FROM run WHERE outcome = 'stored'";
        sql::value::<i64>(&db, stored).await == 5
    })
    .await;
    world.fetching(1).await;

    world.kill(&first).await;
    let since = sql::now(&db).await;
    world
        .simulator
        .set_behavior(NAME, Behavior::Normal)
        .unwrap();
    let second = world.worker().await;
    taken_over(&db, &first).await;
    world.sync(&db).await;
    Check::after(&world, &db, since).holds().await;
    stop(&[&scheduler, &second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_busy_worker_held_when_it_was_killed_is_taken_over_soon() {
    let world = World::of(16).await;
    let db = world.db().await;
    world.behave(&Behavior::Hang);
    world.apply(&db).await;
    let (scheduler, first) = (world.scheduler().await, world.worker().await);
    world.fetching(16).await;
    let second = world.worker().await;
    world.behave(&Behavior::Normal);

    world.kill(&first).await;
    let (killed, since) = (Instant::now(), sql::now(&db).await);
    Check::after(&world, &db, since).holds().await;
    // Each of them may have been what killed it, so that they run one after the other.
    let took = killed.elapsed();
    assert!(took < LEASE + Duration::from_secs(8), "{took:?}");
    stop(&[&scheduler, &second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_was_parsing_when_it_was_killed_is_taken_over() {
    let world = World::start(simulator::Config {
        providers: 1,
        events: 20_000,
        ..simulator::Config::default()
    })
    .await;
    let db = world.db().await;
    world.apply(&db).await;
    let (scheduler, first) = (world.scheduler().await, world.worker().await);
    eventually(PATIENCE, "the whole feed", async || {
        !world.simulator.served(NAME).unwrap().is_empty()
    })
    .await;
    first.signal(Signal::STOP);
    assert_eq!(runs(&db, NAME).await[0].outcome, None);
    assert_eq!(sql::open_transactions(&db, &first).await, 0);

    world.kill(&first).await;
    let since = sql::now(&db).await;
    let second = world.worker().await;
    taken_over(&db, &first).await;
    Check::after(&world, &db, since).holds().await;
    stop(&[&scheduler, &second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_was_committing_when_it_was_killed_is_undone_and_taken_over() {
    let world = World::of(1).await;
    let db = world.db().await;
    world.apply(&db).await;
    let gate = Gate::before_commits(&db).await;
    let (scheduler, first) = (world.scheduler().await, world.worker().await);
    sql::waits_for_lock(&db, &first, 1).await;

    world.kill(&first).await;
    gate.open().await;
    let since = sql::now(&db).await;
    let second = world.worker().await;
    taken_over(&db, &first).await;
    assert_eq!(
        sql::value::<i64>(&db, "SELECT version FROM dataset").await,
        1
    );
    world.sync(&db).await;
    Check::after(&world, &db, since).holds().await;
    stop(&[&scheduler, &second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_has_committed_stands_although_it_was_killed_before_it_acknowledged() {
    let world = World::of(1).await;
    let db = world.db().await;
    world.apply(&db).await;
    let gate = Gate::before_commits(&db).await;
    let (scheduler, first) = (world.scheduler().await, world.worker().await);
    sql::waits_for_lock(&db, &first, 1).await;
    world.redis.freeze();
    gate.open().await;
    eventually(PATIENCE, "the commit", async || {
        runs(&db, NAME).await[0].outcome == Some(Outcome::Stored)
    })
    .await;

    world.kill(&first).await;
    world.redis.thaw();
    let second = world.worker().await;
    // For as long as it takes to find the dead worker's leases over: nothing may come of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let since = sql::now(&db).await;
    let [only] = <[run::Model; 1]>::try_from(runs(&db, NAME).await).unwrap();
    assert_eq!(only.outcome, Some(Outcome::Stored));
    let provider = provider::by_name(&db.write, NAME).await.unwrap().unwrap();
    assert_eq!((provider.token, provider.consecutive_crashes), (1, 0));
    world.sync(&db).await;
    Check::after(&world, &db, since).holds().await;
    stop(&[&scheduler, &second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_run_is_taken_over_within_half_a_minute_at_default_settings() {
    let mut world = World::of(2).await;
    for name in ["FANFARE_LEASE", "FANFARE_TICK", "FANFARE_HOST_CONCURRENCY"] {
        world.unset(name);
    }
    let db = world.db().await;
    world.simulator.set_behavior(NAME, Behavior::Hang).unwrap();
    world.apply(&db).await;
    let (scheduler, first) = (world.scheduler().await, world.worker().await);
    world.fetching(1).await;
    let second = world.worker().await;
    world
        .simulator
        .set_behavior(NAME, Behavior::Normal)
        .unwrap();

    world.kill(&first).await;
    let killed = Instant::now();
    let since = sql::now(&db).await;
    taken_over(&db, &first).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    world.sync(&db).await;
    Check::after(&world, &db, since).holds().await;
    stop(&[&scheduler, &second]).await;
}

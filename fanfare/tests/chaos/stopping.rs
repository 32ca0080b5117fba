//! Workers that are told to stop (`SIGTERM`) under load: interrupted is not failed.

use std::time::{Duration, Instant};

use entity::Database;
use simulator::Behavior;
use testkit::{Process, Signal, eventually};

use crate::checker::Check;
use crate::sql;
use crate::world::{PATIENCE, World, closed, stop};

const HANGING: [&str; 2] = ["provider-0001", "provider-0002"];

/// How long syncs may go on after a stop, and how long a stop may take besides.
const DRAIN: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_secs(4);

/// Checks that every run that has ended went well, and that nothing speaks against a provider.
async fn nothing_was_counted(db: &Database) {
    const BAD_RUNS: &str = "SELECT count(*) FROM run WHERE outcome NOT IN ('stored', 'unchanged') OR error IS NOT NULL";
    const BLEMISHES: &str = "SELECT coalesce(max(consecutive_crashes + consecutive_failures \
         + transient_failures), 0) FROM provider";
    assert_eq!(sql::value::<i64>(db, BAD_RUNS).await, 0);
    assert_eq!(sql::value::<i64>(db, BLEMISHES).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_through_all_workers_under_load_costs_no_run_and_counts_no_attempt() {
    let mut world = World::of(20).await;
    world.set("FANFARE_DRAIN", "1s");
    world.set("FANFARE_WORKER_CONCURRENCY", "3");
    let db = world.db().await;
    world.apply(&db).await;
    let scheduler = world.scheduler().await;
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(world.worker().await);
    }
    world.sync(&db).await;

    world.behave(&Behavior::SlowFirstByte { millis: 500 });
    for name in HANGING {
        // More than a drain takes, so that someone has to hand it back.
        world.simulator.set_behavior(name, Behavior::Hang).unwrap();
    }
    world.simulator.advance();
    let asked = world.request(&db).await;
    world.fetching(9).await;
    for worker in &mut workers {
        let began = Instant::now();
        stop(&[worker]).await;
        let took = began.elapsed();
        assert!(took < DRAIN + SLACK, "{took:?}");
        nothing_was_counted(&db).await;
        *worker = world.worker().await;
    }
    let handed_back = "SELECT count(*) FROM run WHERE token > 2";
    assert!(sql::value::<i64>(&db, handed_back).await > 0);
    let since = sql::now(&db).await;
    world.behave(&Behavior::Normal);
    stop(&workers.iter().collect::<Vec<_>>()).await;

    let last = world.worker().await;
    let progress = closed(&db, asked).await;
    assert_eq!((progress.failed, progress.lost), (0, 0), "{progress:?}");
    world.sync(&db).await;
    nothing_was_counted(&db).await;
    Check::after(&world, &db, since).holds().await;
    stop(&[&scheduler, &last]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_worker_at_once_and_loses_nothing() {
    let world = World::of(4).await;
    let db = world.db().await;
    world.behave(&Behavior::Hang);
    world.apply(&db).await;
    let (scheduler, first) = (world.scheduler().await, world.worker().await);
    world.fetching(4).await;
    drains(&first).await;
    let began = Instant::now();
    first.signal(Signal::TERM);
    let status = first.wait(PATIENCE).await;
    let took = began.elapsed();
    assert_eq!(status.code(), Some(130));
    assert!(took < Duration::from_secs(2), "{took:?}");
    world.mourn(&first);

    let since = sql::now(&db).await;
    world.behave(&Behavior::Normal);
    let second = world.worker().await;
    world_is_synced(&world, &db).await;
    world.sync(&db).await;
    Check::after(&world, &db, since).holds().await;
    stop(&[&scheduler, &second]).await;
}

async fn drains(worker: &Process) {
    worker.signal(Signal::TERM);
    let drains = |line: &str| line.contains("worker drains");
    worker.wait_for_line(drains, PATIENCE).await;
}

async fn world_is_synced(world: &World, db: &Database) {
    let synced = "SELECT count(last_success_at) FROM provider";
    let all = i64::try_from(world.simulator.provider_names().len()).unwrap();
    eventually(PATIENCE, "a sync of each provider", async || {
        sql::value::<i64>(db, synced).await == all
    })
    .await;
}

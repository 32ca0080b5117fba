//! What a host sees of all workers together. The simulator counts it.

use std::time::Duration;

use entity::host::Politeness;
use simulator::{Behavior, Config};

use crate::world::{PATIENCE, World};

const PROVIDERS: usize = 20;
const HOST: &str = "127.0.0.1";

async fn world(interval: Duration) -> World {
    let world = World::new(Config {
        providers: PROVIDERS,
        events: 5,
        ..Config::default()
    })
    .await;
    let names = world.simulator.provider_names();
    world.add(&names, HOST, interval).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_never_sees_more_fetches_at_once_than_it_may_whatever_dies() {
    let mut world = world(Duration::from_secs(1)).await;
    for name in world.simulator.provider_names() {
        let slow = Behavior::SlowFirstByte { millis: 100 };
        world.simulator.set_behavior(&name, slow).unwrap();
    }
    let politeness = Politeness {
        concurrency: 3,
        gap: Duration::ZERO,
    };
    world.start_scheduler();
    world.start_scheduler();
    for _ in 0..4 {
        world.start_worker(8, politeness);
    }
    let requests = |world: &World| world.simulator.stats().total.requests;
    testkit::eventually(PATIENCE, "a third of the fetches", async || {
        requests(&world) >= 30
    })
    .await;
    world.kill_last().await;
    testkit::eventually(PATIENCE, "two thirds", async || requests(&world) >= 60).await;
    world.flush_queue().await;
    testkit::eventually(PATIENCE, "all of the fetches", async || {
        requests(&world) >= 90
    })
    .await;
    let stats = world.simulator.stats();
    assert_eq!(
        stats.total.max_concurrent, 3,
        "its share is used, and no more"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_never_sees_fetches_start_closer_than_the_gap_whatever_dies() {
    let gap = Duration::from_millis(150);
    let mut world = world(Duration::from_secs(1)).await;
    world.start_scheduler();
    world.start_scheduler();
    for _ in 0..4 {
        world.start_worker(
            8,
            Politeness {
                concurrency: 4,
                gap,
            },
        );
    }
    let fetches = async |world: &World, count: u64| {
        testkit::eventually(PATIENCE, "fetches", async || {
            world.simulator.stats().total.requests >= count
        })
        .await;
    };
    fetches(&world, 15).await;
    world.kill_last().await;
    fetches(&world, 25).await;
    world.flush_queue().await;
    fetches(&world, 40).await;
    let seen = world.simulator.stats().total.min_gap_micros.unwrap();
    assert!(
        u128::from(seen) >= gap.as_micros(),
        "two fetches {seen} µs apart"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_asks_to_be_left_alone_is_by_all_of_its_providers() {
    let mut world = world(Duration::from_secs(1)).await;
    let names = world.simulator.provider_names();
    world
        .simulator
        .set_behavior(&names[0], Behavior::TooManyRequests { retry_after: 600 })
        .unwrap();
    world.start_scheduler();
    world.start_worker(8, Politeness::default());
    testkit::eventually(PATIENCE, "the wish is recorded", async || {
        world
            .number("SELECT count(*) FROM host WHERE not_before > now() + interval '9 minutes'")
            .await
            == 1
    })
    .await;
    // Whatever was under way has ended, or waits with the rest.
    testkit::eventually(PATIENCE, "nobody is visited", async || {
        let sql = "SELECT count(*) FROM provider p LEFT JOIN run r ON r.id = p.current_run \
                   WHERE r.state = 'running' \
                   OR (r.state IS NULL AND p.next_due_at < now() + interval '9 minutes') \
                   OR (r.state = 'queued' AND r.postponed_for IS DISTINCT FROM 'retry_after')";
        world.number(sql).await == 0
    })
    .await;
    let before = world.simulator.stats().total.requests;
    // The time in which a fleet that did not care would have come back several times over.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.simulator.stats().total.requests, before);
    world.stop().await;
}

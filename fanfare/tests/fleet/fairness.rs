//! A slow host costs its own providers their turn, and nobody else's.

use std::time::Duration;

use entity::host::Politeness;
use simulator::{Behavior, Config};

use crate::world::{PATIENCE, World};

const HANGING: usize = 200;
const FAST: usize = 50;
const INTERVAL: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_providers_on_one_host_do_not_keep_others_from_their_interval() {
    let mut world = World::new(Config {
        providers: HANGING + FAST,
        events: 2,
        ..Config::default()
    })
    .await;
    let names = world.simulator.provider_names();
    let (hanging, fast) = names.split_at(HANGING);
    for name in hanging {
        world.simulator.set_behavior(name, Behavior::Hang).unwrap();
    }
    // The hanging ones come first, so that they have every chance to fill the slots.
    world.add(hanging, "127.0.0.1", INTERVAL).await;
    world.start_scheduler();
    for _ in 0..2 {
        world.start_worker(8, Politeness::default());
    }
    testkit::eventually(PATIENCE, "the slow host is at its limit", async || {
        world
            .simulator
            .stats()
            .hosts
            .values()
            .any(|host| host.concurrent >= 4)
    })
    .await;
    world.add(fast, "localhost", INTERVAL).await;
    let visited = |times: u64| {
        let stats = world.simulator.stats();
        fast.iter()
            .all(|name| stats.providers[name].requests >= times)
    };
    testkit::eventually(PATIENCE, "each fast one is visited", async || visited(1)).await;
    let started = std::time::Instant::now();
    testkit::eventually(PATIENCE, "each is visited four times more", async || {
        visited(5)
    })
    .await;
    let intervals = started.elapsed().as_secs_f64() / INTERVAL.as_secs_f64();
    assert!(intervals < 8.0, "four visits took {intervals:.1} intervals");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_keeps_failing_is_visited_less_and_comes_back_by_itself() {
    const FAILURES: u32 = 5;
    let mut world = World::new(Config {
        providers: 1,
        ..Config::default()
    })
    .await;
    let names = world.simulator.provider_names();
    let fails = Behavior::FailTimes { times: FAILURES };
    world.simulator.set_behavior(&names[0], fails).unwrap();
    world.add(&names, "127.0.0.1", Duration::from_secs(1)).await;
    world.start_scheduler();
    world.start_worker(1, Politeness::default());
    let broken = "SELECT count(*) FROM provider WHERE consecutive_failures = 5 \
                  AND next_due_at - now() BETWEEN interval '2 s' AND interval '5 s'";
    testkit::eventually(PATIENCE, "it is put off for some intervals", async || {
        world.number(broken).await == 1
    })
    .await;
    let well = "SELECT count(*) FROM provider WHERE consecutive_failures = 0 \
                AND last_error IS NULL AND last_success_at IS NOT NULL";
    testkit::eventually(PATIENCE, "it is well again", async || {
        world.number(well).await == 1
    })
    .await;
    world.stop().await;
}

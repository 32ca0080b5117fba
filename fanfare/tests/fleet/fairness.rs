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

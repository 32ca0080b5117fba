//! What an operator says takes effect on what is queued and running.

use std::time::Duration;

use entity::fan_out::{self, Trigger};
use entity::host::Politeness;
use entity::{dataset, provider};
use simulator::{Behavior, Config};

use crate::world::{PATIENCE, World};

/// One provider whose first sync hangs in the fetch.
async fn amid_a_sync() -> (World, String) {
    let mut world = World::new(Config {
        providers: 1,
        ..Config::default()
    })
    .await;
    let name = world.simulator.provider_names().remove(0);
    world.simulator.set_behavior(&name, Behavior::Hang).unwrap();
    world
        .add(
            std::slice::from_ref(&name),
            "127.0.0.1",
            Duration::from_secs(600),
        )
        .await;
    world.start_scheduler();
    world.start_worker(4, Politeness::default());
    testkit::eventually(PATIENCE, "the sync is on", async || {
        world.simulator.stats().total.concurrent == 1
    })
    .await;
    (world, name)
}

/// The fetch was given up, and the run left nothing.
async fn stopped(world: &World) {
    let within = Duration::from_secs(2);
    testkit::eventually(within, "the fetch is given up", async || {
        world.simulator.stats().total.concurrent == 0
    })
    .await;
    let sql = "SELECT count(*) FROM run WHERE outcome = 'cancelled'";
    assert_eq!(world.number(sql).await, 1);
    assert_eq!(dataset::version(&world.db.read).await.unwrap().number, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pausing_stops_a_running_sync_within_two_seconds_and_resuming_starts_it_anew() {
    let (world, name) = amid_a_sync().await;
    provider::pause(&world.db, &name, "test", "ops")
        .await
        .unwrap();
    stopped(&world).await;
    world
        .simulator
        .set_behavior(&name, Behavior::Normal)
        .unwrap();
    provider::resume(&world.db, &name).await.unwrap();
    testkit::eventually(PATIENCE, "it is stored", async || {
        world
            .number("SELECT count(*) FROM run WHERE outcome = 'stored'")
            .await
            == 1
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removing_a_provider_stops_its_running_sync_within_two_seconds() {
    let (world, name) = amid_a_sync().await;
    provider::retire(&world.db, &name).await.unwrap();
    stopped(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_is_asked_for_joins_the_run_that_is_on() {
    let (world, name) = amid_a_sync().await;
    let id = provider::by_name(&world.db.read, &name)
        .await
        .unwrap()
        .unwrap()
        .id;
    let request = fan_out::Request {
        trigger: Trigger::Command,
        traceparent: None,
        providers: &[id],
        accept_gone: false,
    };
    let fan_out = fan_out::request(&world.db, request).await.unwrap();
    testkit::eventually(PATIENCE, "the request is taken up", async || {
        let progress = fan_out::progress(&world.db.read, fan_out)
            .await
            .unwrap()
            .unwrap();
        progress.waiting == 0 && progress.open == 1
    })
    .await;
    assert_eq!(world.number("SELECT count(*) FROM run").await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_provider_and_a_changed_interval_need_no_restart() {
    let mut world = World::new(Config {
        providers: 1,
        ..Config::default()
    })
    .await;
    world.start_scheduler();
    world.start_worker(4, Politeness::default());
    let name = world.simulator.provider_names().remove(0);
    let requests = |world: &World| world.simulator.stats().total.requests;
    world
        .add(
            std::slice::from_ref(&name),
            "127.0.0.1",
            Duration::from_secs(600),
        )
        .await;
    testkit::eventually(PATIENCE, "it is visited", async || requests(&world) == 1).await;
    world
        .add(&[name], "127.0.0.1", Duration::from_secs(1))
        .await;
    testkit::eventually(PATIENCE, "it is visited often", async || {
        requests(&world) >= 4
    })
    .await;
    world.stop().await;
}

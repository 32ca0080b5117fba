//! What is due is claimed and pushed once, by whoever comes first.

use std::time::Duration;

use entity::{claim, invariants};
use scheduler::Config;

use crate::on_both_databases;
use crate::role::{Role, config};
use crate::world::World;

on_both_databases!(
    what_becomes_due_later_is_claimed_later,
    no_more_is_claimed_than_may_be_outstanding,
    a_provider_that_is_synced_already_is_not_claimed_again,
    a_scheduler_that_finds_nothing_to_do_leaves_no_trace,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_racing_over_500_due_providers_enqueue_each_exactly_once() {
    race(World::postgres().await, 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_of_an_embedded_database_enqueue_each_exactly_once() {
    race(World::sqlite().await, 200).await;
}

async fn race(world: World, count: usize) {
    world.add_providers(count).await;
    let schedulers = [(); 2].map(|()| Role::start(&world, config()));
    world.waits_for(count as u64).await;
    for scheduler in schedulers {
        scheduler.stop().await;
    }
    assert_eq!(world.waiting().await, count as u64);
    assert_eq!(claim::outstanding(&world.db).await.unwrap(), count as u64);
    let providers = entity::provider::active(&world.db.read).await.unwrap();
    assert!(providers.iter().all(|provider| provider.token == 1));
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
}

async fn what_becomes_due_later_is_claimed_later(world: World) {
    world.add_providers(2).await;
    let later = format!(
        "UPDATE provider SET next_due_at = {} WHERE name = 'provider-1'",
        world.in_seconds(600)
    );
    world.execute(&later).await;
    let scheduler = Role::start(&world, config());
    world.waits_for(1).await;
    assert_eq!(world.provider(1).await.current_run, None);
    let now = format!("UPDATE provider SET next_due_at = {}", world.in_seconds(-1));
    world.execute(&now).await;
    world.waits_for(2).await;
    scheduler.stop().await;
    assert!(world.provider(1).await.current_run.is_some());
}

async fn no_more_is_claimed_than_may_be_outstanding(world: World) {
    world.add_providers(10).await;
    let few = Config {
        batch: 3,
        max_outstanding: 4,
        ..config()
    };
    let scheduler = Role::start(&world, few);
    world.waits_for(4).await;
    // What ends makes room for just as much.
    for _ in 0..2 {
        let runs = world.runs().await;
        let queued = runs.iter().find(|run| run.finished_at.is_none()).unwrap();
        let before = world.waiting().await;
        let begun = world.begin(queued.id).await;
        world.finish(&begun).await;
        world.waits_for(before + 1).await;
        assert_eq!(claim::outstanding(&world.db).await.unwrap(), 4);
    }
    scheduler.stop().await;
    assert_eq!(world.runs().await.len(), 6);
}

async fn a_provider_that_is_synced_already_is_not_claimed_again(world: World) {
    world.add_providers(2).await;
    let scheduler = Role::start(&world, config());
    world.waits_for(2).await;
    let busy = world.provider(0).await.current_run.unwrap();
    let begun = world.begin(busy).await;
    let due = format!("UPDATE provider SET next_due_at = {}", world.in_seconds(-1));
    world.execute(&due).await;
    // A later tick has seen it when it has claimed what became free after that.
    let other = world
        .begin(world.provider(1).await.current_run.unwrap())
        .await;
    world.finish(&other).await;
    world.execute(&due).await;
    world.waits_for(3).await;
    scheduler.stop().await;
    assert_eq!(world.provider(0).await.current_run, Some(busy));
    assert_eq!(begun.held.token, world.provider(0).await.token);
    assert_eq!(world.runs().await.len(), 3);
}

async fn a_scheduler_that_finds_nothing_to_do_leaves_no_trace(world: World) {
    world.add_providers(1).await;
    let paused = entity::provider::pause(&world.db, "provider-0", "moving house", "ops").await;
    assert_eq!(paused.unwrap(), entity::provider::Found::Yes);
    let quick = Config {
        tick: Duration::from_millis(1),
        ..config()
    };
    let scheduler = Role::start(&world, quick);
    // Ticks have passed when one of them has closed this request, which nothing came of.
    let asked = world.request(&[0]).await;
    testkit::eventually(
        crate::world::PATIENCE,
        "the request is closed",
        async || {
            let progress = entity::fan_out::progress(&world.db.read, asked).await;
            progress.unwrap().unwrap().closed
        },
    )
    .await;
    scheduler.stop().await;
    assert_eq!((world.runs().await.len(), world.waiting().await), (0, 0));
    assert_eq!(world.fan_outs().await.len(), 1);
}

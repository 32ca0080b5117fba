//! What was claimed reaches the queue, however often the queue loses it.

use entity::run::State;
use queue::QueueConfig;

use crate::on_both_databases;
use crate::role::{Role, config};
use crate::world::World;

on_both_databases!(
    runs_that_the_queue_has_lost_are_pushed_again_under_their_ids,
    runs_that_the_queue_refused_are_pushed_as_soon_as_it_takes_them,
);

async fn make_overdue(world: &World) {
    let sql = format!(
        "UPDATE run SET next_push_at = {} WHERE state = 'queued'",
        world.in_seconds(-1)
    );
    world.execute(&sql).await;
}

async fn runs_that_the_queue_has_lost_are_pushed_again_under_their_ids(mut world: World) {
    // More than one batch, and one that a worker has begun.
    world.add_providers(120).await;
    let scheduler = Role::start(&world, config());
    world.waits_for(120).await;
    scheduler.stop().await;
    let running = world.runs().await[0].id;
    world.begin(running).await;

    world.queue = queue::open(QueueConfig::default()).await.unwrap();
    let scheduler = Role::start(&world, config());
    make_overdue(&world).await;
    world.waits_for(119).await;
    scheduler.stop().await;
    assert_eq!(world.waiting().await, 119);
    let runs = world.runs().await;
    assert_eq!(runs.len(), 120);
    let pushed = runs.iter().filter(|run| run.push_count == 2);
    assert!(pushed.clone().all(|run| run.state == State::Queued));
    assert_eq!(pushed.count(), 119);
}

async fn runs_that_the_queue_refused_are_pushed_as_soon_as_it_takes_them(mut world: World) {
    world.add_providers(5).await;
    let small = QueueConfig {
        memory_limit: 2,
        ..QueueConfig::default()
    };
    world.queue = queue::open(small).await.unwrap();
    let scheduler = Role::start(&world, config());
    world.waits_for(2).await;
    testkit::eventually(crate::world::PATIENCE, "all are claimed", async || {
        world.runs().await.len() == 5
    })
    .await;
    scheduler.stop().await;
    assert_eq!(world.waiting().await, 2);

    world.queue = queue::open(QueueConfig::default()).await.unwrap();
    let scheduler = Role::start(&world, config());
    world.waits_for(5).await;
    scheduler.stop().await;
}

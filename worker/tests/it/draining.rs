//! A worker that stops: interrupted is not failed.

use std::time::Duration;

use entity::run::{Outcome, State};

use crate::feeds::{Answer, Feeds, base, feed};
use crate::on_both_databases;
use crate::role::{Role, config, memory, push, redis};
use crate::world::World;

on_both_databases!(
    a_stop_lets_running_syncs_finish,
    a_stop_takes_no_new_job,
    a_stop_past_its_deadline_hands_its_runs_back,
);

/// A provider whose feed waits for the test.
async fn waiting(world: &World) -> Feeds {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    feeds.close();
    world.add("acme", &feeds.url).await;
    feeds
}

async fn a_stop_lets_running_syncs_finish(world: World) {
    let feeds = waiting(&world).await;
    let queue = memory().await;
    let role = Role::start(&world, &queue, config("worker-1"));
    let run = world.claim_one("acme").await;
    push(&queue, run).await;
    feeds.asked_times(1).await;
    role.shutdown.cancel();
    feeds.open();
    role.stopped().await;
    assert_eq!(world.run(run).await.outcome, Some(Outcome::Stored));
    let depth = queue.producer().depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight), (0, 0));
}

async fn a_stop_takes_no_new_job(world: World) {
    let feeds = waiting(&world).await;
    let other = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    world.add("other", &other.url).await;
    let queue = memory().await;
    let role = Role::start(&world, &queue, config("worker-1"));
    let run = world.claim_one("acme").await;
    push(&queue, run).await;
    feeds.asked_times(1).await;
    role.shutdown.cancel();
    let late = world.provider("other").await.current_run.unwrap();
    push(&queue, late).await;
    feeds.open();
    role.stopped().await;
    assert_eq!(world.run(run).await.outcome, Some(Outcome::Stored));
    assert_eq!(world.run(late).await.state, State::Queued);
    assert!(other.asked().is_empty());
    assert_eq!(queue.producer().depth().await.unwrap().waiting, 1);
}

async fn a_stop_past_its_deadline_hands_its_runs_back(world: World) {
    let feeds = waiting(&world).await;
    let queue = memory().await;
    let mut impatient = config("worker-1");
    impatient.drain = Duration::ZERO;
    let role = Role::start(&world, &queue, impatient);
    let run = world.claim_one("acme").await;
    push(&queue, run).await;
    feeds.asked_times(1).await;
    role.stop().await;
    handed_back(&world, run).await;
    // It is at the head of the queue, for any worker.
    assert_eq!(queue.producer().depth().await.unwrap().waiting, 1);
    feeds.open();
    let next = Role::start(&world, &queue, config("worker-2"));
    next.idle().await;
    next.stop().await;
    let row = world.run(run).await;
    assert_eq!(
        (row.outcome, row.worker.as_deref()),
        (Some(Outcome::Stored), Some("worker-2"))
    );
}

async fn handed_back(world: &World, run: uuid::Uuid) {
    let row = world.run(run).await;
    assert_eq!((row.state, row.token, row.worker), (State::Queued, 2, None));
    let provider = world.provider("acme").await;
    assert_eq!((provider.token, provider.current_run), (2, Some(run)));
    let failures = [provider.consecutive_failures, provider.transient_failures];
    assert_eq!((failures, provider.consecutive_crashes), ([0, 0], 0));
    assert_eq!(world.version().await, 0);
}

#[tokio::test]
async fn a_run_that_was_handed_back_over_redis_is_taken_at_once() {
    let world = World::postgres().await;
    let feeds = waiting(&world).await;
    let (queue, _server) = redis().await;
    let mut impatient = config("worker-1");
    impatient.drain = Duration::ZERO;
    let role = Role::start(&world, &queue, impatient);
    let run = world.claim_one("acme").await;
    push(&queue, run).await;
    feeds.asked_times(1).await;
    let next = Role::start(&world, &queue, config("worker-2"));
    role.stop().await;
    feeds.asked_times(2).await;
    feeds.open();
    next.idle().await;
    next.stop().await;
    let row = world.run(run).await;
    assert_eq!(
        (row.outcome, row.worker.as_deref()),
        (Some(Outcome::Stored), Some("worker-2"))
    );
    assert_eq!((row.token, world.version().await), (2, 1));
}

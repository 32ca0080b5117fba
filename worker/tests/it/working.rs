//! The role: jobs in, outcomes out, whatever is delivered.

use entity::run::{Outcome, State};
use entity::{invariants, provider};
use simulator::Behavior;
use uuid::Uuid;

use crate::feeds::{Answer, Feeds, base, feed};
use crate::on_both_databases;
use crate::role::{Role, config, idle, memory, push, redis};
use crate::truth::start;
use crate::world::World;

on_both_databases!(
    every_job_ends_in_an_outcome,
    a_job_that_is_delivered_twice_has_one_effect,
    a_job_of_no_use_is_dropped,
    a_run_whose_token_was_raised_is_left_on_the_spot_and_writes_nothing,
    a_pause_stops_the_sync_that_is_on,
    a_lease_is_renewed_for_as_long_as_the_sync_takes,
    a_failed_feed_does_not_hurt_its_neighbours,
);

async fn every_job_ends_in_an_outcome(world: World) {
    let simulated = start(60);
    simulated.add_all(&world).await;
    let queue = memory().await;
    let role = Role::start(&world, &queue, config("worker-1"));
    let runs = world.claim().await;
    for run in &runs {
        push(&queue, *run).await;
    }
    role.idle().await;
    for run in runs {
        let run = world.run(run).await;
        assert_eq!(
            (run.outcome, run.worker.as_deref()),
            (Some(Outcome::Stored), Some("worker-1"))
        );
    }
    for name in simulated.simulator.provider_names() {
        simulated.holds(&world, &name, &[0]).await;
    }
    let known = entity::worker::list(&world.db.read).await.unwrap();
    assert_eq!(
        known.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(),
        ["worker-1"]
    );
    role.stop().await;
    assert!(
        entity::worker::list(&world.db.read)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
}

async fn a_job_that_is_delivered_twice_has_one_effect(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    world.add("acme", &feeds.url).await;
    feeds.close();
    let run = world.claim_one("acme").await;
    // Two queues know nothing of each other.
    let (first, second) = (memory().await, memory().await);
    let roles = [
        Role::start(&world, &first, config("worker-1")),
        Role::start(&world, &second, config("worker-2")),
    ];
    push(&first, run).await;
    feeds.asked_times(1).await;
    push(&second, run).await;
    idle(&second).await;
    feeds.open();
    idle(&first).await;
    push(&first, run).await;
    push(&second, run).await;
    idle(&first).await;
    idle(&second).await;
    for role in roles {
        role.stop().await;
    }
    let row = world.run(run).await;
    assert_eq!(
        (row.outcome, row.worker.as_deref()),
        (Some(Outcome::Stored), Some("worker-1"))
    );
    assert_eq!((feeds.asked().len(), world.version().await), (1, 1));
    assert_eq!(world.changes(run).await.len(), 1);
}

async fn a_job_of_no_use_is_dropped(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    world.add("acme", &feeds.url).await;
    let cancelled = world.claim_one("acme").await;
    provider::pause(&world.db, "acme", "enough", "ops")
        .await
        .unwrap();
    let queue = memory().await;
    let role = Role::start(&world, &queue, config("worker-1"));
    push(&queue, cancelled).await;
    push(&queue, Uuid::now_v7()).await;
    role.idle().await;
    role.stop().await;
    assert!(feeds.asked().is_empty());
    assert_eq!(world.run(cancelled).await.outcome, Some(Outcome::Cancelled));
}

async fn a_run_whose_token_was_raised_is_left_on_the_spot_and_writes_nothing(world: World) {
    let simulated = start(20);
    simulated.add_all(&world).await;
    let name = "provider-0001";
    simulated.behave(name, Behavior::Hang);
    let queue = memory().await;
    let role = Role::start(&world, &queue, config("worker-1"));
    let run = world.claim_one(name).await;
    push(&queue, run).await;
    simulated.comes_under_way(name).await;
    world
        .execute(&format!(
            "UPDATE provider SET token = token + 1 WHERE name = '{name}'"
        ))
        .await;
    world
        .execute("UPDATE run SET token = token + 1, worker = 'other' WHERE state = 'running'")
        .await;
    role.idle().await;
    testkit::eventually(
        crate::world::PATIENCE,
        "the fetch is given up",
        async || simulated.under_way(name) == 0,
    )
    .await;
    let row = world.run(run).await;
    assert_eq!(
        (row.state, row.outcome, row.error),
        (State::Running, None, None)
    );
    let provider = world.provider(name).await;
    assert_eq!(
        (provider.current_run, provider.consecutive_failures),
        (Some(run), 0)
    );
    assert_eq!(world.version().await, 0);
    role.stop().await;
}

async fn a_pause_stops_the_sync_that_is_on(world: World) {
    let simulated = start(20);
    simulated.add_all(&world).await;
    let name = "provider-0001";
    simulated.behave(name, Behavior::Hang);
    let queue = memory().await;
    let role = Role::start(&world, &queue, config("worker-1"));
    let run = world.claim_one(name).await;
    push(&queue, run).await;
    simulated.comes_under_way(name).await;
    provider::pause(&world.db, name, "moving house", "ops")
        .await
        .unwrap();
    role.idle().await;
    assert_eq!(world.run(run).await.outcome, Some(Outcome::Cancelled));
    role.stop().await;
}

async fn a_lease_is_renewed_for_as_long_as_the_sync_takes(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    world.add("acme", &feeds.url).await;
    feeds.close();
    let queue = memory().await;
    let role = Role::start(&world, &queue, config("worker-1"));
    let run = world.claim_one("acme").await;
    push(&queue, run).await;
    feeds.asked_times(1).await;
    let first = world.run(run).await.lease_until.unwrap();
    testkit::eventually(
        crate::world::PATIENCE,
        "the lease has been renewed",
        async || world.run(run).await.lease_until.unwrap() > first + config("").lease,
    )
    .await;
    feeds.open();
    role.idle().await;
    assert_eq!(world.run(run).await.outcome, Some(Outcome::Stored));
    role.stop().await;
}

async fn a_failed_feed_does_not_hurt_its_neighbours(world: World) {
    let simulated = start(40);
    simulated.add_all(&world).await;
    simulated.behave("provider-0001", Behavior::Hang);
    simulated.behave("provider-0002", Behavior::Malformed);
    simulated.behave("provider-0003", Behavior::ServerError);
    let queue = memory().await;
    let role = Role::start(&world, &queue, config("worker-1"));
    let runs = world.claim().await;
    for run in &runs {
        push(&queue, *run).await;
    }
    // One hangs for ever, and holds nothing but its own place.
    testkit::eventually(crate::world::PATIENCE, "the others are done", async || {
        let depth = queue.producer().depth().await.unwrap();
        (depth.waiting, depth.in_flight) == (0, 1)
    })
    .await;
    for name in ["provider-0004", "provider-0005", "provider-0006"] {
        simulated.holds(&world, name, &[0]).await;
    }
    for name in ["provider-0002", "provider-0003"] {
        assert_eq!(world.runs(name).await[0].outcome, Some(Outcome::Failed));
        assert!(world.events(name).await.is_empty());
    }
    provider::pause(&world.db, "provider-0001", "it hangs", "ops")
        .await
        .unwrap();
    role.idle().await;
    role.stop().await;
}

#[tokio::test]
async fn workers_that_share_a_redis_store_each_feed_once() {
    let world = World::postgres().await;
    let simulated = start(60);
    simulated.add_all(&world).await;
    let (queue, _server) = redis().await;
    let roles = ["worker-1", "worker-2"].map(|name| {
        let mut config = config(name);
        config.concurrency = 2;
        Role::start(&world, &queue, config)
    });
    let runs = world.claim().await;
    for run in &runs {
        push(&queue, *run).await;
        push(&queue, *run).await;
    }
    idle(&queue).await;
    for role in roles {
        role.stop().await;
    }
    assert_eq!(world.version().await, runs.len() as i64);
    for name in simulated.simulator.provider_names() {
        simulated.holds(&world, &name, &[0]).await;
        assert_eq!(simulated.simulator.stats().providers[&name].requests, 1);
    }
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
}

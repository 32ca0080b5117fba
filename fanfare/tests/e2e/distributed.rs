//! Many processes over one PostgreSQL and one Redis, against the truth of what was served.

use std::collections::BTreeSet;

use simulator::{Behavior, Simulator};
use testkit::{Database, Process, Signal, eventually};
use tokio_util::sync::CancellationToken;

use crate::truth::Truth;
use crate::world::{PATIENCE, Serving, World, ends_well};

const PROVIDERS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_three_workers_and_two_apis_know_all_that_fifty_providers_served() {
    let world = World::over(Database::postgres_empty().await)
        .with_redis()
        .await
        .with("FANFARE_WORKER_CONCURRENCY", "4");
    world.run(&["migrate"]).await.well();
    let simulator = simulate(&world);
    let world = world.with("FANFARE_PROVIDERS", "simulated.toml");

    let [first, second] = [world.serve(&["api"]).await, world.serve(&["api"]).await];
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(world.start_ready(&["worker"]).await);
    }
    // Both find a database without providers, and the same file to apply.
    processes.extend([world.start(&["scheduler"]), world.start(&["scheduler"])]);
    let db = world.db().await;
    first_round(&db).await;
    assert_eq!(workers(&db).await.len(), 3);
    for name in simulator.provider_names() {
        simulator.set_behavior(&name, Behavior::Normal).unwrap();
    }
    let truth = Truth::of(&simulator);
    assert!(truth.len() > PROVIDERS * 15, "{} events", truth.len());
    assert!(truth.count(|event| !event.ever_online) > 0);
    for serving in [&first, &second] {
        truth.check(&serving.api).await;
    }

    for rounds in [1, 1, 30] {
        for _ in 0..rounds {
            simulator.advance();
        }
        let told = world.run(&["sync", "--all", "--wait"]).await.well();
        assert!(told.contains("50 providers synced, 0 failed"), "{told}");
        Truth::of(&simulator).check_search(&second.api).await;
    }
    let truth = Truth::of(&simulator);
    assert!(truth.count(|event| event.gone) > 0);
    assert!(truth.count(|event| event.ever_online && event.sell_mode == "offline") > 0);
    for serving in [&first, &second] {
        truth.check(&serving.api).await;
    }

    let total = simulator.stats().total;
    assert_eq!((total.requests, total.other), (4 * PROVIDERS as u64, 0));
    // All are at one host, of which no more are fetched at once by all workers together.
    assert!(total.max_concurrent <= 4, "{total:?}");
    for (name, counts) in simulator.stats().providers {
        assert_eq!(counts.max_concurrent, 1, "{name}");
    }
    db.close().await;
    all_end_well(&processes, &[first, second]).await;
}

fn simulate(world: &World) -> Simulator {
    let config = simulator::Config {
        providers: PROVIDERS,
        events: 20,
        ..simulator::Config::default()
    };
    let simulator = simulator::start(testkit::free_listener(), config, CancellationToken::new());
    for name in simulator.provider_names() {
        // Long enough that no worker can do it all before the others have woken up.
        let slow = Behavior::SlowFirstByte { millis: 200 };
        simulator.set_behavior(&name, slow).unwrap();
    }
    world.file("simulated.toml", &simulator.providers_toml("1h"));
    simulator
}

async fn first_round(db: &entity::Database) {
    eventually(PATIENCE, "the first round", async || {
        let providers = entity::provider::list(&db.read).await.unwrap();
        let done = |provider: &entity::provider::Summary| {
            provider.last_success_at.is_some() && !provider.claimed
        };
        providers.len() == PROVIDERS && providers.iter().all(done)
    })
    .await;
}

async fn workers(db: &entity::Database) -> BTreeSet<String> {
    let mut workers = BTreeSet::new();
    for provider in entity::provider::active(&db.read).await.unwrap() {
        let runs = entity::run::latest(&db.read, provider.id, 10)
            .await
            .unwrap();
        workers.extend(runs.into_iter().filter_map(|run| run.worker));
    }
    workers
}

async fn all_end_well(processes: &[Process], serving: &[Serving]) {
    let serving = serving.iter().map(|serving| &serving.process);
    let all: Vec<_> = processes.iter().chain(serving).collect();
    for process in &all {
        process.signal(Signal::TERM);
    }
    for process in all {
        ends_well(process).await;
    }
}

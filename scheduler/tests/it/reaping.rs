//! A worker's silence is judged only by a scheduler that was there all the time.

use std::time::{Duration, Instant};

use entity::invariants;
use entity::run::{Outcome, State};
use scheduler::Config;

use crate::on_both_databases;
use crate::role::{Role, config};
use crate::world::{PATIENCE, World};

on_both_databases!(
    a_dead_workers_run_is_taken_over_and_pushed,
    nothing_is_reaped_before_one_lease_has_passed,
);

const LEASE: Duration = Duration::from_secs(1);

fn judging(lease: Duration) -> Config {
    Config { lease, ..config() }
}

/// A run whose worker has been silent for a day.
async fn silent(world: &World) -> uuid::Uuid {
    world.add_providers(1).await;
    let first = Role::start(world, config());
    world.waits_for(1).await;
    first.stop().await;
    let run = world.runs().await[0].id;
    world.begin(run).await;
    let sql = format!("UPDATE run SET lease_until = {}", world.in_seconds(-86_400));
    world.execute(&sql).await;
    run
}

async fn a_dead_workers_run_is_taken_over_and_pushed(world: World) {
    let run = silent(&world).await;
    let started = Instant::now();
    let scheduler = Role::start(&world, judging(LEASE));
    // Nobody takes jobs from this queue: the lost run's still waits there.
    world.waits_for(2).await;
    assert!(started.elapsed() >= LEASE, "{:?}", started.elapsed());
    scheduler.stop().await;
    let runs = world.runs().await;
    let lost = runs.iter().find(|other| other.id == run).unwrap();
    assert_eq!(
        (lost.state, lost.outcome),
        (State::Finished, Some(Outcome::Lost))
    );
    let takeover = runs.iter().find(|other| other.id != run).unwrap();
    assert_eq!(world.provider(0).await.current_run, Some(takeover.id));
    assert_eq!(takeover.state, State::Queued);
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
}

async fn nothing_is_reaped_before_one_lease_has_passed(world: World) {
    let run = silent(&world).await;
    let scheduler = Role::start(&world, judging(Duration::from_secs(3600)));
    // Ticks pass, as what they claim shows.
    for providers in [2, 3, 4] {
        world.add_providers(providers).await;
        world.waits_for(providers as u64).await;
    }
    testkit::eventually(PATIENCE, "ticks have sealed their fan-outs", async || {
        let fan_outs = world.fan_outs().await;
        fan_outs.len() == 4 && fan_outs.iter().all(|fan_out| fan_out.sealed_at.is_some())
    })
    .await;
    scheduler.stop().await;
    let runs = world.runs().await;
    let silent = runs.iter().find(|other| other.id == run).unwrap();
    assert_eq!((silent.state, silent.outcome), (State::Running, None));
}

//! What a scheduler measures, against databases and queues in a known state.

use std::time::Duration;

use scheduler::Config;
use testkit::{Measured, eventually};

use crate::on_both_databases;
use crate::role::{Role, config};
use crate::world::{PATIENCE, World};

on_both_databases!(
    a_backlog_is_told_as_the_database_and_the_queue_have_it,
    ages_are_told_of_up_to_a_thousand_providers_and_of_none_above,
    a_fan_out_is_measured_by_the_scheduler_that_closes_it,
    a_lost_run_is_counted_by_the_scheduler_that_finds_it,
    ticks_and_their_pulse_tell_that_the_database_is_there,
);

fn measured(told: &Measured) -> Config {
    Config {
        meter: told.meter(),
        watch: Duration::from_millis(50),
        ..config()
    }
}

/// Waits until all these series have these values.
async fn tells(told: &Measured, series: &[(&str, f64)]) {
    for (name, value) in series {
        eventually(PATIENCE, format!("{name} {value}"), async || {
            told.value(name) == Some(*value)
        })
        .await;
    }
}

async fn a_backlog_is_told_as_the_database_and_the_queue_have_it(world: World) {
    world.add_providers(3).await;
    let told = Measured::new();
    let scheduler = Role::start(&world, measured(&told));
    tells(
        &told,
        &[
            ("fanfare_queue_depth", 3.0),
            (r#"fanfare_queue_jobs{fanfare_state="waiting"}"#, 3.0),
            (r#"fanfare_queue_jobs{fanfare_state="in_flight"}"#, 0.0),
            ("fanfare_queue_running", 0.0),
            (r#"fanfare_providers{fanfare_staleness="never"}"#, 3.0),
            ("fanfare_dataset_version", 0.0),
        ],
    )
    .await;
    // Nothing has been begun: there is no telling.
    assert_eq!(told.value("fanfare_queue_drain_seconds"), None);
    let runs = world.runs().await;
    let begun = world.begin(runs[0].id).await;
    tells(
        &told,
        &[
            ("fanfare_queue_depth", 2.0),
            ("fanfare_queue_running", 1.0),
            // One a minute.
            ("fanfare_queue_drain_seconds", 120.0),
        ],
    )
    .await;
    world.finish(&begun).await;
    let oldest = world.in_seconds(-500);
    world
        .execute(&format!(
            "UPDATE run SET queued_at = {oldest} WHERE state = 'queued'"
        ))
        .await;
    tells(
        &told,
        &[(r#"fanfare_providers{fanfare_staleness="fresh"}"#, 1.0)],
    )
    .await;
    eventually(PATIENCE, "the oldest is old", async || {
        told.value("fanfare_queue_oldest_seconds")
            .is_some_and(|age| (499.0..600.0).contains(&age))
    })
    .await;
    assert_eq!(told.series_of("fanfare_provider_freshness_seconds"), 1);
    scheduler.stop().await;
}

async fn ages_are_told_of_up_to_a_thousand_providers_and_of_none_above(world: World) {
    world.add_providers(1_000).await;
    let later = world.in_seconds(3600);
    let recently = world.in_seconds(-10);
    let succeeded =
        format!("UPDATE provider SET last_success_at = {recently}, next_due_at = {later}");
    world.execute(&succeeded).await;
    let told = Measured::new();
    let scheduler = Role::start(&world, measured(&told));
    let ages = || told.series_of("fanfare_provider_freshness_seconds");
    eventually(PATIENCE, "all are told", async || ages() == 1_000).await;
    world.add_providers(1_001).await;
    world.execute(&succeeded).await;
    tells(
        &told,
        &[(r#"fanfare_providers{fanfare_staleness="fresh"}"#, 1_001.0)],
    )
    .await;
    assert_eq!(ages(), 0);
    scheduler.stop().await;
}

async fn a_fan_out_is_measured_by_the_scheduler_that_closes_it(world: World) {
    world.add_providers(2).await;
    let told = Measured::new();
    let scheduler = Role::start(&world, measured(&told));
    world.waits_for(2).await;
    let count = r#"fanfare_fan_out_duration_seconds_count{fanfare_trigger="tick"}"#;
    assert_eq!(told.value(count), None);
    let began = world.in_seconds(-90);
    world
        .execute(&format!("UPDATE fan_out SET started_at = {began}"))
        .await;
    for run in world.runs().await {
        let begun = world.begin(run.id).await;
        world.finish(&begun).await;
    }
    tells(&told, &[(count, 1.0)]).await;
    let lasted = told.value(r#"fanfare_fan_out_duration_seconds_sum{fanfare_trigger="tick"}"#);
    assert!(lasted.is_some_and(|lasted| (89.0..200.0).contains(&lasted)));
    scheduler.stop().await;
}

async fn a_lost_run_is_counted_by_the_scheduler_that_finds_it(world: World) {
    world.add_providers(2).await;
    let told = Measured::new();
    let lost = r#"fanfare_runs_total{fanfare_outcome="lost"}"#;
    let config = Config {
        lease: Duration::from_secs(1),
        ..measured(&told)
    };
    let scheduler = Role::start(&world, config);
    world.waits_for(2).await;
    tells(&told, &[(lost, 0.0)]).await;
    let runs = world.runs().await;
    world.begin(runs[0].id).await;
    let over = world.in_seconds(-1);
    world
        .execute(&format!(
            "UPDATE run SET lease_until = {over} WHERE state = 'running'"
        ))
        .await;
    tells(&told, &[(lost, 1.0)]).await;
    scheduler.stop().await;
}

async fn ticks_and_their_pulse_tell_that_the_database_is_there(world: World) {
    let told = Measured::new();
    let config = measured(&told);
    let pulse = config.pulse.clone();
    assert!(!pulse.within(PATIENCE));
    let scheduler = Role::start(&world, config);
    let failed = r#"fanfare_tick_duration_seconds_count{error_type="database"}"#;
    eventually(PATIENCE, "a tick", async || {
        told.value("fanfare_tick_duration_seconds_count") > Some(0.0)
    })
    .await;
    assert!(pulse.within(PATIENCE));
    tells(&told, &[("fanfare_queue_depth", 0.0)]).await;
    assert_eq!(told.value(failed), None);
    // Nothing is answered any more.
    world.db.clone().close().await;
    eventually(PATIENCE, "a tick that fails", async || {
        told.value(failed) > Some(0.0)
    })
    .await;
    let moment = Duration::from_millis(200);
    eventually(PATIENCE, "no pulse", async || !pulse.within(moment)).await;
    scheduler.stop().await;
}

//! A worker and a scheduler whose clocks are wrong: time is the database's, so that it changes
//! nothing. The clock is faked by libfaketime (Debian: `faketime`); without it nothing is tested.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use entity::{Database, provider};
use simulator::Behavior;
use testkit::Process;

use crate::checker::Check;
use crate::sql;
use crate::world::{World, closed, started, stop};

fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|library| library.is_file())
}

async fn start_at(world: &World, role: &str, library: &PathBuf, offset: &str) -> Process {
    let mut command = world.command(&[role]);
    command.env("LD_PRELOAD", library);
    command.env("FAKETIME", offset);
    // Only the wall clock is wrong; timers go on as they do.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    started(&command, role).await
}

/// Checks that a process' log bears a time that is off by this much.
fn is_off(process: &Process, minutes: i64) {
    let lines = process.lines();
    let stamped = lines.iter().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["timestamp"].as_str()?.parse().ok()
    });
    let stamp: chrono::DateTime<chrono::Utc> = stamped.unwrap();
    let off = (stamp - chrono::Utc::now()).num_seconds();
    assert!((off - minutes * 60).abs() < 60, "off by {off} s");
}

async fn next_visit(db: &Database, name: &str) -> Duration {
    let provider = provider::by_name(&db.write, name).await.unwrap().unwrap();
    let wait = provider.next_due_at - sql::now(db).await;
    wait.to_std().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_and_a_scheduler_five_minutes_off_change_nothing() {
    let Some(library) = libfaketime() else {
        eprintln!("NOT TESTED: wrong clocks need libfaketime (apt-get install faketime)");
        return;
    };
    for (scheduler, worker) in [(5, -5), (-5, 5)] {
        wrong_clocks(&library, scheduler, worker).await;
    }
}

async fn wrong_clocks(library: &PathBuf, scheduler_off: i64, worker_off: i64) {
    let offset = |minutes: i64| format!("{minutes:+}m");
    let world = World::of(6).await;
    let db = world.db().await;
    world
        .apply_file(&db, &world.simulator.providers_toml("2m"))
        .await;
    let since = sql::now(&db).await;
    let scheduler = start_at(&world, "scheduler", library, &offset(scheduler_off)).await;
    let wrong = start_at(&world, "worker", library, &offset(worker_off)).await;
    let right = world.worker().await;
    is_off(&scheduler, scheduler_off);
    is_off(&wrong, worker_off);

    // Longer than a lease: nobody may take the other for dead.
    world.behave(&Behavior::SlowFirstByte { millis: 5_000 });
    world.sync(&db).await;
    let lost = "SELECT count(*) FROM run WHERE outcome = 'lost'";
    assert_eq!(sql::value::<i64>(&db, lost).await, 0);
    for name in world.simulator.provider_names() {
        let wait = next_visit(&db, &name).await;
        // Half an interval to one and a half, less what this test has taken since.
        let sound = (30..=181).contains(&wait.as_secs());
        assert!(sound, "{name} in {wait:?}");
    }
    Check::after(&world, &db, since).holds().await;

    // A worker that is really dead is found so in time.
    world.simulator.advance();
    world.behave(&Behavior::Hang);
    let asked = world.request(&db).await;
    world.fetching(6).await;
    let killed = Instant::now();
    world.kill(&wrong).await;
    world.behave(&Behavior::Normal);
    world.kill(&right).await;
    let last = start_at(&world, "worker", library, &offset(worker_off)).await;
    closed(&db, asked).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    Check::after(&world, &db, since).holds().await;
    stop(&[&scheduler, &last]).await;
}

//! The benchmarks run; what they measure here means nothing.

use std::process::Command;
use std::time::Duration;

use testkit::Process;

/// A safety net for a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

async fn prints(arguments: &[&str], figures: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(arguments);
    let process = Process::start(&command);
    assert!(process.wait(PATIENCE).await.success());
    let printed = process.lines().join("\n");
    for figure in figures {
        assert!(printed.contains(figure), "no `{figure}` in:\n{printed}");
    }
}

#[tokio::test]
async fn the_fan_out_is_measured() {
    let figures = [
        "claims: 1000 due at once",
        "queue: 1000 no-op jobs",
        "from push to start on an idle queue",
        "an idle worker takes",
        "one after another",
        "statements a sync",
        "growth: a sync takes",
    ];
    prints(&["fanout", "--quick"], &figures).await;
}

#[tokio::test]
async fn a_sync_is_measured() {
    let figures = [
        "first sync",
        "COPY and merge of the rows",
        "other bytes",
        "0 event rows written; quick-xml alone",
        "same bytes",
        "not modified",
        "1 in 100 changed",
        "2 event rows written",
        "embedded SQLite",
        "20 events of 300 zones",
        "300 events of 3 zones",
        "bytes an event",
    ];
    let few = [
        "--events", "200", "--wide", "20", "--huge", "300", "--rounds", "1",
    ];
    prints(&[&["sync"][..], &few].concat(), &figures).await;
}

#[tokio::test]
async fn searches_are_measured() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join("wrk").is_file()) {
        eprintln!("skipped: wrk is not installed, see `apt-get install wrk`");
        return;
    }
    let figures = [
        "cached, 20 results",
        "axum alone",
        "not modified",
        "cached, 1000 results",
        "uncached, 20 results",
        "while events change",
        "from commit to fresh answer",
        "pgbench",
        "distinct searches",
    ];
    let few = [
        "--events",
        "2000",
        "--seconds",
        "1",
        "--rounds",
        "1",
        "--queries",
        "100",
        "--no-fail",
    ];
    prints(&[&["api"][..], &few].concat(), &figures).await;
}

#[tokio::test]
async fn the_cost_of_telemetry_is_measured() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join("wrk").is_file()) {
        eprintln!("skipped: wrk is not installed, see `apt-get install wrk`");
        return;
    }
    let figures = [
        "metrics ",
        "traces, 1 in 100",
        "traces, all ",
        "traces, all, wide queue",
        "spans arrived",
        "its CPU a request",
        "syncs, all traced",
        "a sync",
    ];
    let few = [
        "--seconds",
        "1",
        "--rounds",
        "1",
        "--providers",
        "20",
        "--no-fail",
    ];
    prints(&[&["telemetry"][..], &few].concat(), &figures).await;
}

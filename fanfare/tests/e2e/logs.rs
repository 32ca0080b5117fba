//! The one line that a run leaves in the log, as an operator greps for it.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::Value;
use testkit::{Process, Signal};

use crate::feed::{Feeds, upcoming};
use crate::world::{PATIENCE, World, on_both_databases, stop};

on_both_databases!(a_run_leaves_one_line_with_all_that_one_looks_for);

const GOOD: &str = "north";
const BAD: &str = "south";
const EVENTS: usize = 3;

async fn a_run_leaves_one_line_with_all_that_one_looks_for(world: World) {
    let all = world.all().await;
    let feeds = feeds(&world).await;
    world.sync(GOOD).await;
    world.sync(GOOD).await;
    world.run(&["sync", BAD, "--wait"]).await.badly();
    let workers = world.run(&["worker", "list", "--json"]).await.json();
    stop(&all.process, Signal::TERM).await;
    let lines = run_lines(&all.process);
    let of = |outcome: &str| {
        let of: Vec<_> = lines.iter().filter(|it| it["outcome"] == outcome).collect();
        // A tick may have come before the command, or between two of them.
        (*of.first()
            .unwrap_or_else(|| panic!("no {outcome}: {lines:?}")))
        .clone()
    };

    for (outcome, provider, status, level) in [
        ("stored", GOOD, 200, "INFO"),
        ("unchanged", GOOD, 200, "INFO"),
        ("failed", BAD, 500, "INFO"),
    ] {
        let line = of(outcome);
        assert_eq!(line["provider"], provider, "{line}");
        assert_eq!(line["http_status"], status, "{line}");
        assert_eq!(line["level"], level, "{line}");
        assert_eq!(line["worker"], workers[0]["name"], "{line}");
        assert!(line["next_due_at"].is_string(), "{line}");
        for ms in ["wait_ms", "fetch_ms", "store_ms", "total_ms"] {
            assert!(line[ms].is_u64(), "{ms}: {line}");
        }
        assert!(line["total_ms"].as_u64() >= line["fetch_ms"].as_u64());
        is_its_run(&world, &line).await;
    }
    let stored = of("stored");
    let body = upcoming(EVENTS, "A show").len();
    assert_eq!(
        (&stored["bytes"], &stored["new"]),
        (&body.into(), &EVENTS.into())
    );
    assert!(stored["wire_bytes"].is_u64(), "{stored}");
    for ms in ["parse_ms", "compare_ms"] {
        assert!(stored[ms].is_u64(), "{ms}: {stored}");
    }
    for count in [
        "changed",
        "unchanged",
        "gone",
        "returned",
        "held",
        "set_aside",
    ] {
        assert_eq!(stored[count], 0, "{count}: {stored}");
    }
    // None of its events names an organizer.
    assert_eq!(stored["warnings"], EVENTS);
    assert!(stored.get("error").is_none(), "{stored}");
    let failed = of("failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("500"), "{failed}");
    drop(feeds);
}

/// The line tells what the run's row tells, and the trace that `run show` tells.
async fn is_its_run(world: &World, line: &Value) {
    let id = line["run"].as_str().unwrap();
    let shown = world.run(&["run", "show", id, "--json"]).await.json();
    assert_eq!(shown["outcome"], line["outcome"]);
    assert_eq!(shown["error"].as_str(), line["error"].as_str());
    let trace = line["trace_id"].as_str().unwrap();
    let traceparent = shown["traceparent"].as_str().unwrap();
    assert_eq!(traceparent.split('-').nth(1), Some(trace), "{line}");
    let text = world.run(&["run", "show", id]).await.well();
    let told = |text: &str| text.starts_with("trace ") && text.contains(trace);
    assert!(text.lines().any(told), "{text}");
}

fn run_lines(process: &Process) -> Vec<Value> {
    let lines = process.lines();
    let logged = lines.iter().filter(|line| line.starts_with('{'));
    let parsed: Vec<Value> = logged
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let finished = |line: &Value| line["message"] == "run finished";
    let lines: Vec<_> = parsed.into_iter().filter(finished).collect();
    let runs: BTreeSet<_> = lines.iter().map(|line| line["run"].to_string()).collect();
    assert_eq!(runs.len(), lines.len(), "one line a run: {lines:?}");
    lines
}

async fn feeds(world: &World) -> Feeds {
    let feeds = Feeds::start();
    feeds.set(GOOD, upcoming(EVENTS, "A show"));
    feeds.fail(BAD, StatusCode::INTERNAL_SERVER_ERROR);
    let (good, bad) = (feeds.url(GOOD), feeds.url(BAD));
    world.apply(&[(GOOD, &good), (BAD, &bad)]).await;
    feeds
}

#[tokio::test]
async fn the_line_for_people_tells_where_its_trace_begins() {
    let world = World::embedded().await.with("FANFARE_LOG_FORMAT", "human");
    let all = world.all().await;
    let _feeds = feeds(&world).await;
    world.sync(GOOD).await;
    let finished = |line: &str| line.contains("run finished") && line.contains("outcome=stored");
    let line = all.process.wait_for_line(finished, PATIENCE).await;
    let run = world
        .run(&["run", "list", "--provider", GOOD, "--json"])
        .await;
    let runs = run.json();
    let stored = runs
        .as_array()
        .unwrap()
        .iter()
        .find(|run| run["outcome"] == "stored");
    let traceparent = stored.unwrap()["traceparent"].as_str().unwrap();
    assert!(
        line.ends_with(&format!(" trace={}", &traceparent[3..11])),
        "{line}"
    );
    assert!(!line.contains('\u{1b}'), "{line:?}");
    stop(&all.process, Signal::TERM).await;
}

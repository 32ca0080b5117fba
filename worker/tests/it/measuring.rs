//! What a worker measures, against runs whose ends are known.

use std::time::Duration;

use testkit::{Measured, eventually};
use uuid::Uuid;
use worker::Config;

use crate::feeds::{Answer, Feeds, base, feed};
use crate::on_both_databases;
use crate::role::{Role, config, memory, push};
use crate::world::{PATIENCE, World};

on_both_databases!(
    a_run_is_measured_once_by_its_outcome_stages_and_events,
    unchanged_and_failed_runs_are_measured_as_such,
    what_was_set_aside_is_counted_by_reason,
    a_run_in_hand_is_active_and_one_that_is_handed_back_is_counted_so,
    a_fenced_run_is_counted_so_and_has_no_duration,
    a_pulse_tells_that_the_database_has_taken_signs_of_life,
);

fn measured(measured: &Measured, config: Config) -> Config {
    Config {
        meter: measured.meter(),
        ..config
    }
}

/// Claims the provider's next run and pushes it; the run's id.
async fn next(world: &World, role: &Role) -> Uuid {
    let run = world.claim_one("acme").await;
    push(&role.queue, run).await;
    run
}

fn runs(measured: &Measured, outcome: &str) -> f64 {
    let series = format!("fanfare_runs_total{{fanfare_outcome=\"{outcome}\"}}");
    measured.value(&series).unwrap()
}

fn all_runs(measured: &Measured) -> f64 {
    [
        "stored",
        "unchanged",
        "failed",
        "fenced",
        "handed_back",
        "postponed",
    ]
    .map(|outcome| runs(measured, outcome))
    .iter()
    .sum()
}

fn events(measured: &Measured, change: &str) -> f64 {
    let series = format!("fanfare_events_total{{fanfare_change=\"{change}\"}}");
    measured.value(&series).unwrap()
}

fn fetches(measured: &Measured, class: &str) -> f64 {
    let series = format!("fanfare_fetches_total{{fanfare_status_class=\"{class}\"}}");
    measured.value(&series).unwrap()
}

fn stage(measured: &Measured, stage: &str, what: &str) -> Option<f64> {
    let name = "fanfare_run_stage_duration_seconds";
    measured.value(&format!("{name}_{what}{{fanfare_stage=\"{stage}\"}}"))
}

async fn a_run_is_measured_once_by_its_outcome_stages_and_events(world: World) {
    let body = feed(&format!("{}{}", base("1", "One"), base("2", "Two")));
    let feeds = Feeds::start(Answer::feed(body.clone())).await;
    world.add("acme", &feeds.url).await;
    let told = Measured::new();
    let role = Role::start(&world, &memory().await, measured(&told, config("worker-1")));
    eventually(PATIENCE, "the worker measures", async || {
        told.value("fanfare_worker_slots") == Some(16.0)
    })
    .await;
    assert_eq!(all_runs(&told), 0.0, "it begins at zero: {}", told.text());
    // It waits for its worker for a while.
    let run = world.claim_one("acme").await;
    let at = world.in_seconds(-40);
    world
        .execute(&format!("UPDATE run SET queued_at = {at}"))
        .await;
    push(&role.queue, run).await;
    role.idle().await;

    assert_eq!((runs(&told, "stored"), all_runs(&told)), (1.0, 1.0));
    assert_eq!(events(&told, "created"), 2.0);
    assert_eq!(
        (events(&told, "updated"), events(&told, "gone")),
        (0.0, 0.0)
    );
    assert_eq!((fetches(&told, "2xx"), fetches(&told, "none")), (1.0, 0.0));
    for form in ["wire", "body"] {
        let series = format!("fanfare_fetch_io_bytes_total{{fanfare_form=\"{form}\"}}");
        assert_eq!(told.value(&series), Some(body.len() as f64));
    }
    let row = world.run(run).await;
    let took = (row.finished_at.unwrap() - row.started_at.unwrap()).as_seconds_f64();
    let mut stages = 0.0;
    for name in ["fetch", "parse", "compare", "store"] {
        assert_eq!(stage(&told, name, "count"), Some(1.0), "{name}");
        stages += stage(&told, name, "sum").unwrap();
    }
    let duration = "fanfare_run_duration_seconds";
    let stored = "{fanfare_outcome=\"stored\"}";
    assert_eq!(told.value(&format!("{duration}_count{stored}")), Some(1.0));
    let lasted = told.value(&format!("{duration}_sum{stored}")).unwrap();
    assert!(lasted > 0.0 && lasted < took + 30.0, "{lasted} {took}");
    // Parse and compare overlap.
    assert!(stages > 0.0 && stages < 2.0 * lasted, "{stages} {lasted}");
    assert_eq!(told.value("fanfare_run_wait_seconds_count"), Some(1.0));
    let waited = told.value("fanfare_run_wait_seconds_sum").unwrap();
    assert!((39.9..100.0).contains(&waited), "{waited}");

    let more = feed(&format!("{}{}", base("1", "Other"), base("3", "Three")));
    world.never_hold().await;
    feeds.answer(Answer::feed(more));
    next(&world, &role).await;
    role.idle().await;
    role.stop().await;
    assert_eq!(runs(&told, "stored"), 2.0);
    assert_eq!(
        (events(&told, "created"), events(&told, "updated")),
        (3.0, 1.0)
    );
}

/// A feed that can be asked whether it has changed.
fn validated() -> Answer {
    Answer::feed(feed(&base("1", "One"))).with("etag", "\"1\"")
}

async fn unchanged_and_failed_runs_are_measured_as_such(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    world.add("acme", &feeds.url).await;
    let told = Measured::new();
    let role = Role::start(&world, &memory().await, measured(&told, config("worker-1")));
    for answer in [
        validated(),
        validated(),
        Answer::status(304),
        Answer::status(503),
        Answer::status(404),
        Answer::feed("no feed at all"),
    ] {
        feeds.answer(answer);
        next(&world, &role).await;
        role.idle().await;
    }
    // Nobody is there any more.
    drop(feeds);
    next(&world, &role).await;
    role.idle().await;
    role.stop().await;
    assert_eq!(runs(&told, "stored"), 1.0);
    assert_eq!(runs(&told, "unchanged"), 2.0, "{}", told.text());
    assert_eq!((runs(&told, "failed"), all_runs(&told)), (4.0, 7.0));
    let classes = ["2xx", "304", "3xx", "4xx", "5xx", "none"].map(|class| fetches(&told, class));
    assert_eq!(classes, [3.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(stage(&told, "fetch", "count"), Some(7.0));
    assert_eq!(stage(&told, "store", "count"), Some(7.0));
    assert_eq!(stage(&told, "parse", "count"), Some(1.0));
}

async fn what_was_set_aside_is_counted_by_reason(world: World) {
    let nameless = base("2", "").replace("title=\"\"", "");
    let dateless = base("3", "Three").replace("2021-06-30T21:00:00", "soon");
    let items = format!("{}{nameless}{dateless}", base("1", "One"));
    let feeds = Feeds::start(Answer::feed(feed(&items))).await;
    world.add("acme", &feeds.url).await;
    let told = Measured::new();
    let role = Role::start(&world, &memory().await, measured(&told, config("worker-1")));
    let run = next(&world, &role).await;
    role.idle().await;
    role.stop().await;
    let reasons = world.run(run).await.set_aside_reasons.unwrap();
    let reasons = reasons.as_object().unwrap();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    for (reason, items) in reasons {
        let series = format!("fanfare_set_asides_total{{fanfare_reason=\"{reason}\"}}");
        assert_eq!(told.value(&series), items.as_f64());
    }
    // One series a reason that there can be, and none besides.
    let reasons = worker::format::Reason::ALL.len();
    assert_eq!(told.series_of("fanfare_set_asides_total"), reasons);
}

async fn a_run_in_hand_is_active_and_one_that_is_handed_back_is_counted_so(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    feeds.close();
    world.add("acme", &feeds.url).await;
    let told = Measured::new();
    let config = Config {
        drain: Duration::from_millis(10),
        concurrency: 3,
        ..measured(&told, config("worker-1"))
    };
    let role = Role::start(&world, &memory().await, config);
    next(&world, &role).await;
    feeds.asked_times(1).await;
    assert_eq!(told.value("fanfare_run_active"), Some(1.0));
    assert_eq!(told.value("fanfare_worker_slots"), Some(3.0));
    role.stop().await;
    assert_eq!(told.value("fanfare_run_active"), Some(0.0));
    assert_eq!((runs(&told, "handed_back"), all_runs(&told)), (1.0, 1.0));
    assert_eq!(told.series_of("fanfare_run_duration_seconds_count"), 0);
}

async fn a_fenced_run_is_counted_so_and_has_no_duration(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    feeds.close();
    world.add("acme", &feeds.url).await;
    let told = Measured::new();
    let role = Role::start(&world, &memory().await, measured(&told, config("worker-1")));
    next(&world, &role).await;
    feeds.asked_times(1).await;
    world
        .execute("UPDATE run SET token = token + 1, worker = 'other' WHERE state = 'running'")
        .await;
    role.idle().await;
    role.stop().await;
    assert_eq!((runs(&told, "fenced"), all_runs(&told)), (1.0, 1.0));
    assert_eq!(told.series_of("fanfare_run_duration_seconds_count"), 0);
}

async fn a_pulse_tells_that_the_database_has_taken_signs_of_life(world: World) {
    let config = config("worker-1");
    let pulse = config.pulse.clone();
    assert!(!pulse.within(PATIENCE));
    let role = Role::start(&world, &memory().await, config);
    eventually(PATIENCE, "the first sign of life", async || {
        pulse.within(PATIENCE)
    })
    .await;
    // Nobody is there to take more.
    world.db.clone().close().await;
    let lease = Duration::from_secs(2);
    eventually(PATIENCE, "the silence is noticed", async || {
        !pulse.within(lease)
    })
    .await;
    role.shutdown.cancel();
    role.stopped().await;
}

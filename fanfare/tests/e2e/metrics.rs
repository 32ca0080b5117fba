//! What the processes tell by their metrics, against the list of them, Prometheus' own linter and a real
//! Prometheus.

mod connections;
mod fleet;
mod listed;
mod prometheus;
mod readiness;
mod scrape;

use std::collections::BTreeSet;

use testkit::{Process, Signal, eventually};

use crate::http::Api;
use crate::world::{PATIENCE, World, fanfare, stop};
use fleet::{Fleet, PROVIDERS, observed, scrape_of};
use listed::Listed;
use prometheus::lint;
use scrape::Scrape;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_tells_what_is_listed_for_it_and_nothing_else() {
    let fleet = Fleet::start().await;
    fleet.work().await;
    let listed = Listed::read();
    eventually(
        PATIENCE,
        "the scheduler has seen the round's end",
        async || {
            let scrape = fleet.scrape("scheduler").await;
            scrape.value(r#"fanfare_providers{fanfare_staleness="fresh"}"#) == Some(5.0)
                && scrape.value("fanfare_queue_depth") == Some(0.0)
                && scrape
                    .value(r#"fanfare_fan_out_duration_seconds_count{fanfare_trigger="command"}"#)
                    == Some(1.0)
        },
    )
    .await;
    for (role, sections) in [
        ("worker", &["Runs", "Every process"][..]),
        ("scheduler", &["Fan-outs", "Every process"]),
        ("api", &["API", "Every process"]),
    ] {
        let scrape = fleet.scrape(role).await;
        listed.knows_all_of(role, &scrape);
        let mut expected: BTreeSet<String> = BTreeSet::new();
        for section in sections {
            expected.extend(listed.section(section));
        }
        // Only of a process that exports.
        expected.retain(|name| !name.starts_with("otel_"));
        if role == "scheduler" {
            expected.insert("fanfare_runs_total".to_owned());
        } else if role == "worker" {
            // Nobody in it knows of it.
            expected.remove("fanfare_dataset_version");
        }
        let told = scrape.families();
        let missing: Vec<_> = expected.difference(&told).collect();
        assert_eq!(missing, [] as [&String; 0], "{role}: {}", scrape.text);
        let build = format!(r#"fanfare_build_info{{fanfare_role="{role}","#);
        assert!(scrape.text.contains(&build), "{}", scrape.text);
        lint(role, &scrape.text);
    }
    counts_are_right(&fleet).await;
    fleet.stop().await;
}

/// Two rounds of six providers, of which one fails each time.
async fn counts_are_right(fleet: &Fleet) {
    let worker = fleet.scrape("worker").await;
    let runs = |outcome: &str| {
        let series = format!(r#"fanfare_runs_total{{fanfare_outcome="{outcome}"}}"#);
        worker.value(&series).unwrap()
    };
    assert_eq!(runs("stored") + runs("unchanged"), 10.0);
    assert_eq!(runs("failed"), 2.0);
    assert_eq!(worker.value("fanfare_run_wait_seconds_count"), Some(12.0));
    let failed = r#"fanfare_fetches_total{fanfare_status_class="5xx"}"#;
    assert_eq!(worker.value(failed), Some(2.0));
    let queue = r#"db_client_connection_max{db_client_connection_pool_name="queue"}"#;
    assert!(worker.value(queue).unwrap() >= 1.0);
    let scheduler = fleet.scrape("scheduler").await;
    let db = fleet.world.db().await;
    let version = entity::dataset::version(&db.read).await.unwrap().number;
    db.close().await;
    for (series, value) in [
        ("fanfare_dataset_version", version as f64),
        ("fanfare_workers", 1.0),
        (r#"fanfare_runs_total{fanfare_outcome="lost"}"#, 0.0),
        (r#"fanfare_providers{fanfare_staleness="never"}"#, 1.0),
        (r#"fanfare_provider_breakers{fanfare_state="closed"}"#, 6.0),
        ("fanfare_provider_breaker_open_seconds", 0.0),
        ("fanfare_queue_drain_seconds", 0.0),
        (r#"fanfare_queue_jobs{fanfare_state="waiting"}"#, 0.0),
    ] {
        assert_eq!(scheduler.value(series), Some(value), "{series}");
    }
    let fresh = scheduler.series_of("fanfare_provider_freshness_seconds");
    assert_eq!(fresh, PROVIDERS - 1);
}

#[tokio::test]
async fn every_role_in_one_process_tells_each_series_once_at_the_apis_address_or_the_given_one() {
    let world = World::embedded().await;
    let all = world.all().await;
    let metrics = all.api.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    let scrape = Scrape::parse(&metrics.body);
    assert!(
        scrape.value("fanfare_worker_slots").is_some(),
        "{}",
        scrape.text
    );
    Listed::read().knows_all_of("all", &scrape);
    lint("all", &scrape.text);
    assert!(!all.api.get("/openapi.json").await.body.contains("/metrics"));
    stop(&all.process, Signal::TERM).await;

    let mut command = fanfare(&["demo", "--providers", "2", "--log", "info"]);
    command
        .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--observe-listen", "127.0.0.1:0"]);
    let demo = Process::start(&command);
    let origin = observed(&demo).await;
    let ready = Api::new(&origin);
    eventually(PATIENCE, "its roles work", async || {
        ready.get("/readyz").await.status == 200
    })
    .await;
    Listed::read().knows_all_of("demo", &scrape_of(&origin).await);
    let tries = |line: &str| line.contains("/v1/providers");
    let line = demo.wait_for_line(tries, PATIENCE).await;
    let start = line.find("http://").unwrap();
    let api = Api::new(line[start..].trim_end_matches("/v1/providers"));
    assert_eq!(api.get("/metrics").await.status, 404);
    stop(&demo, Signal::TERM).await;
}

//! A fan-out over several processes arrives at a receiver as one whole trace, whatever transport
//! takes it there, and has the spans that `docs/TELEMETRY.md` lists; so
//! do the requests to an API beside it.

mod documented;
mod receiver;

use std::collections::{BTreeMap, BTreeSet};

use entity::fan_out;
use entity::run::{self, Outcome};
use sea_orm::EntityTrait;
use simulator::Simulator;
use testkit::{Process, Signal, eventually};
use tokio_util::sync::CancellationToken;

use self::receiver::{Receiver, Span, Transport};
use crate::http::Api;
use crate::world::{PATIENCE, World, ends_well};

const PROVIDERS: usize = 20;
/// Of every run in its worker, besides the consumer's own and that of the one request to its provider.
const STAGES: [&str; 4] = ["wait", "begin", "fetch", "store"];
/// Of a run whose feed is another than the last.
const OF_CHANGED: [&str; 2] = ["parse", "compare"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_outs_arrive_as_whole_traces_by_http() {
    arrive(Transport::Http).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_outs_arrive_as_whole_traces_by_grpc() {
    arrive(Transport::Grpc).await;
}

async fn arrive(transport: Transport) {
    let Some(receiver) = Receiver::start(transport).await else {
        return;
    };
    let world = World::distributed()
        .await
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint)
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", transport.protocol())
        .with("OTEL_METRICS_EXPORTER", "none")
        // Spans leave a process at its end or not at all, within this test.
        .with("OTEL_BSP_SCHEDULE_DELAY", "600000")
        .with("FANFARE_HOST_CONCURRENCY", "100");
    let simulator = simulate(&world);
    let world = world.with("FANFARE_PROVIDERS", "simulated.toml");
    let db = world.db().await;
    let api = world.serve(&["api"]).await;
    let workers = [
        world.start_ready(&["worker"]).await,
        world.start_ready(&["worker"]).await,
    ];
    let scheduler = world.start_ready(&["scheduler"]).await;
    closed(&db, 1).await;
    simulator.advance();
    world.run(&["sync", "--all"]).await.well();
    // Whoever stops with the last run still tells of it.
    finished(&db, 2 * PROVIDERS).await;
    for worker in &workers {
        worker.signal(Signal::TERM);
    }
    let fan_outs = closed(&db, 2).await;
    scheduler.signal(Signal::TERM);
    ask(&api.api).await;
    api.process.signal(Signal::TERM);
    for process in workers.iter().chain([&scheduler, &api.process]) {
        ends_well(process).await;
    }

    let runs = run::Entity::find().all(&db.read).await.unwrap();
    for (fan_out, root) in fan_outs.iter().zip(["fan-out", "request fan-out"]) {
        let trace = fan_out.traceparent.as_deref().unwrap();
        let trace = trace.split('-').nth(1).unwrap();
        let of_it = runs.iter().filter(|run| trace_of(run) == trace);
        let changed = of_it.filter(|run| run.outcome == Some(Outcome::Stored));
        let expected = expected(root, changed.count());
        assert!(expected["parse"] > 0, "no feed was parsed");
        let spans = receiver.trace(trace, expected.values().sum()).await;
        is_whole(&spans, root, &expected);
        are_logged(&workers, trace);
    }
    is_shown(&world, &runs[0]).await;
    db.close().await;
    documented::arrive(&receiver).await;
    let hit = |span: &Span| {
        span.attributes
            .get("fanfare.cache")
            .is_some_and(|it| it == "hit")
    };
    assert!(receiver.spans().iter().any(hit), "no answer was at hand");
}

/// Asks the API what has to be read and what is at hand, and for what it does not have.
async fn ask(api: &Api) {
    const AGAIN: usize = 3;
    for (address, status) in [
        ("/v1/events/search?limit=2", 200),
        ("/v1/providers", 200),
        ("/nowhere", 404),
    ] {
        // A newer version is adopted between two of them, not between all.
        for _ in 0..AGAIN {
            assert_eq!(api.get(address).await.status, status, "{address}");
        }
    }
}

fn simulate(world: &World) -> Simulator {
    let config = simulator::Config {
        providers: PROVIDERS,
        events: 5,
        ..simulator::Config::default()
    };
    let simulator = simulator::start(testkit::free_listener(), config, CancellationToken::new());
    world.file("simulated.toml", &simulator.providers_toml("1h"));
    simulator
}

/// So many fan-outs, once all are closed, the oldest first.
async fn closed(db: &entity::Database, count: usize) -> Vec<fan_out::Model> {
    eventually(PATIENCE, "the fan-outs close", async || {
        let mut fan_outs = fan_out::Entity::find().all(&db.write).await.unwrap();
        fan_outs.sort_by_key(|fan_out| fan_out.started_at);
        let all = fan_outs.iter().all(|fan_out| fan_out.closed_at.is_some());
        (all && fan_outs.len() == count).then_some(fan_outs)
    })
    .await
}

async fn finished(db: &entity::Database, count: usize) {
    eventually(PATIENCE, "the runs end", async || {
        let runs = run::Entity::find().all(&db.write).await.unwrap();
        let finished = runs.iter().filter(|run| run.finished_at.is_some());
        finished.count() == count
    })
    .await;
}

fn trace_of(run: &run::Model) -> &str {
    let traceparent = run.traceparent.as_deref().unwrap();
    traceparent.split('-').nth(1).unwrap()
}

/// How many spans of each name a fan-out has, of whose feeds so many are others than the last.
fn expected(root: &'static str, changed: usize) -> BTreeMap<&'static str, usize> {
    let once = [root, "claim", "fan-out closed"].map(|name| (name, 1));
    let of_runs = ["send sync", "process sync", "GET"].into_iter();
    let of_runs = of_runs.chain(STAGES).map(|name| (name, PROVIDERS));
    let of_changed = OF_CHANGED.map(|name| (name, changed));
    once.into_iter().chain(of_runs).chain(of_changed).collect()
}

/// Checks that a trace has all of its spans, each where it belongs.
fn is_whole(spans: &[Span], root: &str, expected: &BTreeMap<&str, usize>) {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "a span has come twice");
    let roots: Vec<_> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert_eq!(
        (roots.len(), roots[0].name.as_str()),
        (1, root),
        "{roots:?}"
    );
    let mut counts = BTreeMap::new();
    for span in spans {
        *counts.entry(span.name.as_str()).or_insert(0) += 1;
        let parent = by_id
            .get(span.parent.as_str())
            .map(|span| span.name.as_str());
        let belongs = match span.name.as_str() {
            "claim" | "send sync" | "fan-out closed" => Some(root),
            "process sync" => Some("send sync"),
            "GET" => Some("fetch"),
            name if name == root => None,
            name if STAGES.contains(&name) || OF_CHANGED.contains(&name) => Some("process sync"),
            name => panic!("what is `{name}` doing here?"),
        };
        assert_eq!(parent, belongs, "{span:?}");
    }
    assert_eq!(&counts, expected);
    for name in ["send sync", "process sync"] {
        let of_it = spans.iter().filter(|span| span.name == name);
        let runs: BTreeSet<_> = of_it.map(|span| &span.attributes["fanfare.run"]).collect();
        assert_eq!(runs.len(), PROVIDERS, "{name}");
    }
}

/// Checks that the workers' lines on the runs of a fan-out lead to its trace.
fn are_logged(workers: &[Process], trace: &str) {
    let lines = workers.iter().flat_map(Process::lines);
    let ended = lines.filter(|line| line.contains("run finished") && line.contains(trace));
    assert_eq!(ended.count(), PROVIDERS);
}

/// Checks that a run shows where its trace is.
async fn is_shown(world: &World, run: &run::Model) {
    let id = run.id.to_string();
    let trace = run
        .traceparent
        .as_deref()
        .unwrap()
        .split('-')
        .nth(1)
        .unwrap();
    let shown = world.run(&["run", "show", &id]).await.well();
    let line = shown
        .lines()
        .find(|line| line.starts_with("trace "))
        .unwrap();
    assert_eq!(line.split_whitespace().nth(1), Some(trace), "{shown}");
    let shown = world.run(&["run", "show", &id, "--json"]).await.json();
    assert_eq!(shown["trace_id"], trace);
}

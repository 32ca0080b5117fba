//! The trace of a run in its worker.

use std::time::Duration;

use entity::claim::claim_due;
use entity::run::Outcome;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use queue::{Push, Queue};
use testkit::{SpanData, attribute, spans};
use uuid::Uuid;

use crate::feeds::{Answer, Feeds, base, feed};
use crate::on_both_databases;
use crate::role::{Role, config, memory};
use crate::world::World;

on_both_databases!(
    a_run_has_its_stages_within_the_consumers_span,
    a_failure_is_told_by_the_spans_that_it_ended,
    a_wait_is_as_long_as_the_database_says,
    what_is_not_sampled_makes_no_span,
    a_run_that_is_handed_back_is_told_as_such,
    a_run_that_waited_for_its_host_is_pushed_within_its_trace,
);

/// A trace that no other test has, as a scheduler's span began it.
struct Traced {
    id: TraceId,
    traceparent: String,
}

const SENT: &str = "00f067aa0ba902b7";

impl Traced {
    fn new(flags: &str) -> Self {
        let id = Uuid::new_v4().simple().to_string();
        Self {
            traceparent: format!("00-{id}-{SENT}-{flags}"),
            id: TraceId::from_hex(&id).unwrap(),
        }
    }

    /// Claims what is due in this trace, and gives its runs.
    async fn claim(&self, world: &World) -> Vec<Uuid> {
        let traceparent = Some(self.traceparent.as_str());
        let claimed = claim_due(&world.db, Uuid::now_v7(), traceparent, 100).await;
        claimed.unwrap().unwrap().iter().map(|run| run.id).collect()
    }

    async fn push(&self, queue: &Queue, run: Uuid) {
        let push = Push::of_run(run, Some(self.traceparent.clone()));
        queue.producer().push(&[push]).await.unwrap();
    }

    /// Claims and syncs what is due.
    async fn sync(&self, world: &World) -> Vec<Uuid> {
        let queue = memory().await;
        let role = Role::start_traced(world, &queue, config("worker-1"));
        let runs = self.claim(world).await;
        for run in &runs {
            self.push(&queue, *run).await;
        }
        role.idle().await;
        role.stop().await;
        runs
    }

    fn spans(&self) -> Vec<SpanData> {
        spans().of_trace(self.id)
    }

    fn named(&self, name: &str) -> Vec<SpanData> {
        let mut spans = self.spans();
        spans.retain(|span| span.name == name);
        spans
    }

    fn one(&self, name: &str) -> SpanData {
        let mut spans = self.named(name);
        assert_eq!(spans.len(), 1, "{name}: {spans:?}");
        spans.remove(0)
    }
}

fn has(span: &SpanData, attributes: &[(&str, &str)]) {
    for (key, value) in attributes {
        assert_eq!(attribute(span, key).as_deref(), Some(*value), "{key}");
    }
}

fn is_within(span: &SpanData, parent: &SpanData) {
    assert_eq!(
        span.parent_span_id,
        parent.span_context.span_id(),
        "{} is not within {}",
        span.name,
        parent.name
    );
}

fn failed(span: &SpanData, error_type: &str) {
    has(span, &[("error.type", error_type)]);
    assert_eq!(span.status, Status::error(""), "{}", span.name);
}

async fn a_run_has_its_stages_within_the_consumers_span(world: World) {
    let traced = Traced::new("01");
    let body = feed(&base("1", "One"));
    let feeds = Feeds::start(Answer::feed(&body)).await;
    let moved = format!("{}?key=hunter2", feeds.url);
    let redirect = Feeds::start(Answer::status(302).with("location", &moved)).await;
    world.add("acme", &redirect.url).await;
    let run = traced.sync(&world).await.remove(0).to_string();

    let process = traced.one("process sync");
    assert_eq!(process.parent_span_id, SpanId::from_hex(SENT).unwrap());
    assert_eq!(process.span_kind, SpanKind::Consumer);
    assert_eq!(process.status, Status::Unset);
    has(
        &process,
        &[
            ("messaging.system", "fanfare"),
            ("messaging.destination.name", "fanfare"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.message.id", &run),
            ("messaging.client.id", "worker-1"),
            ("fanfare.run", &run),
            ("fanfare.provider", "acme"),
            ("fanfare.outcome", "stored"),
        ],
    );
    let stages = ["wait", "begin", "fetch", "parse", "compare", "store"];
    for name in stages {
        is_within(&traced.one(name), &process);
    }
    assert_eq!(traced.spans().len(), 1 + stages.len() + 2);

    let system = world.db.kind().system_name();
    has(&traced.one("wait"), &[("fanfare.run", &run)]);
    let begin = traced.one("begin");
    assert_eq!(begin.span_kind, SpanKind::Client);
    has(
        &begin,
        &[("db.system.name", system), ("db.operation.name", "UPDATE")],
    );
    let fetch = traced.one("fetch");
    let bytes = body.len().to_string();
    has(
        &fetch,
        &[
            ("server.address", "127.0.0.1"),
            ("fanfare.bytes", &bytes),
            ("fanfare.wire_bytes", &bytes),
        ],
    );
    has(&traced.one("parse"), &[("fanfare.bytes", &bytes)]);
    has(
        &traced.one("compare"),
        &[("fanfare.known", "0"), ("fanfare.different", "1")],
    );
    let store = traced.one("store");
    assert_eq!(store.span_kind, SpanKind::Client);
    has(
        &store,
        &[
            ("db.system.name", system),
            ("db.operation.name", "COMMIT"),
            ("fanfare.rows", "1"),
        ],
    );

    let requests = traced.named("GET");
    assert_eq!(requests.len(), 2);
    for (request, (url, status)) in requests
        .iter()
        .zip([(&redirect.url, "302"), (&feeds.url, "200")])
    {
        is_within(request, &fetch);
        assert_eq!(request.span_kind, SpanKind::Client);
        let port = url.split([':', '/']).nth(4).unwrap();
        has(
            request,
            &[
                ("http.request.method", "GET"),
                ("url.full", url),
                ("server.address", "127.0.0.1"),
                ("server.port", port),
                ("http.response.status_code", status),
            ],
        );
    }
    let resent = |span| attribute(span, "http.request.resend_count");
    assert_eq!(resent(&requests[0]), None);
    assert_eq!(resent(&requests[1]).as_deref(), Some("1"));
    assert!(!format!("{:?}", traced.spans()).contains("hunter2"));
}

async fn a_failure_is_told_by_the_spans_that_it_ended(world: World) {
    let feeds = Feeds::start(Answer::status(503)).await;
    world.add("acme", &feeds.url).await;
    let refused = Traced::new("01");
    refused.sync(&world).await;
    for name in ["GET", "fetch", "process sync"] {
        failed(&refused.one(name), "503");
    }
    has(
        &refused.one("process sync"),
        &[("fanfare.outcome", "failed")],
    );
    assert_eq!(refused.one("store").status, Status::Unset);

    feeds.answer(Answer::feed("<planList><output>"));
    let due = format!("UPDATE provider SET next_due_at = {}", world.in_seconds(-1));
    world.execute(&due).await;
    let broken = Traced::new("01");
    broken.sync(&world).await;
    for name in ["parse", "process sync"] {
        failed(&broken.one(name), "parse");
    }
    assert_eq!(broken.one("fetch").status, Status::Unset);

    drop(feeds);
    world.execute(&due).await;
    let unreachable = Traced::new("01");
    unreachable.sync(&world).await;
    for name in ["GET", "fetch", "process sync"] {
        failed(&unreachable.one(name), "connect");
    }
}

async fn a_wait_is_as_long_as_the_database_says(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    world.add("acme", &feeds.url).await;
    let traced = Traced::new("01");
    let queue = memory().await;
    let run = traced.claim(&world).await[0];
    // As if the machine that claimed it had another time: only the database's counts.
    let longer = format!("UPDATE run SET queued_at = {}", world.in_seconds(-300));
    world.execute(&longer).await;
    let role = Role::start_traced(&world, &queue, config("worker-1"));
    traced.push(&queue, run).await;
    role.idle().await;
    role.stop().await;
    let (wait, begin) = (traced.one("wait"), traced.one("begin"));
    let row = world.run(run).await;
    let queued_for = (row.started_at.unwrap() - row.queued_at).to_std().unwrap();
    let took = wait.end_time.duration_since(wait.start_time).unwrap();
    assert!(queued_for >= Duration::from_secs(300));
    assert!(
        took.abs_diff(queued_for) < Duration::from_millis(1),
        "{took:?} {queued_for:?}"
    );
    assert!(wait.end_time <= begin.end_time);
}

async fn what_is_not_sampled_makes_no_span(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    world.add("acme", &feeds.url).await;
    let traced = Traced::new("00");
    let run = traced.sync(&world).await.remove(0);
    assert_eq!(world.run(run).await.outcome, Some(Outcome::Stored));
    assert!(traced.spans().is_empty(), "{:?}", traced.spans());
    assert!(spans().with("fanfare.run", &run.to_string()).is_empty());
}

async fn a_run_that_is_handed_back_is_told_as_such(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    feeds.close();
    world.add("acme", &feeds.url).await;
    let traced = Traced::new("01");
    let queue = memory().await;
    let mut impatient = config("worker-1");
    impatient.drain = Duration::ZERO;
    let role = Role::start_traced(&world, &queue, impatient);
    let run = traced.claim(&world).await[0];
    traced.push(&queue, run).await;
    feeds.asked_times(1).await;
    role.stop().await;
    has(
        &traced.one("process sync"),
        &[("fanfare.outcome", "handed_back")],
    );

    feeds.open();
    let next = Role::start_traced(&world, &queue, config("worker-2"));
    next.idle().await;
    next.stop().await;
    // Both held what was sent once.
    let held = traced.named("process sync");
    assert_eq!(held.len(), 2);
    for span in &held {
        assert_eq!(span.parent_span_id, SpanId::from_hex(SENT).unwrap());
    }
    has(
        &held[1],
        &[
            ("fanfare.outcome", "stored"),
            ("messaging.client.id", "worker-2"),
        ],
    );
}

async fn a_run_that_waited_for_its_host_is_pushed_within_its_trace(world: World) {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    feeds.close();
    world.add("one", &feeds.url).await;
    world.add("two", &feeds.url).await;
    let traced = Traced::new("01");
    let queue = memory().await;
    let mut polite = config("worker-1");
    polite.politeness.concurrency = 1;
    let role = Role::start_traced(&world, &queue, polite);
    let runs = traced.claim(&world).await;
    for run in &runs {
        traced.push(&queue, *run).await;
    }
    feeds.asked_times(1).await;
    testkit::eventually(crate::world::PATIENCE, "the other waits", async || {
        let postponed = [world.run(runs[0]).await, world.run(runs[1]).await];
        postponed.iter().any(|run| run.postponed_for.is_some())
    })
    .await;
    feeds.open();
    role.idle().await;
    role.stop().await;
    let again = traced.one("send sync");
    assert_eq!(again.parent_span_id, SpanId::from_hex(SENT).unwrap());
    assert_eq!(again.span_kind, SpanKind::Producer);
    let run = attribute(&again, "fanfare.run").unwrap();
    let mut held = traced.named("process sync");
    held.retain(|span| attribute(span, "fanfare.run").as_deref() == Some(&run));
    // It was in its worker's hands before, without being begun.
    assert_eq!(held.len(), 2);
    assert_eq!(attribute(&held[0], "fanfare.outcome"), None);
    is_within(&held[1], &again);
    has(&held[1], &[("fanfare.outcome", "stored")]);
}

//! The trace of a fan-out, as far as its schedulers make it.

use std::collections::BTreeSet;
use std::time::Duration;

use entity::fan_out;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceId};
use queue::QueueConfig;
use scheduler::Config;
use testkit::{Spans, attribute, spans};
use uuid::Uuid;

use crate::on_both_databases;
use crate::role::{Role, config};
use crate::world::{PATIENCE, World};

on_both_databases!(
    a_tick_is_one_trace_with_a_producers_span_for_each_run,
    runs_past_the_limit_begin_traces_of_their_own_that_link_to_their_fan_out,
    a_request_goes_on_in_its_trace_and_past_the_limit_beside_it,
    what_is_not_sampled_stays_so,
    a_run_that_is_pushed_again_goes_on_in_its_trace,
    a_push_that_fails_is_told_by_its_span,
    a_fan_out_ends_with_a_span_as_long_as_it_took,
    a_run_that_is_lost_is_told_in_its_trace,
);

/// A `traceparent` of a trace that no other test has.
fn traceparent(sampled: bool) -> (String, TraceId) {
    let trace = Uuid::new_v4().simple().to_string();
    let flags = u8::from(sampled);
    let id = TraceId::from_hex(&trace).unwrap();
    (format!("00-{trace}-00f067aa0ba902b7-{flags:02x}"), id)
}

fn ids(traceparent: &str) -> (TraceId, SpanId) {
    let parts: Vec<_> = traceparent.split('-').collect();
    (
        TraceId::from_hex(parts[1]).unwrap(),
        SpanId::from_hex(parts[2]).unwrap(),
    )
}

fn told(context: &SpanContext) -> (TraceId, SpanId) {
    (context.trace_id(), context.span_id())
}

fn with_children(trace_children: u64) -> Config {
    Config {
        batch: 5,
        trace_children,
        ..config()
    }
}

/// Schedules until so many jobs wait.
async fn schedule(world: &World, config: Config, jobs: u64) {
    let scheduler = Role::start(world, config);
    world.waits_for(jobs).await;
    scheduler.stop().await;
}

async fn stored(world: &World) -> BTreeSet<String> {
    let runs = world.runs().await.into_iter();
    runs.map(|run| run.traceparent.unwrap()).collect()
}

async fn a_tick_is_one_trace_with_a_producers_span_for_each_run(world: World) {
    let kept = spans();
    world.add_providers(7).await;
    schedule(&world, with_children(500), 7).await;
    let fan_out = world.fan_outs().await.remove(0);
    let (trace, root) = ids(fan_out.traceparent.as_deref().unwrap());

    let all = kept.of_trace(trace);
    let named = |name: &str| all.iter().filter(|span| span.name == name).collect();
    let roots: Vec<_> = named("fan-out");
    assert_eq!((roots.len(), roots[0].span_context.span_id()), (1, root));
    assert_eq!(roots[0].parent_span_id, SpanId::INVALID);
    for (key, value) in [
        ("fanfare.fan_out", fan_out.id.to_string().as_str()),
        ("fanfare.trigger", "tick"),
        ("fanfare.runs", "7"),
    ] {
        assert_eq!(attribute(roots[0], key).as_deref(), Some(value), "{key}");
    }
    // Two batches.
    let claims: Vec<_> = named("claim");
    let claimed = claims.iter().map(|span| attribute(span, "fanfare.runs"));
    assert_eq!(
        claimed.collect::<Option<Vec<_>>>().unwrap(),
        ["5".to_owned(), "2".to_owned()]
    );
    let sent: Vec<_> = named("send sync");
    assert_eq!(all.len(), 1 + 2 + 7);
    for span in claims.iter().chain(&sent) {
        assert_eq!(span.parent_span_id, root, "{span:?}");
    }

    for run in world.runs().await {
        let of_it = sent
            .iter()
            .find(|span| attribute(span, "fanfare.run").as_deref() == Some(&*run.id.to_string()));
        let span = of_it.unwrap();
        assert_eq!(
            ids(run.traceparent.as_deref().unwrap()),
            told(&span.span_context)
        );
        assert_eq!(span.span_kind, SpanKind::Producer);
        assert_eq!(span.status, Status::Unset);
        for (key, value) in [
            ("messaging.system", "fanfare"),
            ("messaging.destination.name", "fanfare"),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.message.id", &run.id.to_string()),
        ] {
            assert_eq!(attribute(span, key).as_deref(), Some(value), "{key}");
        }
    }
}

/// Checks that of a fan-out's runs three are children of its span, and the others each begin a trace
/// that links to it.
async fn three_are_children(world: &World, kept: &Spans, fan_out: &str, runs: usize) {
    let (trace, root) = ids(fan_out);
    let children = kept.of_trace(trace);
    let children = children.iter().filter(|span| span.name == "send sync");
    let mut known: BTreeSet<_> = children.map(|span| text(&span.span_context)).collect();
    assert_eq!(known.len(), 3);
    let linked = kept.linked_to(root);
    assert_eq!(linked.len(), runs - 3);
    let mut traces = BTreeSet::from([trace.to_string()]);
    for span in linked {
        assert_eq!(
            (&*span.name, span.span_kind.clone()),
            ("send sync", SpanKind::Producer)
        );
        assert_eq!(span.parent_span_id, SpanId::INVALID);
        assert_eq!(told(&span.links[0].span_context), (trace, root));
        traces.insert(span.span_context.trace_id().to_string());
        known.insert(text(&span.span_context));
    }
    assert_eq!(traces.len(), 1 + runs - 3);
    assert_eq!(known, stored(world).await);
}

fn text(context: &SpanContext) -> String {
    format!("00-{}-{}-01", context.trace_id(), context.span_id())
}

async fn runs_past_the_limit_begin_traces_of_their_own_that_link_to_their_fan_out(world: World) {
    let kept = spans();
    world.add_providers(8).await;
    schedule(&world, with_children(3), 8).await;
    let fan_out = world.fan_outs().await.remove(0).traceparent.unwrap();
    three_are_children(&world, kept, &fan_out, 8).await;
}

async fn a_request_goes_on_in_its_trace_and_past_the_limit_beside_it(world: World) {
    let kept = spans();
    world.add_providers(12).await;
    let (requested, trace) = traceparent(true);
    // In three batches, of which the second is past the limit.
    let id = world
        .request_in(&(0..12).collect::<Vec<_>>(), Some(&requested))
        .await;
    schedule(&world, with_children(3), 12).await;
    three_are_children(&world, kept, &requested, 12).await;
    let claims = kept.of_trace(trace);
    let claims: Vec<_> = claims.iter().filter(|span| span.name == "claim").collect();
    assert_eq!(claims.len(), 3);
    for span in claims {
        assert_eq!(span.parent_span_id, ids(&requested).1);
        assert_eq!(span.span_kind, SpanKind::Client);
        assert_eq!(attribute(span, "fanfare.fan_out"), Some(id.to_string()));
    }
}

async fn what_is_not_sampled_stays_so(world: World) {
    let kept = spans();
    world.add_providers(4).await;
    let (requested, trace) = traceparent(false);
    world.request_in(&[0, 1, 2, 3], Some(&requested)).await;
    schedule(&world, with_children(500), 4).await;
    for run in stored(&world).await {
        assert_eq!((ids(&run).0, &run[run.len() - 3..]), (trace, "-00"));
    }
    assert_eq!(stored(&world).await.len(), 4);
    assert!(kept.of_trace(trace).is_empty());
}

async fn a_run_that_is_pushed_again_goes_on_in_its_trace(mut world: World) {
    let kept = spans();
    world.add_providers(1).await;
    schedule(&world, config(), 1).await;
    let first = world.runs().await.remove(0);
    let traceparent = first.traceparent.as_deref().unwrap();
    world.queue = queue::open(QueueConfig::default()).await.unwrap();
    let overdue = format!("UPDATE run SET next_push_at = {}", world.in_seconds(-1));
    world.execute(&overdue).await;
    schedule(&world, config(), 1).await;

    let sent = kept.with("fanfare.run", &first.id.to_string());
    assert_eq!(sent.len(), 2);
    let again = &sent[1];
    assert_eq!(
        (again.span_context.trace_id(), again.parent_span_id),
        ids(traceparent)
    );
    assert_eq!(world.runs().await[0].traceparent, first.traceparent);
}

async fn a_push_that_fails_is_told_by_its_span(mut world: World) {
    let kept = spans();
    world.add_providers(3).await;
    let small = QueueConfig {
        memory_limit: 2,
        ..QueueConfig::default()
    };
    world.queue = queue::open(small).await.unwrap();
    schedule(&world, config(), 2).await;
    for run in world.runs().await {
        let sent = kept.with("fanfare.run", &run.id.to_string());
        let first = &sent[0];
        assert_eq!(
            attribute(first, "error.type").as_deref(),
            Some("queue_full")
        );
        assert_eq!(first.status, Status::error(""));
    }
}

async fn a_fan_out_ends_with_a_span_as_long_as_it_took(world: World) {
    let kept = spans();
    world.add_providers(2).await;
    let (requested, trace) = traceparent(true);
    let id = world.request_in(&[0, 1], Some(&requested)).await;
    schedule(&world, config(), 2).await;
    for run in world.runs().await {
        let begun = world.begin(run.id).await;
        world.finish(&begun).await;
    }
    let longer = format!("UPDATE fan_out SET started_at = {}", world.in_seconds(-100));
    world.execute(&longer).await;
    let scheduler = Role::start(&world, config());
    testkit::eventually(PATIENCE, "the fan-out closes", async || {
        let progress = fan_out::progress(&world.db.read, id).await.unwrap();
        progress.unwrap().closed
    })
    .await;
    scheduler.stop().await;

    let all = kept.of_trace(trace);
    let closed: Vec<_> = all
        .iter()
        .filter(|span| span.name == "fan-out closed")
        .collect();
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].parent_span_id, ids(&requested).1);
    let took = closed[0]
        .end_time
        .duration_since(closed[0].start_time)
        .unwrap();
    assert!(took >= Duration::from_secs(99), "{took:?}");
    assert!(closed[0].end_time <= std::time::SystemTime::now());
    for (key, value) in [
        ("fanfare.fan_out", id.to_string().as_str()),
        ("fanfare.trigger", "api"),
        ("fanfare.runs", "2"),
        ("fanfare.failed", "0"),
    ] {
        assert_eq!(attribute(closed[0], key).as_deref(), Some(value), "{key}");
    }
}

async fn a_run_that_is_lost_is_told_in_its_trace(world: World) {
    let kept = spans();
    world.add_providers(1).await;
    schedule(&world, with_children(500), 1).await;
    let run = world.runs().await.remove(0);
    world.begin(run.id).await;
    let over = format!("UPDATE run SET lease_until = {}", world.in_seconds(-60));
    world.execute(&over).await;
    let scheduler = Role::start(&world, config());
    testkit::eventually(PATIENCE, "the run is lost", async || {
        world.runs().await.iter().any(|run| run.outcome.is_some())
    })
    .await;
    scheduler.stop().await;

    let (trace, parent) = ids(run.traceparent.as_deref().unwrap());
    let all = kept.of_trace(trace);
    let lost: Vec<_> = all.iter().filter(|span| span.name == "run lost").collect();
    assert_eq!((lost.len(), lost[0].parent_span_id), (1, parent));
    assert_eq!(lost[0].status, Status::error(""));
    for (key, value) in [
        ("fanfare.run", run.id.to_string().as_str()),
        ("fanfare.outcome", "lost"),
        ("error.type", "lost"),
    ] {
        assert_eq!(attribute(lost[0], key).as_deref(), Some(value), "{key}");
    }
    // Whoever takes over goes on in the same trace.
    let runs = world.runs().await;
    let next = runs.iter().find(|other| other.id != run.id).unwrap();
    assert_eq!(ids(next.traceparent.as_deref().unwrap()).0, trace);
}

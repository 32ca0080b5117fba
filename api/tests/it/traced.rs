//! Spans of requests, as a receiver gets them.

mod recorded;
mod sampled;

use std::time::Duration;

use api::{Config, Context, Service};
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use testkit::{RedisServer, eventually};
use tokio_util::sync::CancellationToken;

use crate::seed::{event, id, store};
use crate::world::{Send, World};
use recorded::{Recorded, attributes, one, text};

crate::on_both_databases!(
    a_hits_span_says_what_the_routers_would,
    a_miss_has_a_span_of_its_read_as_a_child,
    a_read_that_fails_says_so_and_so_does_its_request,
);

const SEARCH: &str = "/v1/events/search";
const SAFETY_NET: Duration = Duration::from_secs(20);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The API over that world, with its spans recorded.
fn traced(world: &World, recorded: &Recorded, config: Config) -> (Context, Service) {
    let config = Config {
        spans_of_hits: Some(recorded.ended_spans()),
        ..config
    };
    let context = Context::new(config, world.db.clone(), CancellationToken::new());
    (context.clone(), Service::new(context))
}

async fn a_hits_span_says_what_the_routers_would(world: World) {
    let stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    let recorded = Recorded::with(Sampler::AlwaysOn);
    let config = Config {
        cors: "*".parse().unwrap(),
        ..Config::default()
    };
    let (context, service) = traced(&world, &recorded, config);
    context.look().await;
    let epoch = entity::dataset::version(&world.db.write).await.unwrap();
    let single = format!("/v1/events/{}", id(&stored));
    let addresses = [
        SEARCH.to_owned(),
        format!("{SEARCH}?limit=1&gone=include"),
        format!("{single}/history"),
        single,
        "/v1/events/dd8d2fd1-87f2-55d4-9464-032d553cbb6f".to_owned(),
        format!("/v1/changes?since={}-0", epoch.epoch),
    ];
    let sent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let parent = [("traceparent", sent.as_str()), ("tracestate", "vendor=1")];
    // What a page of another origin asks, the router answers, also from memory.
    let origin = ("origin", "https://app.example");
    let mut etags = Vec::new();
    for address in &addresses {
        let read = service.send("GET", address, &[]).await;
        etags.push(read.headers.get("etag").cloned());
    }
    let _default = recorded.subscribe();
    for (address, etag) in addresses.iter().zip(etags) {
        let known = etag
            .as_ref()
            .map(|etag| ("if-none-match", etag.to_str().unwrap()));
        for (method, headers) in [
            ("GET", &[][..]),
            ("HEAD", &[][..]),
            ("GET", &parent[..]),
            ("GET", known.as_slice()),
        ] {
            recorded.take();
            let routed = [headers, &[origin]].concat();
            let of_router = service.send(method, address, &routed).await;
            let by_router = one(recorded.take());
            let at_once = service.send(method, address, headers).await;
            let by_hit = one(recorded.take());

            assert_eq!(at_once.header("cache-status"), "fanfare; hit");
            assert_eq!(of_router.status, at_once.status);
            let mut expected = attributes(&by_hit);
            if at_once.status == 304 {
                // The router told it by the validator alone, which names no version.
                expected.remove("fanfare.dataset.version");
            }
            assert_eq!(attributes(&by_router), expected);
            same(&by_router, &by_hit);
            assert_eq!(text(&by_hit, "fanfare.cache"), "hit");
            assert_eq!(by_hit.span_kind, SpanKind::Server);
            if headers == parent {
                assert_eq!(by_hit.span_context.trace_id().to_string(), TRACE);
                assert_eq!(by_hit.span_context.trace_state().header(), "vendor=1");
            } else {
                assert_eq!(by_hit.parent_span_id, SpanId::INVALID);
                assert_ne!(by_hit.span_context.trace_id(), TraceId::INVALID);
            }
        }
    }
}

/// All but the attributes and what tells every span from every other.
fn same(one: &SpanData, other: &SpanData) {
    assert_eq!(one.name, other.name);
    assert_eq!(one.span_kind, other.span_kind);
    assert_eq!(one.status, other.status);
    assert_eq!(one.parent_span_id, other.parent_span_id);
    assert_eq!(one.parent_span_is_remote, other.parent_span_is_remote);
    assert_eq!(one.instrumentation_scope, other.instrumentation_scope);
    let (of_one, of_other) = (&one.span_context, &other.span_context);
    assert_eq!(of_one.trace_flags(), of_other.trace_flags());
    assert_eq!(of_one.trace_state(), of_other.trace_state());
    for span in [one, other] {
        assert!(span.start_time < span.end_time);
    }
}

/// A request in a trace of its own, and its spans: SQLite's thread may hold them for a moment longer
/// than the answer takes, and ends them through the process' subscriber only.
async fn spans_of(service: &Service, address: &str, least: usize) -> (u16, Vec<SpanData>) {
    let all = testkit::spans();
    let trace = uuid::Uuid::new_v4();
    let parent = format!("00-{}-00f067aa0ba902b7-01", trace.simple());
    let answer = service
        .send("GET", address, &[("traceparent", &parent)])
        .await;
    let trace = TraceId::from(trace.as_u128());
    eventually(SAFETY_NET, "its spans have ended", async || {
        all.of_trace(trace).len() >= least
    })
    .await;
    (answer.status.as_u16(), all.of_trace(trace))
}

/// A request's span, and that of the read that it led to.
async fn with_read(service: &Service, address: &str) -> (u16, SpanData, SpanData) {
    let (status, spans) = spans_of(service, address, 2).await;
    let names: Vec<_> = spans.iter().map(|span| span.name.clone()).collect();
    let Ok([read, request]) = <[SpanData; 2]>::try_from(spans) else {
        panic!("other spans: {names:?}");
    };
    assert_eq!(read.name, "read");
    assert_eq!(read.parent_span_id, request.span_context.span_id());
    (status, request, read)
}

async fn a_miss_has_a_span_of_its_read_as_a_child(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    world.context.look().await;
    for address in [SEARCH, "/v1/events/search?limit=3", "/v1/providers"] {
        let (status, request, read) = with_read(&world.service, address).await;
        assert_eq!(status, 200);
        assert_eq!(text(&request, "fanfare.cache"), "miss");
        assert_eq!(text(&request, "fanfare.dataset.version"), "1");
        assert_eq!(text(&request, "http.response.status_code"), "200");
        assert_eq!(request.status, Status::Unset);
        assert_eq!(read.span_kind, SpanKind::Client);
        assert_eq!(text(&read, "db.system.name"), world.db.kind().system_name());
        assert_eq!(text(&read, "db.operation.name"), "SELECT");
        assert_eq!(text(&read, "fanfare.dataset.version"), "1");
        assert_eq!(read.status, Status::Unset);
        assert_eq!(attributes(&read).len(), 3);
    }
}

async fn a_read_that_fails_says_so_and_so_does_its_request(world: World) {
    world.context.look().await;
    world.db.clone().close().await;
    let (status, request, read) = with_read(&world.service, SEARCH).await;
    assert_eq!(status, 503);
    assert_eq!(text(&read, "error.type"), "unavailable");
    assert!(matches!(read.status, Status::Error { .. }));
    assert_eq!(text(&request, "error.type"), "503");
    assert!(matches!(request.status, Status::Error { .. }));
    assert_eq!(text(&request, "fanfare.cache"), "");
}

#[tokio::test]
async fn an_answer_of_the_shared_cache_says_so_and_reads_nothing() {
    let world = World::sqlite().await;
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let redis = RedisServer::start().await;
    let process = async || {
        let cache = api::SharedCacheConfig {
            get_within: SAFETY_NET,
            ..api::SharedCacheConfig::default()
        };
        let config = Config {
            shared_cache: Some(api::SharedCache::open(&redis.url(), cache).unwrap()),
            ..Config::default()
        };
        let context = Context::new(config, world.db.clone(), CancellationToken::new());
        context.look().await;
        Service::new(context)
    };
    assert_eq!(process().await.get(SEARCH).await.status, 200);
    eventually(SAFETY_NET, "the answer is shared", async || {
        let (status, spans) = spans_of(&process().await, SEARCH, 1).await;
        assert_eq!(status, 200);
        let request = spans.last().expect("the request's");
        text(request, "fanfare.cache") == "shared" && spans.len() == 1
    })
    .await;
}

use std::time::{Duration, Instant};

use api::Config;
use axum::http::HeaderMap;
use futures::future::join_all;
use sea_orm::TransactionTrait;
use testkit::{PostgresServer, eventually};
use tokio_util::sync::CancellationToken;

use crate::seed::{event, id, store};
use crate::server;
use crate::socket::{Served, serve};
use crate::world::{Answer, Send, World, service};

const READS: [&str; 3] = [
    "/v1/events/search",
    "/v1/events/dd8d2fd1-87f2-55d4-9464-032d553cbb6f",
    "/v1/providers",
];

const SAFETY_NET: Duration = Duration::from_secs(30);

crate::on_both_databases!(
    a_closed_database_is_503_and_the_process_stays_ready,
    a_database_without_a_free_connection_is_503_in_time,
);

async fn a_closed_database_is_503_and_the_process_stays_ready(world: World) {
    assert_eq!(world.get("/readyz").await.status, 200);
    world.db.clone().close().await;
    for address in READS {
        let answer = world.get(address).await;
        let message = answer.error(503, "unavailable");
        assert!(message.contains("again"), "{message}");
        assert_eq!(answer.header("retry-after"), "2");
    }
    assert_eq!(world.get("/healthz").await.status, 200);
    assert_eq!(world.get("/readyz").await.status, 200);
    let json = world.get("/v1/health").await.json();
    assert_eq!(json["data"]["status"], "degraded");
    assert_eq!(json["data"]["database"], "unreachable");
    assert_eq!(json["data"]["dataset"], serde_json::Value::Null);
}

async fn a_database_without_a_free_connection_is_503_in_time(world: World) {
    // As many as either kind of pool has.
    let mut held = Vec::new();
    while let Ok(Ok(transaction)) =
        tokio::time::timeout(Duration::from_millis(500), world.db.read.begin()).await
    {
        held.push(transaction);
    }
    assert!(!held.is_empty());
    let config = Config {
        database_timeout: Duration::from_millis(100),
        ..Config::default()
    };
    let service = service(&world.db, config);
    for address in READS {
        service.get(address).await.error(503, "unavailable");
    }
    held.pop().unwrap().rollback().await.unwrap();
    // A busy machine may take longer than such a short limit, now and then.
    eventually(SAFETY_NET, "a connection is enough", async || {
        service.get(READS[0]).await.status == 200
    })
    .await;
}

/// A server that stands still keeps its connections open; one that died refuses new ones.
#[tokio::test]
async fn a_server_that_hangs_or_dies_is_503_within_two_seconds() {
    let mut server = server::start().await;
    let db = server::connect(&server.url(), None).await;
    let service = service(&db, Config::default());
    assert_eq!(service.get(READS[0]).await.status, 200);

    server.freeze();
    refused_in_time(&service).await;
    server.thaw();
    eventually(SAFETY_NET, "the API answers again", async || {
        service.get(READS[0]).await.status == 200
    })
    .await;

    server.kill().await;
    refused_in_time(&service).await;
}

/// None of these is cached.
async fn refused_in_time(service: &api::Service) {
    for address in &READS[1..] {
        let began = Instant::now();
        service.get(address).await.error(503, "unavailable");
        in_time(address, began);
    }
}

fn in_time(address: &str, began: Instant) {
    let took = began.elapsed();
    assert!(took < Duration::from_millis(2500), "{address}: {took:?}");
}

#[tokio::test]
async fn what_is_cached_outlasts_a_server_that_hangs() {
    let server = server::start().await;
    let outage = Outage::prepare(&server).await;
    server.freeze();
    outage.goes_on().await;
    server.thaw();
    outage.ends().await;
}

#[tokio::test]
async fn what_is_cached_outlasts_a_server_that_dies() {
    let mut server = server::start().await;
    let outage = Outage::prepare(&server).await;
    server.kill().await;
    outage.goes_on().await;
    server.start_again().await;
    outage.ends().await;
}

const SEARCH: &str = "/v1/events/search";

/// The API before, during and after an outage of its database.
struct Outage {
    db: entity::Database,
    served: Served,
    single: String,
    before: Answer,
}

impl Outage {
    async fn prepare(server: &PostgresServer) -> Self {
        let db = server::connect(&server.url(), None).await;
        let first = event("1", "2021-06-30T19:00:00Z");
        store(&db, std::slice::from_ref(&first), &[]).await;
        let single = format!("/v1/events/{}", id(&first));
        let served = serve(&db, Config::default()).await;
        let before = served.get(SEARCH).await;
        assert_eq!(before.status, 200);
        assert_eq!(marks(&before.headers), None);
        for address in [&single, "/v1/providers"] {
            assert_eq!(served.get(address).await.status, 200);
        }
        Self {
            db,
            served,
            single,
            before,
        }
    }

    async fn goes_on(&self) {
        let (served, before) = (&self.served, &self.before);
        let marked = async || {
            let answer = served.get(SEARCH).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body, before.body);
            // By the second one sees it grow.
            (marks(&answer.headers)? >= 1).then_some(answer)
        };
        let marked = eventually(SAFETY_NET, "the outage is noticed", marked).await;
        for name in ["etag", "dataset-version", "cache-control", "vary"] {
            assert_eq!(marked.header(name), before.header(name));
        }
        let etag = before.header("etag");
        let same = served.send("GET", SEARCH, &[("if-none-match", etag)]).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
        assert!(marks(&same.headers).is_some());
        let head = served.send("HEAD", SEARCH, &[]).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert!(marks(&head.headers).is_some());
        for address in [&self.single, "/v1/providers"] {
            let began = Instant::now();
            let answer = served.get(address).await;
            assert_eq!(answer.status, 200, "{address}");
            assert!(marks(&answer.headers).is_some(), "{address}");
            in_time(address, began);
        }

        let other = ["/v1/events/search?limit=3", READS[1]];
        join_all(other.map(async |address| {
            let began = Instant::now();
            let answer = served.get(address).await;
            answer.error(503, "unavailable");
            assert_eq!(answer.header("retry-after"), "2");
            assert_eq!(marks(&answer.headers), None);
            in_time(address, began);
        }))
        .await;

        for probe in ["/healthz", "/readyz"] {
            assert_eq!(served.get(probe).await.status, 200, "{probe}");
        }
        let health = served.get("/v1/health").await;
        assert_eq!(health.status, 200);
        assert_eq!(health.json()["data"]["status"], "degraded");
    }

    async fn ends(&self) {
        let served = &self.served;
        eventually(SAFETY_NET, "answers are fresh again", async || {
            let answer = served.get(SEARCH).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body, self.before.body);
            marks(&answer.headers).is_none()
        })
        .await;
        let events = ["1", "2"].map(|id| event(id, "2021-06-30T19:00:00Z"));
        // The pool may still hold connections that broke.
        eventually(SAFETY_NET, "the database is written again", async || {
            entity::dataset::version(&self.db.write).await.is_ok()
        })
        .await;
        store(&self.db, &events, &[]).await;
        let newer = async || {
            let answer = served.get(SEARCH).await;
            (answer.text().contains("event 2")).then_some(answer)
        };
        let newer = eventually(SAFETY_NET, "the new commit is seen", newer).await;
        assert_eq!(marks(&newer.headers), None);
        assert_ne!(newer.header("etag"), self.before.header("etag"));
        let health = served.get("/v1/health").await.json();
        assert_eq!(health["data"]["status"], "ok");
    }
}

/// The seconds for which an answer has been stale, which both headers tell.
fn marks(headers: &HeaderMap) -> Option<u64> {
    let seconds = |name| Some(headers.get(name)?.to_str().unwrap().parse().unwrap());
    let stale = seconds("dataset-stale");
    assert_eq!(stale, seconds("age"));
    stale
}

/// What is cached under an older version than the adopted one.
struct Older {
    context: api::Context,
    service: api::Service,
    single: String,
    old: Answer,
}

impl Older {
    async fn prepare(server: &PostgresServer) -> Self {
        let db = server::connect(&server.url(), None).await;
        let stop = CancellationToken::new();
        let context = api::Context::new(Config::default(), db.clone(), stop);
        let service = api::Service::new(context.clone());
        let mut first = event("1", "2021-06-30T19:00:00Z");
        store(&db, std::slice::from_ref(&first), &[]).await;
        let single = format!("/v1/events/{}", id(&first));
        assert!(context.look().await);
        let old = service.get(&single).await;
        assert_eq!(service.get(SEARCH).await.status, 200);
        first.title = "renamed".into();
        store(&db, &[first], &[]).await;
        assert!(context.look().await);
        // One of the two is as new as what was adopted.
        let new = service.get(SEARCH).await;
        assert!(new.text().contains("renamed"));
        assert_ne!(new.header("dataset-version"), old.header("dataset-version"));
        Self {
            context,
            service,
            single,
            old,
        }
    }

    async fn is_given(&self) {
        let given = self.service.get(&self.single).await;
        assert_eq!(given.status, 200);
        assert_eq!(given.body, self.old.body);
        let version = self.old.header("dataset-version");
        assert_eq!(given.header("dataset-version"), version);
        assert!(marks(&given.headers).is_some());
    }
}

#[tokio::test]
async fn an_older_answer_is_given_during_an_outage_only_and_says_so() {
    let server = server::start().await;
    let older = Older::prepare(&server).await;
    server.freeze();
    older.context.look().await;
    let began = Instant::now();
    older.is_given().await;
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "it is at hand"
    );
    server.thaw();
    eventually(SAFETY_NET, "the newer answer is given", async || {
        older.context.look().await;
        let answer = older.service.get(&older.single).await;
        answer.text().contains("renamed") && marks(&answer.headers).is_none()
    })
    .await;
}

#[tokio::test]
async fn the_request_that_finds_the_outage_out_gets_an_older_answer_too() {
    let mut server = server::start().await;
    let older = Older::prepare(&server).await;
    server.kill().await;
    let began = Instant::now();
    older.is_given().await;
    in_time(&older.single, began);
}

/// While the database is gone nothing can be made anew, and an answer that is there in another coding
/// than the client likes best is better than none.
#[tokio::test]
async fn what_is_cached_outlasts_an_outage_for_clients_that_ask_for_another_coding() {
    let server = server::start().await;
    let db = server::connect(&server.url(), None).await;
    let events: Vec<_> = (0..50)
        .map(|number| event(&number.to_string(), "2021-06-30T19:00:00Z"))
        .collect();
    store(&db, &events, &[]).await;
    let stop = CancellationToken::new();
    let context = api::Context::new(Config::default(), db.clone(), stop);
    let service = api::Service::new(context.clone());
    let plain = service.get(SEARCH).await;
    assert_eq!(plain.status, 200);
    server.freeze();
    context.look().await;
    let answer = service.send("GET", SEARCH, &[("accept-encoding", "br")]);
    let answer = answer.await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, plain.body);
    assert_eq!(answer.header("etag"), plain.header("etag"));
    assert!(!answer.headers.contains_key("content-encoding"));
    assert!(marks(&answer.headers).is_some());
}

#[tokio::test]
async fn a_database_that_was_never_seen_is_503_in_time_for_all_who_ask() {
    let server = server::start().await;
    let db = server::connect(&server.url(), None).await;
    server.freeze();
    let served = serve(&db, Config::default()).await;
    assert_eq!(served.get("/healthz").await.status, 200);
    let asked = READS.into_iter().cycle().take(12);
    join_all(asked.map(async |address| {
        let began = Instant::now();
        let answer = served.get(address).await;
        answer.error(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "2");
        in_time(address, began);
    }))
    .await;
    served.get("/readyz").await.error(503, "not_ready");
    let health = served.get("/v1/health").await.json();
    assert_eq!(health["data"]["status"], "degraded");
    server.thaw();
    for address in ["/readyz", READS[0]] {
        eventually(SAFETY_NET, "the database is seen", async || {
            served.get(address).await.status == 200
        })
        .await;
    }
}

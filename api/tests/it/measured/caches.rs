//! What looks into the caches lead to.

use std::time::Duration;

use api::{Config, Context, Service, SharedCache, SharedCacheConfig};
use futures::FutureExt;
use futures::future::join_all;
use sea_orm::TransactionTrait;
use testkit::{RedisServer, eventually};
use tokio_util::sync::CancellationToken;

use super::registry::{Measured, counts};
use crate::seed::{event, store};
use crate::world::{Send, World, service};

const SEARCH: &str = "/v1/events/search";
const LOOKS: &str = "fanfare_cache_requests_total";
const SAFETY_NET: Duration = Duration::from_secs(20);

crate::on_both_databases!(
    a_look_into_memory_hits_once_it_has_missed,
    while_the_database_is_away_what_is_older_than_adopted_is_stale_and_the_rest_fails,
    who_waits_for_anothers_read_has_joined_it,
);

fn looks<const N: usize>(layer: &str, looks: [(&str, u64); N]) -> [(String, u64); N] {
    looks.map(|(led_to, count)| {
        let labels = format!("fanfare_cache={led_to} fanfare_layer={layer}");
        (labels, count)
    })
}

async fn a_look_into_memory_hits_once_it_has_missed(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let measured = Measured::default();
    let service = service(&world.db, measured.config());
    let first = service.get(SEARCH).await;
    for _ in 0..3 {
        service.get(SEARCH).await;
    }
    // Made from the one that is there, and then there itself.
    for _ in 0..2 {
        let coded = [("accept-encoding", "gzip")];
        service.send("GET", SEARCH, &coded).await;
    }
    // Known by its validator alone.
    let other = world.get("/v1/events/search?limit=1").await;
    let known = [("if-none-match", other.header("etag"))];
    let untold = service
        .send("GET", "/v1/events/search?limit=1", &known)
        .await;
    assert_eq!(first.status, 200);
    assert_eq!(untold.status, 304);
    let expected = looks("memory", [("miss", 2), ("hit", 3 + 1 + 1)]);
    assert_eq!(measured.counts(LOOKS), counts(expected));
    // What asks of no version looks into nothing.
    for address in ["/healthz", "/nowhere", "/v1/events/search?nonsense"] {
        service.get(address).await;
    }
    let expected = looks("memory", [("miss", 2), ("hit", 5)]);
    assert_eq!(measured.counts(LOOKS), counts(expected));
}

async fn while_the_database_is_away_what_is_older_than_adopted_is_stale_and_the_rest_fails(
    world: World,
) {
    let one = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, &[one], &[]).await;
    let measured = Measured::default();
    let context = Context::new(
        measured.config(),
        world.db.clone(),
        CancellationToken::new(),
    );
    let service = Service::new(context.clone());
    for address in [SEARCH, "/v1/events/search?limit=1"] {
        assert_eq!(service.get(address).await.status, 200);
    }
    store(&world.db, &[event("2", "2021-06-30T19:00:00Z")], &[]).await;
    context.look().await;
    assert_eq!(service.get(SEARCH).await.status, 200);
    world.db.clone().close().await;
    // Before the outage is found, and after it.
    for _ in 0..2 {
        let stale = service.get("/v1/events/search?limit=1").await;
        assert_eq!(stale.status, 200);
        assert!(stale.headers.contains_key("dataset-stale"));
        assert_eq!(service.get(SEARCH).await.status, 200);
        service
            .get("/v1/events/search?limit=2")
            .await
            .error(503, "unavailable");
        context.look().await;
    }
    let expected = looks(
        "memory",
        [("miss", 3), ("stale", 2), ("hit", 2), ("failed", 2)],
    );
    assert_eq!(measured.counts(LOOKS), counts(expected));
}

async fn who_waits_for_anothers_read_has_joined_it(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let measured = Measured::default();
    let config = Config {
        database_timeout: SAFETY_NET,
        ..measured.config()
    };
    let context = Context::new(config, world.db.clone(), CancellationToken::new());
    let service = Service::new(context.clone());
    context.look().await;
    let mut held = Vec::new();
    while let Ok(Ok(transaction)) =
        tokio::time::timeout(Duration::from_millis(300), world.db.read.begin()).await
    {
        held.push(transaction);
    }
    let asking = join_all((0..4).map(|_| service.get(SEARCH)));
    let mut asking = Box::pin(tokio::task::unconstrained(asking));
    // After this each of them has come as far as it can without the database.
    assert!((&mut asking).now_or_never().is_none());
    assert_eq!(measured.gauge("fanfare_api_requests_active"), Some(4.0));
    for held in held {
        held.rollback().await.unwrap();
    }
    for answer in asking.await {
        assert_eq!(answer.status, 200);
    }
    let expected = looks("memory", [("miss", 1), ("joined", 3)]);
    assert_eq!(measured.counts(LOOKS), counts(expected));
    assert_eq!(measured.gauge("fanfare_api_requests_active"), Some(0.0));
}

#[tokio::test]
async fn looks_into_the_shared_cache_are_counted_and_it_tells_when_it_is_left_alone() {
    let world = World::sqlite().await;
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let mut redis = RedisServer::start().await;
    let process = || {
        let measured = Measured::default();
        let patient = SharedCacheConfig {
            get_within: SAFETY_NET,
            put_within: SAFETY_NET,
            connect_within: SAFETY_NET,
            ..SharedCacheConfig::default()
        };
        let config = Config {
            shared_cache: Some(SharedCache::open(&redis.url(), patient).unwrap()),
            ..measured.config()
        };
        (service(&world.db, config), measured)
    };
    let (one, of_one) = process();
    assert_eq!(one.get(SEARCH).await.status, 200);
    let missed = looks("shared", [("miss", 1)]);
    let expected = looks("memory", [("miss", 1)]).into_iter().chain(missed);
    assert_eq!(of_one.counts(LOOKS), expected.collect());
    assert_eq!(of_one.gauge("fanfare_cache_breaker_ratio"), Some(0.0));

    eventually(SAFETY_NET, "the answer is shared", async || {
        let (other, of_other) = process();
        assert_eq!(other.get(SEARCH).await.status, 200);
        let hit = looks("shared", [("hit", 1)]);
        let expected = looks("memory", [("miss", 1)]).into_iter().chain(hit);
        of_other.counts(LOOKS) == expected.collect()
    })
    .await;

    redis.kill().await;
    eventually(SAFETY_NET, "redis is left alone", async || {
        one.get(&unasked()).await;
        of_one.gauge("fanfare_cache_breaker_ratio") == Some(1.0)
    })
    .await;
    let failed = of_one.counts(LOOKS)["fanfare_cache=failed fanfare_layer=shared"];
    one.get(&unasked()).await;
    let later = of_one.counts(LOOKS)["fanfare_cache=failed fanfare_layer=shared"];
    assert_eq!(failed, later, "nobody looks");
}

/// What no one has asked for yet.
fn unasked() -> String {
    format!("/v1/events/{}", uuid::Uuid::new_v4())
}

//! The state that an API is in, as its gauges tell it.

use std::time::Duration;

use api::{Context, Service};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use super::registry::Measured;
use crate::seed::{event, store};
use crate::server;
use crate::socket::serve;
use crate::world::{Send, World};

const SEARCH: &str = "/v1/events/search";
const LAG: &str = "fanfare_dataset_lag_seconds";
const VERSION: &str = "fanfare_dataset_version";
const SAFETY_NET: Duration = Duration::from_secs(30);

crate::on_both_databases!(
    the_cache_tells_its_size_and_the_dataset_its_version,
    the_lag_rises_from_the_start_until_there_is_a_version_and_while_the_database_is_away,
);

async fn the_cache_tells_its_size_and_the_dataset_its_version(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let measured = Measured::default();
    let context = Context::new(
        measured.config(),
        world.db.clone(),
        CancellationToken::new(),
    );
    let service = Service::new(context.clone());
    assert_eq!(measured.gauge(VERSION), None);
    assert_eq!(measured.gauge("fanfare_cache_entries"), Some(0.0));
    // There is no shared one.
    assert_eq!(measured.gauge("fanfare_cache_breaker_ratio"), None);

    for limit in 1..=3 {
        service.get(&format!("{SEARCH}?limit={limit}")).await;
    }
    assert_eq!(measured.gauge(VERSION), Some(1.0));
    assert_eq!(measured.gauge("fanfare_cache_entries"), Some(3.0));
    let small = measured.gauge("fanfare_cache_size_bytes").unwrap();
    for limit in 4..=9 {
        service.get(&format!("{SEARCH}?limit={limit}")).await;
    }
    assert!(measured.gauge("fanfare_cache_size_bytes").unwrap() > small);
    store(&world.db, &[event("2", "2021-06-30T19:00:00Z")], &[]).await;
    context.look().await;
    assert_eq!(measured.gauge(VERSION), Some(2.0));

    drop((service, context));
    assert_eq!(measured.gauge(VERSION), None, "nobody answers any more");
}

async fn the_lag_rises_from_the_start_until_there_is_a_version_and_while_the_database_is_away(
    world: World,
) {
    let measured = Measured::default();
    let context = Context::new(
        measured.config(),
        world.db.clone(),
        CancellationToken::new(),
    );
    rises(&measured);
    context.look().await;
    assert_eq!(measured.gauge(LAG), Some(0.0));
    world.db.clone().close().await;
    assert_eq!(measured.gauge(LAG), Some(0.0));
    context.look().await;
    rises(&measured);
    context.look().await;
    rises(&measured);
}

fn rises(measured: &Measured) {
    let before = measured.gauge(LAG).unwrap();
    let after = measured.gauge(LAG).unwrap();
    assert!(0.0 < before && before < after, "{before} {after}");
}

#[tokio::test]
async fn the_lag_ends_with_the_outage() {
    let mut server = server::start().await;
    let db = server::connect(&server.url(), None).await;
    let measured = Measured::default();
    let context = Context::new(measured.config(), db, CancellationToken::new());
    context.look().await;
    server.kill().await;
    context.look().await;
    rises(&measured);
    server.start_again().await;
    eventually(SAFETY_NET, "the lag has ended", async || {
        context.look().await;
        measured.gauge(LAG) == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn a_version_that_the_replica_lacks_is_a_lag_until_it_has_it() {
    let primary = server::start().await;
    let replica = primary.standby().await;
    let db = server::connect(&primary.url(), Some(&replica.url())).await;
    store(&db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    replica.caught_up().await;
    let measured = Measured::default();
    let context = Context::new(measured.config(), db.clone(), CancellationToken::new());
    context.look().await;
    assert_eq!(measured.gauge(LAG), Some(0.0));

    replica.pause_replay().await;
    store(&db, &[event("2", "2021-06-30T19:00:00Z")], &[]).await;
    assert!(!context.look().await, "nothing is adopted");
    assert_eq!(measured.gauge(VERSION), Some(1.0));
    rises(&measured);
    context.look().await;
    rises(&measured);

    replica.resume_replay().await;
    replica.caught_up().await;
    eventually(SAFETY_NET, "it is adopted", async || {
        context.look().await;
        measured.gauge(VERSION) == Some(2.0)
    })
    .await;
    assert_eq!(measured.gauge(LAG), Some(0.0));
}

#[tokio::test]
async fn open_connections_are_counted() {
    let world = World::sqlite().await;
    let measured = Measured::default();
    let served = serve(&world.db, measured.config()).await;
    let open = async |connections: f64| {
        eventually(SAFETY_NET, "they are counted", async || {
            measured.gauge("fanfare_api_connections") == Some(connections)
        })
        .await;
    };
    open(0.0).await;
    let first = served.ask("/healthz").await;
    let second = served.ask("/healthz").await;
    open(2.0).await;
    drop(first);
    open(1.0).await;
    drop(second);
    open(0.0).await;
}

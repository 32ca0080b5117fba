use std::time::{Duration, Instant};

use api::Config;
use sea_orm::TransactionTrait;
use testkit::PostgresServer;

use crate::world::{Send, World, service};

const READS: [&str; 3] = [
    "/v1/events/search",
    "/v1/events/dd8d2fd1-87f2-55d4-9464-032d553cbb6f",
    "/v1/providers",
];

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
    assert_eq!(service.get(READS[0]).await.status, 200);
}

/// A server that stands still keeps its connections open; one that died refuses new ones.
#[tokio::test]
async fn a_server_that_hangs_or_dies_is_503_within_two_seconds() {
    let mut server = PostgresServer::start().await;
    let url = server.url();
    let migrating = sea_orm::Database::connect(
        sea_orm::ConnectOptions::new(url.as_str())
            .max_connections(1)
            .clone(),
    );
    migration::migrate(&migrating.await.unwrap()).await.unwrap();
    let config = entity::Config::new(url.parse().unwrap());
    let db = entity::connect(&config).await.unwrap();
    let service = service(&db, Config::default());
    assert_eq!(service.get(READS[0]).await.status, 200);

    server.freeze();
    refused_in_time(&service).await;
    server.thaw();
    let safety_net = Duration::from_secs(20);
    testkit::eventually(safety_net, "the API answers again", async || {
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
        let took = began.elapsed();
        assert!(took < Duration::from_millis(2500), "{address}: {took:?}");
    }
}

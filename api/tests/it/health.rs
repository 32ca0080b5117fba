use serde_json::Value;

use crate::seed::{event, store};
use crate::world::World;

crate::on_both_databases!(
    health_tells_build_and_dataset,
    a_process_that_has_seen_the_schema_is_ready_until_it_drains,
);

async fn health_tells_build_and_dataset(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let answer = world.get("/v1/health").await;
    let json = answer.json();
    let data = &json["data"];
    assert_eq!(data["status"], "ok");
    assert_eq!(data["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(data["database"], "reachable");
    assert_eq!(data["dataset"]["version"], 1);
    let epoch = data["dataset"]["epoch"].as_str().unwrap();
    assert_eq!(answer.header("dataset-version"), format!("{epoch}-1"));
    assert_eq!(json["error"], Value::Null);
}

async fn a_process_that_has_seen_the_schema_is_ready_until_it_drains(world: World) {
    assert_eq!(world.get("/readyz").await.status, 200);
    world.shutdown.cancel();
    world.get("/readyz").await.error(503, "not_ready");
    assert_eq!(world.get("/healthz").await.status, 200);
    let json = world.get("/v1/health").await.json();
    assert_eq!(json["data"]["status"], "draining");
}

#[tokio::test]
async fn a_process_without_a_schema_lives_but_is_not_ready() {
    let world = World::over(testkit::Database::sqlite_empty().await).await;
    let answer = world.get("/readyz").await;
    answer.error(503, "not_ready");
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(world.get("/healthz").await.status, 200);
}

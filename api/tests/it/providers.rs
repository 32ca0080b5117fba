use serde_json::{Value, json};

use crate::seed::{self, PROVIDER, event, id, store};
use crate::world::World;

crate::on_both_databases!(
    a_provider_tells_its_events_and_its_freshness,
    a_provider_that_has_never_succeeded_is_stale,
    a_paused_provider_tells_why,
    a_retired_provider_is_not_listed,
);

async fn a_provider_tells_its_events_and_its_freshness(world: World) {
    let stays = event("1", "2021-06-30T19:00:00Z");
    let goes = event("2", "2021-06-30T19:00:00Z");
    store(&world.db, &[stays, goes.clone()], &[]).await;
    store(&world.db, &[], &[id(&goes)]).await;
    let answer = world.get("/v1/providers").await;
    assert!(!answer.text().contains("secret"), "{}", answer.text());
    assert!(answer.header("dataset-version").ends_with("-2"));
    let mut json = answer.json();
    assert_eq!(json["error"], Value::Null);
    let provider = json["data"]["providers"][0].as_object_mut().unwrap();
    for instant in ["last_success_at", "next_due_at"] {
        let value = provider.remove(instant).unwrap();
        assert!(value.as_str().unwrap().ends_with('Z'), "{instant}: {value}");
    }
    assert_eq!(
        json["data"],
        json!({"providers": [{
            "name": PROVIDER,
            "host": "feeds.example:8080",
            "format": "plan-list",
            "interval_seconds": 900,
            "timezone": "Europe/Madrid",
            "events": 1,
            "events_gone": 1,
            "stale": false,
            "paused": false,
            "paused_reason": null,
            "consecutive_failures": 0,
        }]})
    );
}

async fn a_provider_that_has_never_succeeded_is_stale(world: World) {
    seed::provider(&world.db).await;
    let json = world.get("/v1/providers").await.json();
    let provider = &json["data"]["providers"][0];
    assert_eq!(provider["stale"], true);
    assert_eq!(provider["last_success_at"], Value::Null);
}

async fn a_paused_provider_tells_why(world: World) {
    seed::provider(&world.db).await;
    let why = "they asked us to wait";
    entity::provider::pause(&world.db, PROVIDER, why, "ops")
        .await
        .unwrap();
    let json = world.get("/v1/providers").await.json();
    assert_eq!(json["data"]["providers"][0]["paused_reason"], why);
}

async fn a_retired_provider_is_not_listed(world: World) {
    seed::provider(&world.db).await;
    entity::provider::retire(&world.db, PROVIDER).await.unwrap();
    let json = world.get("/v1/providers").await.json();
    assert_eq!(json["data"], json!({"providers": []}));
}

mod requests;

use api::{Config, Service};
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use entity::fan_out::{self, Trigger};
use entity::provider;
use sea_orm::{EntityTrait, TransactionTrait};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::seed::{self, PROVIDER};
use crate::world::{Answer, Send, World, service};

const TOKEN: &str = "admin-token-4be1c2";
const ACTIONS: [&str; 3] = ["sync", "pause", "resume"];

crate::on_both_databases!(
    a_sync_asks_the_schedulers_for_a_fan_out,
    a_paused_provider_is_not_synced_and_the_answer_says_what_to_do,
    a_retired_provider_is_refused_by_every_action,
    an_unknown_provider_is_404_with_where_to_look,
    a_pause_stands_until_it_is_lifted_however_often_either_is_asked_for,
    a_pause_without_a_reason_keeps_the_one_that_there_is,
    a_database_that_is_down_is_503,
    a_writer_that_is_busy_is_503_in_time,
);

fn config() -> Config {
    Config {
        admin_token: Some(TOKEN.parse().unwrap()),
        ..Config::default()
    }
}

fn admin(world: &World) -> Service {
    service(&world.db, config())
}

fn address(action: &str) -> String {
    format!("/v1/providers/{PROVIDER}/{action}")
}

/// A request that shows the token.
fn shown(address: &str) -> Builder {
    let request = Request::builder().method("POST").uri(address);
    request.header("authorization", format!("Bearer {TOKEN}"))
}

async fn post(service: &Service, action: &str) -> Answer {
    service
        .answer(shown(&address(action)).body(Body::empty()).unwrap())
        .await
}

async fn post_json(service: &Service, action: &str, body: &str) -> Answer {
    let request = shown(&address(action)).header("content-type", "application/json");
    service
        .answer(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

async fn stored(world: &World) -> provider::Model {
    let provider = provider::by_name(&world.db.write, PROVIDER).await.unwrap();
    provider.unwrap()
}

async fn a_sync_asks_the_schedulers_for_a_fan_out(world: World) {
    seed::provider(&world.db).await;
    let service = admin(&world);
    for (body, accept_gone) in [
        (None, false),
        (Some("{}"), false),
        (Some(r#"{"accept_gone": false}"#), false),
        (Some(r#"{"accept_gone": true}"#), true),
    ] {
        let answer = match body {
            None => post(&service, "sync").await,
            Some(body) => post_json(&service, "sync", body).await,
        };
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        let json = answer.json();
        assert_eq!(json["error"], Value::Null);
        let id: Uuid = json["data"]["fan_out"].as_str().unwrap().parse().unwrap();
        let progress = fan_out::progress(&world.db.read, id).await.unwrap();
        assert_eq!(progress.unwrap().waiting, 1);
        let row = fan_out::Entity::find_by_id(id).one(&world.db.read);
        assert_eq!(row.await.unwrap().unwrap().trigger, Trigger::Api);
        assert_eq!(asks_for_gone(&world, id).await, accept_gone, "{body:?}");
    }
}

async fn asks_for_gone(world: &World, fan_out: Uuid) -> bool {
    use sea_orm::{ConnectionTrait, Statement};

    let backend = world.db.read.get_database_backend();
    let sql = "SELECT accept_gone FROM fan_out_request WHERE fan_out_id = $1";
    let statement = Statement::from_sql_and_values(backend, sql, [fan_out.into()]);
    let row = world.db.read.query_one_raw(statement).await.unwrap();
    row.unwrap().try_get("", "accept_gone").unwrap()
}

async fn a_paused_provider_is_not_synced_and_the_answer_says_what_to_do(world: World) {
    seed::provider(&world.db).await;
    provider::pause(&world.db, PROVIDER, "they asked us", "ops")
        .await
        .unwrap();
    let answer = post(&admin(&world), "sync").await;
    let message = answer.error(409, "provider_paused");
    assert!(message.contains("they asked us"), "{message}");
    assert!(message.contains(&address("resume")), "{message}");
    let asked = fan_out::Entity::find().all(&world.db.read).await.unwrap();
    assert_eq!(asked, []);
}

async fn a_retired_provider_is_refused_by_every_action(world: World) {
    seed::provider(&world.db).await;
    provider::retire(&world.db, PROVIDER).await.unwrap();
    let service = admin(&world);
    for action in ACTIONS {
        let answer = post(&service, action).await;
        let message = answer.error(409, "provider_retired");
        assert!(message.contains("provider apply"), "{message}");
    }
    assert_eq!(stored(&world).await.paused_at, None);
}

async fn an_unknown_provider_is_404_with_where_to_look(world: World) {
    let service = admin(&world);
    for action in ACTIONS {
        let answer = post(&service, action).await;
        let message = answer.error(404, "no_such_provider");
        assert!(message.contains(PROVIDER), "{message}");
        assert!(message.contains("GET /v1/providers"), "{message}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

async fn a_pause_stands_until_it_is_lifted_however_often_either_is_asked_for(world: World) {
    seed::provider(&world.db).await;
    let service = admin(&world);
    let paused = json!({"name": PROVIDER, "state": "paused", "paused_reason": "they asked us"});
    let mut seen = Vec::new();
    for _ in 0..2 {
        let answer = post_json(&service, "pause", r#"{"reason": " they asked us "}"#).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), json!({"data": paused, "error": null}));
        let provider = stored(&world).await;
        assert_eq!(provider.paused_reason.as_deref(), Some("they asked us"));
        let by = provider.paused_by.as_deref();
        assert_eq!(by, Some("0.0.0.0 over the API"));
        seen.push(provider);
    }
    assert_eq!(seen[0], seen[1]);

    let active = json!({"name": PROVIDER, "state": "active", "paused_reason": null});
    seen.clear();
    for body in [None, Some("{}")] {
        let answer = match body {
            None => post(&service, "resume").await,
            Some(body) => post_json(&service, "resume", body).await,
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), json!({"data": active, "error": null}));
        let provider = stored(&world).await;
        assert_eq!(provider.paused_at, None);
        seen.push(provider);
    }
    assert_eq!(seen[0], seen[1]);
}

async fn a_pause_without_a_reason_keeps_the_one_that_there_is(world: World) {
    seed::provider(&world.db).await;
    let service = admin(&world);
    let reason = async |body: &str| {
        let answer = post_json(&service, "pause", body).await;
        let reason = answer.json()["data"]["paused_reason"].clone();
        assert_eq!(
            stored(&world).await.paused_reason.as_deref(),
            reason.as_str()
        );
        reason
    };
    assert_eq!(reason("{}").await, "paused over the API");
    assert_eq!(
        reason(r#"{"reason": "they asked us"}"#).await,
        "they asked us"
    );
    assert_eq!(reason(r#"{"reason": null}"#).await, "they asked us");
}

async fn a_database_that_is_down_is_503(world: World) {
    seed::provider(&world.db).await;
    let service = admin(&world);
    world.db.write.clone().close().await.unwrap();
    for action in ACTIONS {
        let answer = post(&service, action).await;
        answer.error(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "2");
    }
}

async fn a_writer_that_is_busy_is_503_in_time(world: World) {
    let mut held = Vec::new();
    let moment = std::time::Duration::from_millis(500);
    while let Ok(Ok(transaction)) = tokio::time::timeout(moment, world.db.write.begin()).await {
        held.push(transaction);
    }
    assert!(!held.is_empty());
    let config = Config {
        database_timeout: std::time::Duration::from_millis(100),
        ..config()
    };
    let service = service(&world.db, config);
    for action in ACTIONS {
        post(&service, action).await.error(503, "unavailable");
    }
}

#[tokio::test]
async fn a_fan_out_belongs_to_the_trace_of_the_request_that_asked_for_it() {
    let _ = testkit::spans();
    let world = World::sqlite().await;
    seed::provider(&world.db).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = shown(&address("sync"));
    let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let answer = admin(&world)
        .answer(request.body(Body::empty()).unwrap())
        .await;
    assert_eq!(answer.status, 202);
    let asked = fan_out::Entity::find().one(&world.db.read).await.unwrap();
    let traceparent = asked.unwrap().traceparent.unwrap();
    assert!(
        traceparent.starts_with(&format!("00-{trace}-")),
        "{traceparent}"
    );
}

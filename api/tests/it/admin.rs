use api::Config;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::http::request::Builder;
use entity::fan_out::{self, Trigger};
use entity::provider;
use sea_orm::{EntityTrait, TransactionTrait};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::seed::{self, PROVIDER};
use crate::world::{Answer, World, answer, get, router, send};

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

fn admin(world: &World) -> Router {
    router(&world.db, &CancellationToken::new(), config())
}

fn address(action: &str) -> String {
    format!("/v1/providers/{PROVIDER}/{action}")
}

/// A request that shows the token.
fn shown(address: &str) -> Builder {
    let request = Request::builder().method("POST").uri(address);
    request.header("authorization", format!("Bearer {TOKEN}"))
}

async fn post(router: &Router, action: &str) -> Answer {
    answer(router, shown(&address(action)).body(Body::empty()).unwrap()).await
}

async fn post_json(router: &Router, action: &str, body: &str) -> Answer {
    let request = shown(&address(action)).header("content-type", "application/json");
    answer(router, request.body(Body::from(body.to_owned())).unwrap()).await
}

async fn stored(world: &World) -> provider::Model {
    let provider = provider::by_name(&world.db.write, PROVIDER).await.unwrap();
    provider.unwrap()
}

async fn a_sync_asks_the_schedulers_for_a_fan_out(world: World) {
    seed::provider(&world.db).await;
    let router = admin(&world);
    for (body, accept_gone) in [
        (None, false),
        (Some("{}"), false),
        (Some(r#"{"accept_gone": false}"#), false),
        (Some(r#"{"accept_gone": true}"#), true),
    ] {
        let answer = match body {
            None => post(&router, "sync").await,
            Some(body) => post_json(&router, "sync", body).await,
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
    let router = admin(&world);
    for action in ACTIONS {
        let answer = post(&router, action).await;
        let message = answer.error(409, "provider_retired");
        assert!(message.contains("provider apply"), "{message}");
    }
    assert_eq!(stored(&world).await.paused_at, None);
}

async fn an_unknown_provider_is_404_with_where_to_look(world: World) {
    let router = admin(&world);
    for action in ACTIONS {
        let answer = post(&router, action).await;
        let message = answer.error(404, "no_such_provider");
        assert!(message.contains(PROVIDER), "{message}");
        assert!(message.contains("GET /v1/providers"), "{message}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

async fn a_pause_stands_until_it_is_lifted_however_often_either_is_asked_for(world: World) {
    seed::provider(&world.db).await;
    let router = admin(&world);
    let paused = json!({"name": PROVIDER, "state": "paused", "paused_reason": "they asked us"});
    let mut seen = Vec::new();
    for _ in 0..2 {
        let answer = post_json(&router, "pause", r#"{"reason": " they asked us "}"#).await;
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
            None => post(&router, "resume").await,
            Some(body) => post_json(&router, "resume", body).await,
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
    let router = admin(&world);
    let reason = async |body: &str| {
        let answer = post_json(&router, "pause", body).await;
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
    let router = admin(&world);
    world.db.write.clone().close().await.unwrap();
    for action in ACTIONS {
        let answer = post(&router, action).await;
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
    let router = router(&world.db, &CancellationToken::new(), config);
    for action in ACTIONS {
        post(&router, action).await.error(503, "unavailable");
    }
}

#[tokio::test]
async fn without_a_token_the_admin_routes_are_as_unknown_ones() {
    let world = World::sqlite().await;
    seed::provider(&world.db).await;
    let unknown = send(&world.router, "POST", "/v1/providers/primary/other").await;
    for action in ACTIONS {
        for method in ["POST", "GET", "OPTIONS"] {
            let answer = send(&world.router, method, &address(action)).await;
            answer.error(404, "not_found");
            assert_eq!(answer.headers, unknown.headers);
        }
        let shown = post(&world.router, action).await;
        assert_eq!(shown.body, unknown.body);
    }
    let asked = fan_out::Entity::find().all(&world.db.read).await.unwrap();
    assert_eq!(asked, []);
}

#[tokio::test]
async fn who_does_not_show_the_token_changes_nothing() {
    let world = World::sqlite().await;
    seed::provider(&world.db).await;
    let router = admin(&world);
    let wrong = format!("Bearer {TOKEN}x");
    for authorization in [None, Some("Bearer"), Some(&wrong), Some("Basic YTpi")] {
        for action in ACTIONS {
            let mut request = Request::builder().method("POST").uri(address(action));
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            // Not even looked at: it is too large.
            let body = Body::from_stream(spaces(70));
            let answer = answer(&router, request.body(body).unwrap()).await;
            let message = answer.error(401, "unauthorized");
            assert!(message.contains("Authorization: Bearer"), "{message}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, r#"Bearer realm="fanfare""#);
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
    assert_eq!(stored(&world).await.paused_at, None);
    let asked = fan_out::Entity::find().all(&world.db.read).await.unwrap();
    assert_eq!(asked, []);
}

#[tokio::test]
async fn the_token_does_not_change_what_reads_answer() {
    let world = World::sqlite().await;
    let answer = get(&admin(&world), "/v1/providers").await;
    assert_eq!(answer.status, 200);
    let wrong = send(&admin(&world), "GET", &address("sync")).await;
    wrong.error(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), "POST");
}

#[tokio::test]
async fn a_body_that_is_not_what_a_route_takes_is_refused_with_what_to_send() {
    let world = World::sqlite().await;
    seed::provider(&world.db).await;
    let router = admin(&world);
    for (action, body, code, says) in [
        ("sync", "{", "malformed_body", r#"{"accept_gone": true}"#),
        ("sync", "[true]", "malformed_body", "accept_gone"),
        ("sync", "true", "malformed_body", "accept_gone"),
        (
            "sync",
            r#"{"accept_gone": 1}"#,
            "malformed_body",
            "accept_gone",
        ),
        ("sync", r#"{"gone": true}"#, "malformed_body", "accept_gone"),
        ("sync", "{} {}", "malformed_body", "accept_gone"),
        (
            "pause",
            r#"{"why": "x"}"#,
            "malformed_body",
            r#"{"reason": "#,
        ),
        (
            "pause",
            r#"{"reason": 1}"#,
            "malformed_body",
            r#"{"reason": "#,
        ),
        ("pause", r#"{"reason": ""}"#, "malformed_reason", "200"),
        ("pause", r#"{"reason": "a\nb"}"#, "malformed_reason", "200"),
        ("resume", r#"{"reason": "x"}"#, "malformed_body", "{}"),
    ] {
        let answer = post_json(&router, action, body).await;
        let message = answer.error(400, code);
        assert!(message.contains(says), "{body}: {message}");
    }
    for content_type in [None, Some("text/plain"), Some("application/jsonx")] {
        let mut request = shown(&address("pause"));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = answer(&router, request.body(Body::from("{}")).unwrap()).await;
        let message = answer.error(415, "unsupported_media_type");
        assert!(message.contains("application/json"), "{message}");
    }
    assert_eq!(stored(&world).await.paused_at, None);
    let charset =
        shown(&address("resume")).header("content-type", "Application/JSON; charset=utf-8");
    let answer = answer(&router, charset.body(Body::from("{}")).unwrap()).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_body_of_unknown_length_that_is_too_large_is_413() {
    let world = World::sqlite().await;
    seed::provider(&world.db).await;
    let router = admin(&world);
    for action in ACTIONS {
        let request = shown(&address(action)).header("content-type", "application/json");
        let body = Body::from_stream(spaces(65));
        let answer = answer(&router, request.body(body).unwrap()).await;
        answer.error(413, "body_too_large");
    }
    let request = shown(&address("resume")).header("content-type", "application/json");
    let body = Body::from_stream(spaces(64));
    let largest = answer(&router, request.body(body).unwrap()).await;
    largest.error(400, "malformed_body");
}

/// A body of so many KiB whose length is not told beforehand.
fn spaces(kib: usize) -> impl futures::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures::stream::iter((0..kib).map(|_| Ok(Bytes::from_static(&[b' '; 1024]))))
}

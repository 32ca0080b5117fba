//! What a request has to be for an admin route to do anything, whatever the database.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::Request;
use entity::fan_out;
use futures::{Stream, stream};
use sea_orm::EntityTrait;

use super::{ACTIONS, TOKEN, address, admin, post, post_json, shown, stored};
use crate::seed;
use crate::world::{Send, World};

#[tokio::test]
async fn without_a_token_the_admin_routes_are_as_unknown_ones() {
    let world = World::sqlite().await;
    seed::provider(&world.db).await;
    let unknown = world
        .service
        .send("POST", "/v1/providers/primary/other", &[])
        .await;
    for action in ACTIONS {
        for method in ["POST", "GET", "OPTIONS"] {
            let answer = world.service.send(method, &address(action), &[]).await;
            answer.error(404, "not_found");
            assert_eq!(answer.headers, unknown.headers);
        }
        let shown = post(&world.service, action).await;
        assert_eq!(shown.body, unknown.body);
    }
    let asked = fan_out::Entity::find().all(&world.db.read).await.unwrap();
    assert_eq!(asked, []);
}

#[tokio::test]
async fn who_does_not_show_the_token_changes_nothing() {
    let world = World::sqlite().await;
    seed::provider(&world.db).await;
    let service = admin(&world);
    let wrong = format!("Bearer {TOKEN}x");
    for authorization in [None, Some("Bearer"), Some(&wrong), Some("Basic YTpi")] {
        for action in ACTIONS {
            let mut request = Request::builder().method("POST").uri(address(action));
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            // Not even looked at: it is too large.
            let body = Body::from_stream(spaces(70));
            let answer = service.answer(request.body(body).unwrap()).await;
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
    let answer = admin(&world).get("/v1/providers").await;
    assert_eq!(answer.status, 200);
    let wrong = admin(&world).send("GET", &address("sync"), &[]).await;
    wrong.error(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), "POST");
}

#[tokio::test]
async fn a_body_that_is_not_what_a_route_takes_is_refused_with_what_to_send() {
    let world = World::sqlite().await;
    seed::provider(&world.db).await;
    let service = admin(&world);
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
        let answer = post_json(&service, action, body).await;
        let message = answer.error(400, code);
        assert!(message.contains(says), "{body}: {message}");
    }
    for content_type in [None, Some("text/plain"), Some("application/jsonx")] {
        let mut request = shown(&address("pause"));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = service
            .answer(request.body(Body::from("{}")).unwrap())
            .await;
        let message = answer.error(415, "unsupported_media_type");
        assert!(message.contains("application/json"), "{message}");
    }
    assert_eq!(stored(&world).await.paused_at, None);
    let charset =
        shown(&address("resume")).header("content-type", "Application/JSON; charset=utf-8");
    let answer = service
        .answer(charset.body(Body::from("{}")).unwrap())
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_body_of_unknown_length_that_is_too_large_is_413() {
    let world = World::sqlite().await;
    seed::provider(&world.db).await;
    let service = admin(&world);
    for action in ACTIONS {
        let request = shown(&address(action)).header("content-type", "application/json");
        let body = Body::from_stream(spaces(65));
        let answer = service.answer(request.body(body).unwrap()).await;
        answer.error(413, "body_too_large");
    }
    let request = shown(&address("resume")).header("content-type", "application/json");
    let body = Body::from_stream(spaces(64));
    let largest = service.answer(request.body(body).unwrap()).await;
    largest.error(400, "malformed_body");
}

/// A body of so many KiB whose length is not told beforehand.
fn spaces(kib: usize) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter((0..kib).map(|_| Ok(Bytes::from_static(&[b' '; 1024]))))
}

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tower::ServiceExt;

use crate::world::{Send, World};

#[tokio::test]
async fn bad_input_is_400_and_says_what_to_send() {
    let world = World::sqlite().await;
    for (query, code, says) in [
        (
            "starts_at=tomorrow",
            "malformed_parameter",
            "starts_at=2021-02-01T00:00:00Z",
        ),
        (
            "ends_at=",
            "malformed_parameter",
            "ends_at=2021-02-28T23:59:59Z",
        ),
        (
            "ends_at=2021-02-30",
            "malformed_parameter",
            "ends_at=2021-02-28",
        ),
        ("starts=2021-02-01", "unknown_parameter", "`starts_at`"),
        ("STARTS_AT=2021-02-01", "unknown_parameter", "`starts_at`"),
        (
            "starts_at=2021-02-01&starts_at=2021-02-02",
            "repeated_parameter",
            "send it once",
        ),
        (
            "starts_at=2021-02-02&ends_at=2021-02-01",
            "inverted_window",
            "`ends_at` at or after `starts_at`",
        ),
    ] {
        let answer = world.get(&format!("/v1/events/search?{query}")).await;
        let message = answer.error(400, code);
        assert!(message.contains(says), "{query}: {message}");
    }
    for address in [
        "/v1/providers?all=1",
        "/v1/events/dd8d2fd1-87f2-55d4-9464-032d553cbb6f?full=1",
    ] {
        world.get(address).await.error(400, "unknown_parameter");
    }
}

#[tokio::test]
async fn an_unknown_route_is_404_in_the_envelope() {
    let world = World::sqlite().await;
    for address in [
        "/",
        "/v1",
        "/v1/events",
        "/v1/events/",
        "/v1/events/search/",
        "/v2/events/search",
        "/docs/nothing.js",
        "/docs/../Cargo.toml",
    ] {
        world.get(address).await.error(404, "not_found");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_in_the_envelope_with_what_is_allowed() {
    let world = World::sqlite().await;
    for address in ["/v1/events/search", "/v1/providers", "/healthz", "/docs/"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
            let answer = world.service.send(method, address, &[]).await;
            answer.error(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), "GET,HEAD", "{method} {address}");
        }
    }
}

#[tokio::test]
async fn a_database_without_a_schema_is_503_and_nothing_is_told() {
    let database = testkit::Database::sqlite_empty().await;
    let world = World::over(database).await;
    let answer = world.get("/v1/events/search").await;
    let message = answer.error(503, "unavailable");
    assert!(!message.contains("table"), "{message}");
}

#[tokio::test]
async fn a_read_ignores_a_small_body() {
    let world = World::sqlite().await;
    let request = Request::builder()
        .uri("/v1/events/search")
        .body(Body::from("{}"))
        .unwrap();
    let response = world.service.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

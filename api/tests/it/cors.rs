use api::{Config, Service};
use axum::body::Body;
use axum::http::Request;

use crate::seed::PROVIDER;
use crate::world::{Answer, Send, World, service};

const APP: &str = "https://app.example";

fn allowing(world: &World, origins: &str) -> Service {
    let config = Config {
        cors: origins.parse().unwrap(),
        admin_token: Some("admin-token-4be1c2".parse().unwrap()),
        ..Config::default()
    };
    service(&world.db, config)
}

async fn from(service: &Service, origin: &str, method: &str, address: &str) -> Answer {
    let request = Request::builder().method(method).uri(address);
    let request = request
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,if-none-match",
        );
    service.answer(request.body(Body::empty()).unwrap()).await
}

fn names(answer: &Answer, header: &str) -> Vec<String> {
    let names = answer.header(header).split(',');
    names.map(|name| name.trim().to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn without_origins_no_page_of_another_origin_may_read_anything() {
    let world = World::sqlite().await;
    for method in ["GET", "OPTIONS"] {
        let answer = from(&world.service, APP, method, "/v1/providers").await;
        assert!(answer.status.is_success());
        for name in answer.headers.keys() {
            assert!(!name.as_str().starts_with("access-control-"), "{name}");
        }
    }
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_read_answers_and_errors() {
    let world = World::sqlite().await;
    let service = allowing(&world, "https://other.example,https://app.example");
    for address in ["/v1/providers", "/v1/events/x", "/nowhere"] {
        let answer = from(&service, APP, "GET", address).await;
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        assert!(names(&answer, "vary").contains(&"origin".to_owned()));
        let readable = names(&answer, "access-control-expose-headers");
        for name in [
            "dataset-version",
            "dataset-stale",
            "etag",
            "link",
            "retry-after",
            "ratelimit",
            "ratelimit-policy",
            "cache-status",
            "age",
        ] {
            assert!(readable.iter().any(|it| it == name), "{name}: {readable:?}");
        }
        let stranger = from(&service, "https://stranger.example", "GET", address).await;
        assert_eq!(stranger.headers.get("access-control-allow-origin"), None);
        assert!(names(&stranger, "vary").contains(&"origin".to_owned()));
        assert_eq!(stranger.body, answer.body);
    }
}

#[tokio::test]
async fn a_star_lets_every_page_read_and_answers_do_not_vary_by_page() {
    let world = World::sqlite().await;
    let answer = from(&allowing(&world, "*"), APP, "GET", "/v1/providers").await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(names(&answer, "vary"), ["accept-encoding"]);
}

#[tokio::test]
async fn browsers_are_allowed_to_read_and_neither_to_change_nor_to_show_a_token() {
    let world = World::sqlite().await;
    for origins in ["*", APP] {
        let service = allowing(&world, origins);
        let admin = format!("/v1/providers/{PROVIDER}/sync");
        for address in ["/v1/providers", &admin] {
            let preflight = from(&service, APP, "OPTIONS", address).await;
            assert!(preflight.status.is_success());
            let methods = names(&preflight, "access-control-allow-methods");
            assert_eq!(methods, ["get", "head", "options"]);
            let sent = names(&preflight, "access-control-allow-headers");
            let expected = [
                "accept",
                "content-type",
                "if-none-match",
                "traceparent",
                "tracestate",
            ];
            assert_eq!(sent, expected);
            assert_eq!(preflight.header("access-control-max-age"), "3600");
            let credentials = preflight.headers.get("access-control-allow-credentials");
            assert_eq!(credentials, None);
        }
    }
}

#[tokio::test]
async fn options_tells_the_methods_of_every_route() {
    let world = World::sqlite().await;
    for address in [
        "/v1/events/search",
        "/v1/events/x",
        "/v1/providers",
        "/v1/health",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/",
        "/docs/index.css",
    ] {
        let answer = world.service.send("OPTIONS", address, &[]).await;
        assert_eq!(answer.status, 204, "{address}");
        assert_eq!(answer.header("allow"), "GET,HEAD", "{address}");
        assert_eq!(answer.text(), "");
    }
    let unknown = world.service.send("OPTIONS", "/nowhere", &[]).await;
    unknown.error(404, "not_found");
}

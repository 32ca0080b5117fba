use std::net::SocketAddr;
use std::num::NonZeroU32;

use api::{Config, Peer, Rate, Service};
use axum::body::Body;
use axum::http::Request;

use crate::world::{Answer, Send, World, service};

/// So slow that nothing comes back within a test.
fn limited(world: &World, burst: u32) -> Service {
    let per_second = "0.01".parse().unwrap();
    let config = Config {
        rate: Some(Rate::new(per_second, NonZeroU32::new(burst))),
        trusted_proxies: "10.0.0.0/8".parse().unwrap(),
        ..Config::default()
    };
    service(&world.db, config)
}

async fn from(service: &Service, peer: &str, forwarded: &str) -> Answer {
    let peer: SocketAddr = format!("{peer}:40000").parse().unwrap();
    let request = Request::builder()
        .uri("/v1/providers")
        .extension(Peer(peer));
    let request = request.header("x-forwarded-for", forwarded);
    service.answer(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_request_too_many_is_429_and_every_answer_tells_what_remains() {
    let world = World::sqlite().await;
    let service = limited(&world, 3);
    for (address, status, limit) in [
        ("/v1/providers", 200, r#""default";r=2;t=100"#),
        ("/v1/events/x", 400, r#""default";r=1;t=200"#),
        ("/nowhere", 404, r#""default";r=0;t=100"#),
    ] {
        let answer = service.get(address).await;
        assert_eq!(answer.status, status, "{address}");
        assert_eq!(answer.header("ratelimit"), limit, "{address}");
        let policy = answer.header("ratelimit-policy");
        assert_eq!(policy, r#""default";q=3;w=300"#, "{address}");
    }
    for address in ["/v1/providers", "/docs/", "/openapi.json"] {
        let refused = service.get(address).await;
        let message = refused.error(429, "rate_limited");
        assert!(message.contains("Retry-After"), "{message}");
        assert_eq!(refused.header("retry-after"), "100");
        assert_eq!(refused.header("ratelimit"), r#""default";r=0;t=100"#);
        assert_eq!(refused.header("ratelimit-policy"), r#""default";q=3;w=300"#);
    }
}

#[tokio::test]
async fn what_watches_the_process_is_never_limited() {
    let world = World::sqlite().await;
    let service = limited(&world, 1);
    assert_eq!(service.get("/v1/providers").await.status, 200);
    assert_eq!(service.get("/v1/providers").await.status, 429);
    for address in ["/healthz", "/readyz", "/v1/health"] {
        let answer = service.get(address).await;
        assert_eq!(answer.status, 200, "{address}");
        assert!(!answer.headers.contains_key("ratelimit"), "{address}");
    }
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart_and_others_cannot_pretend() {
    let world = World::sqlite().await;
    let service = limited(&world, 1);
    assert_eq!(from(&service, "10.0.0.1", "198.51.100.1").await.status, 200);
    assert_eq!(from(&service, "10.0.0.1", "198.51.100.2").await.status, 200);
    assert_eq!(from(&service, "10.0.0.2", "198.51.100.1").await.status, 429);
    assert_eq!(
        from(&service, "203.0.113.9", "198.51.100.3").await.status,
        200
    );
    assert_eq!(
        from(&service, "203.0.113.9", "198.51.100.4").await.status,
        429
    );
}

#[tokio::test]
async fn without_a_limit_no_answer_speaks_of_one() {
    let world = World::sqlite().await;
    for _ in 0..50 {
        let answer = world.get("/v1/providers").await;
        assert_eq!(answer.status, 200);
        for name in ["ratelimit", "ratelimit-policy"] {
            assert!(!answer.headers.contains_key(name));
        }
    }
}

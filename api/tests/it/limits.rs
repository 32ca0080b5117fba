use axum::body::Body;
use axum::http::Request;

use crate::world::{Send, World};

#[tokio::test]
async fn headers_that_are_too_large_are_431_however_many_they_are() {
    let world = World::sqlite().await;
    for (count, bytes, status) in [
        (1, 16_384, 200),
        (1, 16_385, 431),
        (64, 256, 200),
        (64, 257, 431),
    ] {
        let mut request = Request::builder().uri("/v1/providers");
        for _ in 0..count {
            request = request.header("x-a", "x".repeat(bytes - "x-a".len()));
        }
        let answer = world
            .service
            .answer(request.body(Body::empty()).unwrap())
            .await;
        assert_eq!(answer.status, status, "{count} of {bytes}");
        if status == 431 {
            let message = answer.error(431, "headers_too_large");
            assert!(message.contains("16384"), "{message}");
        }
    }
}

#[tokio::test]
async fn an_error_is_not_taken_for_anything_but_json() {
    let world = World::sqlite().await;
    for address in ["/nowhere", "/v1/events/x", "/v1/providers?x=1"] {
        let answer = world.get(address).await;
        assert!(answer.status.is_client_error(), "{address}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

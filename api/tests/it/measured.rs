//! What the API measures of requests and of the state that it is in.

mod caches;
mod registry;
mod state;

use std::num::NonZeroU32;

use api::{Config, Rate};

use crate::measured::registry::{Measured, counts};
use crate::seed::{event, id, store};
use crate::socket::{serve, until_closed};
use crate::world::{Send, World, service};

crate::on_both_databases!(
    each_request_is_counted_once_by_method_route_and_status,
    a_request_that_the_database_fails_is_counted_with_its_error,
);

const SEARCH: &str = "/v1/events/search";
const DURATION: &str = "http_server_request_duration_seconds_count";

/// How requests are told apart; `-` is no route.
fn request(method: &str, route: &str, status: u16) -> String {
    let mut labels = vec![format!("http_request_method={method}")];
    labels.push(format!("http_response_status_code={status}"));
    if route != "-" {
        labels.push(format!("http_route={route}"));
    }
    labels.push("url_scheme=http".to_owned());
    if status >= 500 {
        labels.push(format!("error_type={status}"));
    }
    labels.sort();
    labels.join(" ")
}

async fn each_request_is_counted_once_by_method_route_and_status(world: World) {
    let stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    let measured = Measured::default();
    let service = service(&world.db, measured.config());
    let known = format!("/v1/events/{}", id(&stored));
    let unknown = "/v1/events/dd8d2fd1-87f2-55d4-9464-032d553cbb6f";
    // Another process has told the client what this one has not read yet.
    let etag = world.get(&format!("{SEARCH}?limit=5")).await;
    let etag = etag.header("etag").to_owned();
    let conditional = [("if-none-match", etag.as_str())];
    let untold = service
        .send("GET", &format!("{SEARCH}?limit=5"), &conditional)
        .await;
    assert_eq!(untold.status, 304);

    let own = service.get(SEARCH).await;
    let hit = [("if-none-match", own.header("etag"))];
    let asked = [
        ("GET", SEARCH, &[][..], 200),
        ("GET", SEARCH, &hit[..], 304),
        ("HEAD", SEARCH, &[][..], 200),
        ("GET", "/v1/events/search?nonsense", &[][..], 400),
        ("GET", &known, &[][..], 200),
        ("GET", &known, &[][..], 200),
        ("GET", unknown, &[][..], 404),
        ("GET", unknown, &[][..], 404),
        ("HEAD", unknown, &[][..], 404),
        ("GET", "/nowhere", &[][..], 404),
        ("GET", "/nowhere/else", &[][..], 404),
        ("POST", SEARCH, &[][..], 405),
        ("BREW", SEARCH, &[][..], 405),
        ("BREW", "/nowhere", &[][..], 404),
        ("GET", "/healthz", &[][..], 200),
        ("GET", "/v1/providers", &[][..], 200),
    ];
    for (method, address, headers, status) in asked {
        let answer = service.send(method, address, headers).await;
        assert_eq!(answer.status, status, "{method} {address}");
    }

    let by_id = "/v1/events/{id}";
    let expected = [
        (request("GET", SEARCH, 200), 2),
        (request("GET", SEARCH, 304), 2),
        (request("HEAD", SEARCH, 200), 1),
        (request("GET", SEARCH, 400), 1),
        (request("GET", by_id, 200), 2),
        (request("GET", by_id, 404), 2),
        (request("HEAD", by_id, 404), 1),
        (request("GET", "-", 404), 2),
        (request("POST", SEARCH, 405), 1),
        (request("_OTHER", SEARCH, 405), 1),
        (request("_OTHER", "-", 404), 1),
        (request("GET", "/healthz", 200), 1),
        (request("GET", "/v1/providers", 200), 1),
    ];
    assert_eq!(measured.counts(DURATION), counts(expected));
}

async fn a_request_that_the_database_fails_is_counted_with_its_error(world: World) {
    let measured = Measured::default();
    let service = service(&world.db, measured.config());
    assert_eq!(service.get("/readyz").await.status, 200);
    world.db.clone().close().await;
    service.get(SEARCH).await.error(503, "unavailable");
    let expected = [
        (request("GET", "/readyz", 200), 1),
        (request("GET", SEARCH, 503), 1),
    ];
    assert_eq!(measured.counts(DURATION), counts(expected));
}

#[tokio::test]
async fn a_request_too_many_is_counted_without_a_route() {
    let world = World::sqlite().await;
    let measured = Measured::default();
    let per_second = "0.01".parse().unwrap();
    let config = Config {
        rate: Some(Rate::new(per_second, NonZeroU32::new(1))),
        ..measured.config()
    };
    let service = service(&world.db, config);
    assert_eq!(service.get(SEARCH).await.status, 200);
    assert_eq!(service.get(SEARCH).await.status, 429);
    let expected = [
        (request("GET", SEARCH, 200), 1),
        (request("GET", "-", 429), 1),
    ];
    assert_eq!(measured.counts(DURATION), counts(expected));
}

#[tokio::test]
async fn a_request_beyond_those_connections_that_there_may_be_is_counted() {
    let world = World::sqlite().await;
    let measured = Measured::default();
    let config = Config {
        connections: 0,
        ..measured.config()
    };
    let served = serve(&world.db, config).await;
    let mut refused = served.ask(SEARCH).await;
    let answer = until_closed(&mut refused).await;
    assert!(answer.starts_with(b"HTTP/1.1 503"));
    assert_eq!(served.get("/healthz").await.status, 200);
    let expected = [
        (request("GET", "-", 503), 1),
        (request("GET", "/healthz", 200), 1),
    ];
    assert_eq!(measured.counts(DURATION), counts(expected));
}

#[tokio::test]
async fn a_page_of_another_origin_is_counted_as_any_other() {
    let world = World::sqlite().await;
    let measured = Measured::default();
    let config = Config {
        cors: "https://app.example".parse().unwrap(),
        ..measured.config()
    };
    let service = service(&world.db, config);
    let origin = ("origin", "https://app.example");
    let preflight = [origin, ("access-control-request-method", "GET")];
    service.send("OPTIONS", SEARCH, &preflight).await;
    for _ in 0..2 {
        assert_eq!(service.send("GET", SEARCH, &[origin]).await.status, 200);
    }
    let expected = [
        (request("OPTIONS", "-", 200), 1),
        (request("GET", SEARCH, 200), 2),
    ];
    assert_eq!(measured.counts(DURATION), counts(expected));
}

#[tokio::test]
async fn a_duration_is_told_in_seconds() {
    let world = World::sqlite().await;
    let measured = Measured::default();
    let service = service(&world.db, measured.config());
    let began = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(service.get(SEARCH).await.status, 200);
    }
    let took = began.elapsed().as_secs_f64();
    let sum = measured.sum("http_server_request_duration_seconds_sum");
    assert!(0.0 < sum && sum < took, "{sum} of {took}");
}

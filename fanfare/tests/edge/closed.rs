//! What is not there from outside.

use crate::apis::Apis;
use crate::nginx::Edge;

#[tokio::test]
async fn metrics_and_probes_are_for_the_inside_alone() {
    let apis = Apis::start(&[]).await;
    for edge in Edge::each(&apis).await {
        assert_eq!(closed(&apis, &edge).await, Ok(()));
        for path in ["/healthz", "/readyz"] {
            let answer = edge.inside.get(path).await;
            assert_eq!(answer.json()["data"]["status"], "ok", "{path}");
        }
        assert_eq!(edge.inside.get("/v1/providers").await.status, 404);
    }
}

/// Holds that an address leads nowhere, however it is spelled, and is refused as the API itself does.
pub(crate) async fn closed(apis: &Apis, edge: &Edge) -> Result<(), String> {
    let refusal = apis.client(0).get("/nowhere").await.text().to_owned();
    for path in [
        "/",
        "/metrics",
        "/metrics/",
        "//metrics",
        "/%6detrics",
        "/v1/../metrics",
        "/v1/%2e%2e/metrics",
        "/v1/..%2fmetrics",
        "/docs/../metrics",
        "/healthz",
        "/readyz",
        "/status",
        "/.refused/unavailable",
        "/.refused/",
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n");
        let (status, answer) = edge.client.raw(&head).await;
        let is_ours = answer.contains("application/json")
            && answer.contains("no-store")
            && answer.ends_with(&refusal);
        if status != 404 || !is_ours {
            return Err(format!("{path}: {answer}"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_is_refused_in_the_apis_words() {
    let apis = Apis::start(&[]).await;
    for edge in Edge::each(&apis).await {
        for (code, target, header) in [
            ("uri_too_long", 9_000, 0),
            ("uri_too_long", 30_000, 0),
            ("headers_too_large", 0, 17_000),
            ("headers_too_large", 0, 30_000),
        ] {
            let (target, header) = ("x".repeat(target), "x".repeat(header));
            let head = format!(
                "GET /v1/{target} HTTP/1.1\r\nHost: edge\r\nX: {header}\r\nConnection: close\r\n\r\n"
            );
            let (ours_status, ours) = edge.client.raw(&head).await;
            let (status, direct) = apis.client(0).raw(&head).await;
            let body = |answer: &str| answer.split("\r\n\r\n").nth(1).unwrap().to_owned();
            assert_eq!((ours_status, body(&ours)), (status, body(&direct)));
            assert!(ours.contains(code), "{ours}");
        }
    }
}

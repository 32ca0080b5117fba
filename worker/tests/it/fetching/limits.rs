//! Each limit, hit.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::net::{TcpSocket, TcpStream};
use worker::fetch::{FetchError, Fetcher, Limits, Lookup, Request};

use super::server::{Server, Step, answer, head, path, redirect};
use super::{SHORT, body, error, fetch, fetcher, plain, request, text};
use crate::world::fetch_config;

async fn told(limits: Limits, url: &str) -> String {
    error(&fetcher(limits), url).await.to_string()
}

/// Sends the head and no byte of the body that it announces.
async fn announcing(length: &str) -> Server {
    let steps = [
        Step::Send(head(200, &[("content-length", length)])),
        Step::Wait,
    ];
    Server::start(move |_| steps.to_vec()).await
}

async fn flooding() -> Server {
    let steps = [Step::Send(head(200, &[])), Step::Flood(text(10_000))];
    Server::start(move |_| steps.to_vec()).await
}

#[tokio::test]
async fn a_body_past_the_wire_limit_is_refused_by_its_length_or_on_the_way() {
    let limits = Limits {
        wire: 300_000,
        ..Limits::default()
    };
    let expected = "the body exceeds the limit of 300000 bytes on the wire";
    let announced = announcing("300001").await;
    assert_eq!(told(limits.clone(), &announced.url("/")).await, expected);
    let flood = flooding().await;
    assert_eq!(told(limits.clone(), &flood.url("/")).await, expected);
    let fits = Server::saying(answer(200, &[], &text(300_000))).await;
    let fetched = fetch(&fetcher(limits), &fits.url("/")).await.unwrap();
    assert_eq!(body(fetched).len(), 300_000);
}

#[tokio::test]
async fn a_body_past_the_body_limit_is_refused_by_its_length_or_on_the_way() {
    let limits = Limits {
        body: 300_000,
        ..Limits::default()
    };
    let expected = "the body exceeds the limit of 300000 bytes";
    let announced = announcing("300001").await;
    assert_eq!(told(limits.clone(), &announced.url("/")).await, expected);
    let flood = flooding().await;
    assert_eq!(told(limits.clone(), &flood.url("/")).await, expected);
    let fits = Server::saying(answer(200, &[], &text(300_000))).await;
    let fetched = fetch(&fetcher(limits), &fits.url("/")).await.unwrap();
    assert_eq!(body(fetched).len(), 300_000);
}

#[tokio::test]
async fn a_request_may_have_a_limit_of_its_own() {
    let fetcher = fetcher(Limits {
        body: 1_000,
        ..Limits::default()
    });
    let server = Server::saying(answer(200, &[], &text(2_000))).await;
    let url = server.url("/");
    for (limit, fits) in [(None, false), (Some(1_999), false), (Some(2_000), true)] {
        let request = Request {
            max_body: limit,
            ..request(&url)
        };
        let fetched = fetcher.fetch(&request).await;
        assert_eq!(fetched.is_ok(), fits, "{limit:?}");
    }
}

#[tokio::test]
async fn headers_past_their_limit_are_refused_however_they_exceed_it() {
    let expected = "the answer's headers exceed the limit of 65536 bytes or of 100 fields";
    let long = "x".repeat(70_000);
    let longer = "x".repeat(600_000);
    let many = vec![("x-many", "1"); 101];
    for lines in [&[("x-long", &*long)][..], &[("x-long", &longer)], &many] {
        let server = Server::saying(answer(200, lines, b"x")).await;
        assert_eq!(told(Limits::default(), &server.url("/")).await, expected);
    }
    let fits = "x".repeat(60_000);
    let server = Server::saying(answer(200, &[("x-long", &fits)], b"x")).await;
    assert!(fetch(&plain(), &server.url("/")).await.is_ok());
    // Those of a redirect are an answer's, too.
    let lines = [("location", "/b"), ("x-long", &long)];
    let server = Server::saying(answer(302, &lines, b"")).await;
    assert_eq!(told(Limits::default(), &server.url("/")).await, expected);
}

#[tokio::test]
async fn more_than_five_redirects_in_a_row_are_refused() {
    let server = Server::start(|head| {
        let number: usize = path(head)[1..].parse().unwrap();
        let next = redirect(302, &format!("/{}", number + 1));
        let end = answer(200, &[], b"here");
        vec![Step::Send(if number == 6 { end } else { next })]
    })
    .await;
    let five = fetch(&plain(), &server.url("/1")).await.unwrap();
    assert_eq!(body(five), b"here");
    let six = error(&plain(), &server.url("/0")).await;
    assert_eq!(six.to_string(), "redirect refused: more than 5 in a row");
    assert_eq!(server.asked().len(), 6 + 6, "the seventh is not asked");
}

#[tokio::test]
async fn a_resolver_that_does_not_answer_is_left() {
    let config = fetch_config(Limits {
        dns: SHORT,
        ..Limits::default()
    });
    let silent: Lookup = Arc::new(|_| std::future::pending().boxed());
    let fetcher = Fetcher::with_lookup(config, silent).unwrap();
    let error = error(&fetcher, "http://feed.example/").await;
    assert!(error.is_unreachable() && !error.is_ours());
    assert_eq!(
        error.to_string(),
        "the name of the provider's host was not resolved within 150ms"
    );
}

#[tokio::test]
async fn a_host_that_does_not_take_connections_is_left() {
    // Once as many wait as may, the system answers no more.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    let limits = Limits {
        connect: SHORT,
        ..Limits::default()
    };
    let error = error(&fetcher(limits), &format!("http://{address}/")).await;
    assert!(error.is_unreachable());
    assert_eq!(
        error.to_string(),
        "no connection to the provider within 150ms"
    );
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_not_waited_for() {
    let limits = Limits {
        first_byte: SHORT,
        ..Limits::default()
    };
    let expected = "the provider did not begin to answer within 150ms";
    let silent = Server::start(|_| vec![Step::Wait]).await;
    assert_eq!(told(limits.clone(), &silent.url("/")).await, expected);
    // Nor one that never comes to its end.
    let pause = Duration::from_millis(10);
    let dripping = Server::start(move |_| {
        let begun = Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec());
        vec![begun, Step::Drip(b"x: y\r\n".to_vec(), pause)]
    })
    .await;
    let error = error(&fetcher(limits), &dripping.url("/")).await;
    assert!(!error.is_unreachable());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn silence_amid_a_body_is_left_after_the_idle_time() {
    let limits = Limits {
        idle: SHORT,
        ..Limits::default()
    };
    for sent in [0, 10, 3 << 20] {
        let steps = [
            Step::Send(head(200, &[])),
            Step::Send(text(sent)),
            Step::Wait,
        ];
        let server = Server::start(move |_| steps.to_vec()).await;
        let error = told(limits.clone(), &server.url("/")).await;
        assert_eq!(error, "the provider sent nothing for 150ms", "{sent}");
    }
}

#[tokio::test]
async fn a_drip_that_is_never_silent_ends_with_the_timeout_of_the_whole() {
    let server = Server::start(|_| {
        let drip = Step::Drip(b"x".to_vec(), Duration::from_millis(10));
        vec![Step::Send(head(200, &[])), drip]
    })
    .await;
    let url = server.url("/");
    let request = Request {
        timeout: Duration::from_millis(300),
        ..request(&url)
    };
    let error = plain().fetch(&request).await.unwrap_err();
    assert!(matches!(error, FetchError::TotalTimeout { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "the fetch took longer than the provider's timeout of 300ms"
    );
}

//! What is asked, and what is made of the answer besides its body.

use std::time::Duration;

use worker::fetch::{Answer, Caching, Config, FetchError, Fetched, Fetcher, Limits, Request};

use super::server::{Server, Step, answer, header, path, redirect};
use super::{body, error, feed, fetch, plain, request};
use crate::world::fetch_config;

async fn conditionally(url: &str) -> Result<Fetched, FetchError> {
    let request = Request {
        etag: Some("W/\"v 1\""),
        last_modified: Some("Thu, 01 Jan 2026 00:00:00 GMT"),
        ..request(url)
    };
    plain().fetch(&request).await
}

#[tokio::test]
async fn providers_learn_who_asks_and_how_to_reach_them() {
    let server = Server::saying(answer(200, &[], b"here")).await;
    let config = |contact: Option<&str>| Config {
        contact: contact.map(str::to_owned),
        ..fetch_config(Limits::default())
    };
    let version = env!("CARGO_PKG_VERSION");
    for (contact, expected) in [
        (None, format!("fanfare/{version}")),
        (Some("ops@x.org"), format!("fanfare/{version} (+ops@x.org)")),
    ] {
        let fetcher = Fetcher::new(config(contact)).unwrap();
        fetch(&fetcher, &server.url("/")).await.unwrap();
        let asked = server.asked();
        let agent = header(asked.last().unwrap(), "user-agent");
        assert_eq!(agent, Some(expected.as_str()));
    }
    let error = Fetcher::new(config(Some("ops\r\nx: y"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the contact \"ops\\r\\nx: y\" can't be sent to providers: give an address of mail or of a \
         page, without control characters or brackets"
    );
}

#[tokio::test]
async fn a_feed_comes_with_what_it_says_of_itself() {
    let lines = [
        ("etag", "\"v2\""),
        ("last-modified", "Fri, 02 Jan 2026 00:00:00 GMT"),
        ("cache-control", "public, max-age=600"),
        ("age", "60"),
        ("retry-after", "30"),
    ];
    let server = Server::saying(answer(200, &lines, b"here")).await;
    let fetched = fetch(&plain(), &server.url("/")).await.unwrap();
    let caching = Caching {
        fresh_for: Some(Duration::from_secs(540)),
        retry_after: Some(Duration::from_secs(30)),
    };
    assert_eq!((fetched.status, fetched.wire), (200, 4));
    assert_eq!((fetched.caching, fetched.moved_to.clone()), (caching, None));
    let feed = feed(fetched);
    assert_eq!(feed.etag.as_deref(), Some("\"v2\""));
    let modified = feed.last_modified.as_deref();
    assert_eq!(modified, Some("Fri, 02 Jan 2026 00:00:00 GMT"));
}

#[tokio::test]
async fn not_modified_says_when_to_ask_again_and_where() {
    let server = Server::start(|head| {
        let unchanged = answer(304, &[("cache-control", "max-age=60")], b"");
        vec![Step::Send(match path(head) {
            "/old" => redirect(301, "/new"),
            _ => unchanged,
        })]
    })
    .await;
    let fetched = conditionally(&server.url("/old")).await.unwrap();
    assert!(matches!(fetched.answer, Answer::NotModified));
    assert_eq!((fetched.status, fetched.wire), (304, 0));
    let fresh_for = Some(Duration::from_secs(60));
    assert_eq!(fetched.caching.fresh_for, fresh_for);
    assert_eq!(fetched.moved_to, Some(server.url("/new")));
    for head in server.asked() {
        assert_eq!(header(&head, "if-none-match"), Some("w/\"v 1\""));
        let since = header(&head, "if-modified-since");
        assert_eq!(since, Some("thu, 01 jan 2026 00:00:00 gmt"));
    }
}

#[tokio::test]
async fn statuses_that_are_no_feed_are_told() {
    for (status, told) in [
        (206, "status 206: it was asked for the whole feed"),
        (300, "status 300"),
        (304, "status 304: it was asked for the feed, not whether"),
        (404, "status 404: there is no feed at this address"),
        (429, "status 429: it is asked too often"),
    ] {
        let lines = [("retry-after", "7")];
        let server = Server::saying(answer(status, &lines, b"")).await;
        let error = error(&plain(), &server.url("/")).await;
        assert_eq!(error.status(), Some(status));
        assert!(error.to_string().contains(told), "{error}");
        let wait = Some(Duration::from_secs(7));
        assert!(matches!(error, FetchError::Status { retry_after, .. } if retry_after == wait));
    }
}

#[tokio::test]
async fn a_feed_that_has_moved_for_good_is_told_with_its_new_address() {
    let server = Server::start(|head| {
        vec![Step::Send(match path(head) {
            "/301" => redirect(301, "/308"),
            "/308" => redirect(308, "/here"),
            "/302" => redirect(302, "/here"),
            "/301-302" => redirect(301, "/302"),
            "/302-301" => redirect(302, "/301"),
            _ => answer(200, &[], b"here"),
        })]
    })
    .await;
    for (from, to) in [
        ("/here", None),
        ("/301", Some("/here")),
        ("/308", Some("/here")),
        ("/302", None),
        ("/301-302", Some("/302")),
        ("/302-301", None),
    ] {
        let fetched = fetch(&plain(), &server.url(from)).await.unwrap();
        assert_eq!(fetched.moved_to, to.map(|to| server.url(to)), "{from}");
        assert_eq!(body(fetched), b"here");
    }
}

#[tokio::test]
async fn redirects_that_lead_nowhere_are_told() {
    for (lines, why) in [
        (&[][..], "it does not say where to"),
        (&[("location", "/here")], "it leads in a circle"),
        (
            &[("location", "http://[")],
            "the address it leads to can't be read",
        ),
        (
            &[("location", "gopher://x/")],
            "it leads to something other than http or https",
        ),
    ] {
        let server = Server::saying(answer(302, lines, b"")).await;
        let error = error(&plain(), &server.url("/here")).await;
        assert_eq!(error.to_string(), format!("redirect refused: {why}"));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn the_body_of_a_redirect_is_not_read() {
    let server = Server::start(|head| match path(head) {
        "/a" => {
            let lines = [("location", "/b"), ("content-length", "1000000")];
            vec![Step::Send(super::server::head(302, &lines)), Step::Wait]
        }
        _ => vec![Step::Send(answer(200, &[], b"here"))],
    })
    .await;
    let fetched = fetch(&plain(), &server.url("/a")).await.unwrap();
    assert_eq!(body(fetched), b"here");
}

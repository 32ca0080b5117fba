//! What a provider wants to see is shown to it, and to nobody else.

use entity::provider::{Access, Basic, Reference};
use worker::fetch::{FetchError, Fetcher, Request};

use super::server::{Server, Step, answer, header, path, redirect};
use super::{fetch, plain, request};

const SECRETS: [&str; 2] = ["k3y", "t0ken"];

fn access() -> Access {
    let value = |text: &str| Reference::Value(text.to_owned());
    Access {
        headers: [
            ("x-api-key".to_owned(), value("k3y")),
            ("x-tenant".to_owned(), value("7")),
        ]
        .into(),
        basic: None,
        bearer: Some(value("t0ken")),
    }
}

async fn ask(fetcher: &Fetcher, url: &str, access: &Access) -> Result<(), FetchError> {
    let request = Request {
        access,
        etag: Some("\"v1\""),
        ..request(url)
    };
    fetcher.fetch(&request).await.map(drop)
}

fn shown(head: &str) -> [Option<&str>; 3] {
    ["x-api-key", "x-tenant", "authorization"].map(|name| header(head, name))
}

const ALL: [Option<&str>; 3] = [Some("k3y"), Some("7"), Some("bearer t0ken")];

#[tokio::test]
async fn headers_and_credentials_are_sent_also_along_redirects_within_the_host() {
    let server = Server::start(|head| {
        vec![Step::Send(match path(head) {
            "/a" => redirect(302, "/b"),
            _ => answer(200, &[], b"here"),
        })]
    })
    .await;
    ask(&plain(), &server.url("/a"), &access()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    for head in asked {
        assert_eq!(shown(&head), ALL);
    }
    let basic = Access {
        basic: Some(Basic {
            username: "Aladdin".to_owned(),
            password: Reference::Value("open sesame".to_owned()),
        }),
        ..Access::default()
    };
    ask(&plain(), &server.url("/b"), &basic).await.unwrap();
    let expected = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_lowercase();
    let asked = server.asked();
    assert_eq!(header(&asked[2], "authorization"), Some(expected.as_str()));
}

#[tokio::test]
async fn a_redirect_to_another_host_drops_all_of_them_for_good() {
    let home = Server::start(|head| match path(head) {
        "/back" => vec![Step::Send(answer(200, &[], b"here"))],
        elsewhere => vec![Step::Send(redirect(
            307,
            &format!("http://{}/", elsewhere.trim_start_matches('/')),
        ))],
    })
    .await;
    let back = home.url("/back");
    // The same host, another port: another origin.
    let away = Server::start(move |_| vec![Step::Send(redirect(302, &back))]).await;
    let start = home.url(&format!("/{}", away.address));
    ask(&plain(), &start, &access()).await.unwrap();
    let (at_home, elsewhere) = (home.asked(), away.asked());
    assert_eq!((at_home.len(), elsewhere.len()), (2, 1));
    assert_eq!(shown(&at_home[0]), ALL);
    assert_eq!(shown(&elsewhere[0]), [None; 3]);
    assert_eq!(shown(&at_home[1]), [None; 3], "who was there may lead back");
    for head in [&at_home[1], &elsewhere[0]] {
        for secret in SECRETS {
            assert!(!head.contains(secret), "{head}");
        }
        // What is no secret goes on.
        assert_eq!(header(head, "if-none-match"), Some("\"v1\""));
        assert_eq!(header(head, "accept-encoding"), Some("gzip, br, zstd"));
    }
}

#[tokio::test]
async fn neither_cookies_nor_the_page_before_are_told_to_anyone() {
    let server = Server::start(|head| {
        let cookie = ("set-cookie", "id=1; path=/");
        vec![Step::Send(match path(head) {
            "/a" => answer(302, &[("location", "/b?k3y"), cookie], b""),
            "/b?k3y" => answer(302, &[("location", "/c"), cookie], b""),
            _ => answer(200, &[cookie], b"here"),
        })]
    })
    .await;
    let fetcher = plain();
    for _ in 0..2 {
        fetch(&fetcher, &server.url("/a")).await.unwrap();
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 6);
    for head in asked {
        assert_eq!(header(&head, "cookie"), None);
        assert_eq!(header(&head, "referer"), None);
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_stops_the_fetch_before_it_begins() {
    let server = Server::saying(answer(200, &[], b"here")).await;
    let missing = Access {
        bearer: Some(Reference::Env("FANFARE_NO_SUCH_SECRET".to_owned())),
        ..Access::default()
    };
    let error = ask(&plain(), &server.url("/"), &missing).await.unwrap_err();
    assert!(matches!(error, FetchError::Credentials(_)));
    assert_eq!(
        error.to_string(),
        "the provider can't be asked: the bearer token is in the variable FANFARE_NO_SUCH_SECRET, \
         which is not set in the worker's environment"
    );
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_error_tells_neither_secrets_nor_addresses() {
    let server = Server::start(|head| {
        vec![match path(head) {
            "/reset?k3y" => Step::Close,
            "/nonsense?k3y" => Step::Send(b"t0ken\r\n\r\n".to_vec()),
            "/away?k3y" => Step::Send(redirect(302, "ftp://t0ken.example/")),
            _ => Step::Send(answer(403, &[], b"")),
        }]
    })
    .await;
    for path in ["/reset?k3y", "/nonsense?k3y", "/away?k3y", "/?k3y"] {
        let error = ask(&plain(), &server.url(path), &access())
            .await
            .unwrap_err();
        for told in [format!("{error}"), format!("{error:?}")] {
            for secret in SECRETS {
                assert!(!told.contains(secret), "{path}: {told}");
            }
        }
    }
}

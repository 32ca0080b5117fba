//! Where a fetch may lead: never into the network that the worker stands in, unless it is listed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use worker::fetch::{Config, FetchError, Fetcher, Limits, Networks};

use super::server::{Server, Step, answer, redirect};
use super::{body, error, fetch, plain, with_names};
use crate::world::fetch_config;

/// Only this one address of the machine.
fn one_address() -> Config {
    Config {
        allow: "127.0.0.1".parse().unwrap(),
        ..fetch_config(Limits::default())
    }
}

async fn saying_here(address: &str) -> Server {
    Server::start_at(address, |_| vec![Step::Send(answer(200, &[], b"here"))]).await
}

#[tokio::test]
async fn addresses_inside_are_refused_in_every_spelling() {
    let server = saying_here("127.0.0.1:0").await;
    let port = server.address.port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&asked);
    let fetcher = with_names(Config::default(), move |host| {
        names.lock().unwrap().push(host.to_owned());
        vec!["127.0.0.1"]
    });
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127%2e0%2e0%2e1",
        "１２７.0.0.1",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.0.1",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ] {
        let error = error(&fetcher, &format!("http://{host}:{port}/")).await;
        assert!(
            matches!(error, FetchError::Forbidden { .. }),
            "{host}: {error}"
        );
        assert!(!error.is_unreachable() && !error.is_ours());
    }
    assert_eq!(*asked.lock().unwrap(), [""; 0], "no name is involved");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_refusal_says_what_the_address_is_and_what_to_do() {
    let fetcher = Fetcher::new(Config::default()).unwrap();
    let told = error(&fetcher, "http://2130706433/").await.to_string();
    assert_eq!(
        told,
        "the provider's host `127.0.0.1` leads to 127.0.0.1, which is loopback: list its network in \
         FANFARE_ALLOW_NETWORKS if that is meant"
    );
    let fetcher = with_names(Config::default(), |_| vec!["10.1.2.3", "fe80::1"]);
    let told = error(&fetcher, "http://feed.example/").await.to_string();
    assert_eq!(
        told,
        "the provider's host `feed.example` leads to 10.1.2.3, which is private: list its network \
         in FANFARE_ALLOW_NETWORKS if that is meant"
    );
}

#[tokio::test]
async fn a_redirect_to_a_metadata_address_is_refused() {
    for to in [
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://0xa9fea9fe/",
    ] {
        let server = Server::saying(redirect(302, to)).await;
        let error = error(&plain(), &server.url("/")).await.to_string();
        assert!(error.contains("is link-local: list its network"), "{error}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_to_a_name_inside_is_refused() {
    let inside = saying_here("127.0.0.2:0").await;
    let to = format!("http://inside.example:{}/", inside.address.port());
    let server = Server::saying(redirect(307, &to)).await;
    let fetcher = with_names(one_address(), |host| match host {
        "inside.example" => vec!["127.0.0.2"],
        _ => vec!["127.0.0.1"],
    });
    let outside = format!("http://outside.example:{}/", server.address.port());
    let error = error(&fetcher, &outside).await.to_string();
    assert!(
        error.contains("`inside.example` leads to 127.0.0.2"),
        "{error}"
    );
    assert_eq!((server.asked().len(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn a_resolver_that_answers_public_first_and_private_then_gains_nothing() {
    let outside = Server::start(|_| {
        let closes = [("connection", "close")];
        vec![Step::Send(answer(200, &closes, b"here")), Step::Close]
    })
    .await;
    let port = outside.address.port();
    let inside = saying_here(&format!("127.0.0.2:{port}")).await;
    let times = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&times);
    let fetcher = with_names(one_address(), move |_| {
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => vec!["127.0.0.1"],
            _ => vec!["127.0.0.2"],
        }
    });
    let url = format!("http://rebinding.example:{port}/");
    let first = fetch(&fetcher, &url).await.unwrap();
    assert_eq!(body(first), b"here");
    let looked_up = times.load(Ordering::Relaxed);
    assert_eq!(looked_up, 1, "what was checked is what was connected to");
    let second = error(&fetcher, &url).await;
    assert!(matches!(second, FetchError::Forbidden { .. }), "{second}");
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn of_a_names_addresses_only_those_outside_are_connected_to() {
    let outside = saying_here("127.0.0.1:0").await;
    let port = outside.address.port();
    let inside = saying_here(&format!("127.0.0.2:{port}")).await;
    let fetcher = with_names(one_address(), |_| vec!["127.0.0.2", "::1", "127.0.0.1"]);
    let url = format!("http://both.example:{port}/");
    let fetched = fetch(&fetcher, &url).await.unwrap();
    assert_eq!(body(fetched), b"here");
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn an_open_connection_is_no_way_around_the_check() {
    let server = saying_here("127.0.0.1:0").await;
    let port = server.address.port();
    let fetcher = with_names(one_address(), |host| match host {
        "good.example" => vec!["127.0.0.1"],
        _ => vec!["127.0.0.2"],
    });
    let good = format!("http://good.example:{port}/");
    for _ in 0..2 {
        assert!(fetch(&fetcher, &good).await.is_ok());
    }
    assert_eq!(server.connections(), 1, "it is kept open");
    for other in ["http://other.example", "http://127.0.0.2"] {
        let error = error(&fetcher, &format!("{other}:{port}/")).await;
        assert!(matches!(error, FetchError::Forbidden { .. }), "{error}");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_user_in_an_address_is_no_host() {
    let server = saying_here("127.0.0.1:0").await;
    let port = server.address.port();
    for (address, to) in [
        (format!("http://good.example@127.0.0.1:{port}/"), ""),
        (format!("http://good.example:80@127.0.0.1:{port}/"), ""),
    ] {
        let error = error(&plain(), &address).await.to_string();
        let expected = "the provider's address can't be fetched from: it holds a user or password";
        assert_eq!(error, expected, "{to}");
    }
    assert_eq!(server.connections(), 0);
    let to = format!("http://good.example@127.0.0.1:{port}/");
    let leading = Server::saying(redirect(302, &to)).await;
    assert_eq!(
        error(&plain(), &leading.url("/")).await.to_string(),
        "redirect refused: the address it leads to holds a user or password"
    );
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_is_no_address_of_the_web_is_refused() {
    for (address, why) in [
        (
            "ftp://feed.example/",
            "it does not start with http:// or https://",
        ),
        (
            "file:///etc/passwd",
            "it does not start with http:// or https://",
        ),
        (
            "feed.example",
            "it is not a URL (relative URL without a base)",
        ),
        ("http://", "it is not a URL (empty host)"),
    ] {
        let error = error(&plain(), address).await.to_string();
        assert!(error.ends_with(why), "{error}");
    }
}

#[tokio::test]
async fn listed_networks_are_reached_by_name_and_by_address() {
    let server = saying_here("127.0.0.1:0").await;
    let port = server.address.port();
    let config = Config {
        allow: Networks::loopback(),
        ..Config::default()
    };
    let fetcher = with_names(config, |_| vec!["::ffff:127.0.0.1", "127.0.0.1"]);
    for host in ["127.0.0.1", "named.example", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let fetched = fetch(&fetcher, &url).await;
        assert!(fetched.is_ok(), "{host}: {fetched:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_known_is_told_with_the_name() {
    let fetcher = with_names(Config::default(), |_| vec![]);
    let unknown = error(&fetcher, "http://nowhere.example/").await;
    assert!(unknown.is_unreachable());
    assert_eq!(
        unknown.to_string(),
        "can't connect to the provider: `nowhere.example` has no address"
    );
}

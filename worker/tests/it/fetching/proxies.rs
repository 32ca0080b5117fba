//! Proxies: the one that is configured, and no other.

use std::process::Command;

use worker::fetch::{Config, FetchError};

use super::server::{Server, answer, header};
use super::{body, error, fetch, with_names};

async fn proxy() -> Server {
    Server::saying(answer(200, &[], b"through the proxy")).await
}

fn through(url: &str) -> Config {
    Config {
        proxy: Some(url.parse().unwrap()),
        ..Config::default()
    }
}

#[tokio::test]
async fn the_proxys_own_address_is_not_judged() {
    let proxy = proxy().await;
    let port = proxy.address.port();
    for host in ["127.0.0.1", "proxy.inside"] {
        let config = through(&format!("http://user:hunter2@{host}:{port}/"));
        let fetcher = with_names(config, |host| {
            assert_eq!(
                host, "proxy.inside",
                "other names are the proxy's to resolve"
            );
            vec!["127.0.0.1"]
        });
        let fetched = fetch(&fetcher, "http://feed.example/feed").await.unwrap();
        assert_eq!(body(fetched), b"through the proxy");
    }
    for head in proxy.asked() {
        assert!(head.starts_with("get http://feed.example/feed "), "{head}");
        let credentials = "basic dxnlcjpodw50zxiy";
        assert_eq!(header(&head, "proxy-authorization"), Some(credentials));
    }
}

#[tokio::test]
async fn addresses_inside_are_refused_before_the_proxy_hears_of_them() {
    let proxy = proxy().await;
    let fetcher = with_names(through(&proxy.url("/")), |_| vec!["127.0.0.1"]);
    for url in [
        "http://169.254.169.254/",
        "http://10.0.0.1/",
        "http://[::1]/",
    ] {
        let error = error(&fetcher, url).await;
        assert!(matches!(error, FetchError::Forbidden { .. }), "{error}");
    }
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn only_http_proxies_are_known() {
    let error = "socks5://me:hunter2@127.0.0.1:1080"
        .parse::<worker::fetch::Proxy>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the proxy's address does not start with http:// or https://"
    );
}

/// Runs itself as a process with a proxy in its environment.
#[tokio::test]
async fn a_proxy_in_the_environment_is_ignored() {
    const FEED: &str = "FANFARE_TEST_FEED";
    if let Some(url) = std::env::var_os(FEED) {
        let fetched = fetch(&super::plain(), &url.into_string().unwrap()).await;
        assert_eq!(body(fetched.unwrap()), b"here");
        return;
    }
    let server = Server::saying(answer(200, &[], b"here")).await;
    let proxy = proxy().await;
    let name = "fetching::proxies::a_proxy_in_the_environment_is_ignored";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name]).env(FEED, server.url("/"));
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(variable, proxy.url("/"));
    }
    for variable in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        command.env_remove(variable);
    }
    let ended = tokio::task::spawn_blocking(move || command.output());
    let ended = ended.await.unwrap().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!((server.asked().len(), proxy.connections()), (1, 0));
}

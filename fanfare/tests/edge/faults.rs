//! Faults that are planted in the configuration, each of which a check of the other files must find.

use testkit::eventually;

use crate::apis::Apis;
use crate::caching::{AT_ONCE, ORIGINS, changes, codings, leaves, tokens, while_sure};
use crate::closed::closed;
use crate::conf::Conf;
use crate::limits::counted;
use crate::nginx::{Edge, Program, programs};
use crate::outage::{allow_database, answered_on, cut_off, kept_alone, unsure};
use crate::rolling::{SETTINGS, lost};
use crate::world::PATIENCE;

const PATH: &str = "/v1/events/search?limit=9";

/// The first nginx that there is: a check that finds a fault with one finds it with the other.
async fn program() -> Option<Program> {
    programs().await.into_iter().next()
}

fn shipped() -> Conf {
    Conf::shipped().unlimited()
}

#[tokio::test]
async fn faults_in_what_is_kept_and_open_are_found() {
    let Some(program) = program().await else {
        return;
    };
    let apis = Apis::start(&[("FANFARE_CACHE_MAX_AGE", "1h")]).await;
    let edge = |conf| Edge::start(&program, &apis, conf);
    let right = edge(shipped()).await;
    while_sure(async |path| assert_eq!(codings(&apis, &right, path).await, Ok(()))).await;

    let key = "$request_uri $fanfare_encoding $http_origin";
    for (file, right, wrong) in [
        ("cache.conf", key, "$request_uri"),
        ("cache.conf", key, "$uri $fanfare_encoding $http_origin"),
        ("cache.conf", "proxy_cache                   fanfare;", ""),
        ("cache.conf", "$fanfare_large", "1"),
        ("proxy.conf", "$fanfare_encoding", "gzip"),
        (
            "proxy.conf",
            "Accept-Encoding   $fanfare_encoding",
            "Accept-Encoding \"\"",
        ),
        ("nginx.conf", "zstd;\n", "br;\n"),
        ("nginx.conf", "(?<![^\\s,])br(?![^\\s,])", "br"),
    ] {
        let faulty = edge(shipped().with(file, right, wrong)).await;
        let found = codings(&apis, &faulty, PATH).await;
        assert!(
            found.is_err(),
            "{file}: `{wrong}` for `{right}` is not found"
        );
    }
    for wrong in [
        "proxy_no_cache     $fanfare_large",
        "proxy_no_cache $http_x",
    ] {
        let faulty = shipped()
            .with("cache.conf", "proxy_cache_bypass $http_authorization;", "")
            .with(
                "cache.conf",
                "proxy_no_cache     $http_authorization",
                wrong,
            );
        let found = tokens(&edge(faulty).await, PATH).await;
        assert!(found.is_err(), "`{wrong}` is not found");
    }
    for (file, right, wrong) in [
        (
            "routes.conf",
            "    return 404;",
            "    proxy_pass http://fanfare_api;",
        ),
        (
            "routes.conf",
            "location /docs",
            "location ~ /(docs|metrics|healthz)",
        ),
        ("routes.conf", "error_page 404 ", "error_page 405 "),
        ("routes.conf", "    internal;\n", ""),
    ] {
        let faulty = edge(shipped().with(file, right, wrong)).await;
        let found = closed(&apis, &faulty).await;
        assert!(
            found.is_err(),
            "{file}: `{wrong}` for `{right}` is not found"
        );
    }
}

#[tokio::test]
async fn faults_in_how_long_and_for_whom_something_is_kept_are_found() {
    let Some(program) = program().await else {
        return;
    };
    let apis = Apis::start(&[AT_ONCE, ORIGINS]).await;
    let edge = |conf| Edge::start(&program, &apis, conf);
    let other_key = shipped().with("cache.conf", " $http_origin", "");
    let other_key = edge(other_key).await;
    eventually(PATIENCE, "a leave that is another's is found", async || {
        leaves(&other_key).await.is_err()
    })
    .await;
    let endless = shipped().with(
        "cache.conf",
        "proxy_cache_revalidate        on;",
        "proxy_cache_use_stale updating;",
    );
    let found = changes(&apis, &edge(endless).await).await;
    assert!(found.is_err(), "an end that is missing is not found");

    let keeping = edge(shipped().with("cache.conf", " $fanfare_unsure", "")).await;
    let for_a_second = edge(shipped().with(
        "cache.conf",
        "$fanfare_unsure",
        "$upstream_http_dataset_stale",
    ))
    .await;
    // The seconds are 0 for one, which nginx takes for no, and that may be over before it is asked.
    eventually(PATIENCE, "a 0 that is kept is found", async || {
        for which in [0, 1] {
            assert_eq!(apis.client(which).get(PATH).await.status, 200);
        }
        cut_off(&apis, PATH).await;
        let found = unsure(&for_a_second, PATH).await.is_err();
        assert!(unsure(&keeping, PATH).await.is_err());
        allow_database(&apis, true).await;
        found
    })
    .await;
}

#[tokio::test]
async fn an_outage_of_the_database_that_is_passed_on_is_found() {
    let Some(program) = program().await else {
        return;
    };
    let mut apis = Apis::start(&[AT_ONCE]).await;
    let handed_on = shipped().with("routes.conf", "error_page 503 =        @kept;", "");
    let edge = Edge::start(&program, &apis, handed_on).await;
    let (path, _) = kept_alone(&mut apis, &edge).await;
    assert!(answered_on(&edge, &path).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_lost_in_a_restart_are_found() {
    let Some(program) = program().await else {
        return;
    };
    let mut apis = Apis::start(&SETTINGS).await;
    let alone = shipped().with("proxy.conf", "error timeout invalid_header;", "off;");
    let edge = Edge::start(&program, &apis, alone).await;
    assert!(lost(&mut apis, &edge).await > 0);
}

#[tokio::test]
async fn faults_in_who_counts_as_a_client_are_found() {
    let Some(program) = program().await else {
        return;
    };
    let settings = [("FANFARE_RATE_LIMIT", "0.01"), ("FANFARE_RATE_BURST", "5")];
    for (right, wrong) in [
        (
            "X-Forwarded-For   $remote_addr",
            "X-Forwarded-For $proxy_add_x_forwarded_for",
        ),
        (
            "X-Forwarded-For   $remote_addr",
            "X-Forwarded-For $http_x_forwarded_for",
        ),
        ("proxy_hide_header RateLimit;", ""),
    ] {
        let apis = Apis::start(&settings).await;
        let faulty = shipped().with("proxy.conf", right, wrong);
        let edge = Edge::start(&program, &apis, faulty).await;
        let found = counted(&edge).await;
        assert!(found.is_err(), "`{wrong}` for `{right}` is not found");
    }
}

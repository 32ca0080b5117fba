//! Validators, encodings, the provider file, control and counts.

use std::io::Read;

use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use simulator::{Behavior, Config, ExpectedEvent, Simulator, Stats, UnknownProvider};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{client, start};

const NAME: &str = "provider-0002";

#[tokio::test]
async fn an_unchanged_feed_is_answered_304() {
    let running = start(Config::default()).await;
    let url = running.simulator.feed_url(NAME);
    let first = running.get(NAME).await;
    assert_eq!(first.status(), StatusCode::OK);
    let validators = [(IF_NONE_MATCH, ETAG), (IF_MODIFIED_SINCE, LAST_MODIFIED)];
    let conditions =
        validators.map(|(condition, validator)| (condition, first.headers()[validator].clone()));
    for (name, value) in &conditions {
        let again = running
            .client
            .get(&url)
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{name}");
        assert_eq!(again.headers()[ETAG], first.headers()[ETAG]);
        assert!(again.bytes().await.unwrap().is_empty());
    }
    running.simulator.advance();
    for (name, value) in &conditions {
        let moved = running
            .client
            .get(&url)
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(moved.status(), StatusCode::OK, "{name}");
        assert_ne!(moved.headers()[ETAG], first.headers()[ETAG]);
    }
    let counts = &running.simulator.stats().providers[NAME];
    assert_eq!((counts.ok, counts.not_modified, counts.other), (3, 2, 0));
}

#[tokio::test]
async fn a_feed_is_compressed_for_those_who_take_it() {
    let running = start(Config {
        events: 2_000,
        ..Config::default()
    })
    .await;
    let plain = running.get(NAME).await;
    assert!(!plain.headers().contains_key(CONTENT_ENCODING));
    let request = running
        .client
        .get(running.simulator.feed_url(NAME))
        .header("accept-encoding", "gzip");
    let packed = request.send().await.unwrap();
    assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
    assert_ne!(
        packed.headers()[ETAG],
        plain.headers()[ETAG],
        "each representation has its own strong tag"
    );
    let plain = plain.text().await.unwrap();
    let packed = packed.bytes().await.unwrap();
    assert!(packed.len() < plain.len() / 3);
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain);
}

#[tokio::test]
async fn a_small_feed_tells_its_length() {
    let running = start(Config {
        events: 5,
        ..Config::default()
    })
    .await;
    let request = running
        .client
        .get(running.simulator.feed_url(NAME))
        .header("accept-encoding", "identity");
    let answer = request.send().await.unwrap();
    let length: usize = answer.headers()[CONTENT_LENGTH]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), length);
}

#[tokio::test]
async fn the_provider_file_names_addresses_that_answer() {
    let running = start(Config {
        providers: 3,
        ..Config::default()
    })
    .await;
    let url = running.url("/providers.toml?interval=90s");
    let file = running
        .client
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(file, running.simulator.providers_toml("90s"));
    let parsed: toml::Table = file.parse().unwrap();
    let providers = parsed["provider"].as_array().unwrap();
    assert_eq!(providers.len(), 3);
    for provider in providers {
        assert_eq!(provider["interval"].as_str(), Some("90s"));
        let answer = running
            .client
            .get(provider["url"].as_str().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let by_default = running
        .client
        .get(running.url("/providers.toml"))
        .send()
        .await
        .unwrap();
    assert!(
        by_default
            .text()
            .await
            .unwrap()
            .contains("interval = \"15m\"")
    );
}

#[tokio::test]
async fn one_server_is_several_hosts() {
    let running = start(Config::default()).await;
    for host in ["127.0.0.1", "127.0.0.1", "localhost"] {
        let url = running.simulator.feed_url_on(NAME, host);
        assert_eq!(
            running.client.get(url).send().await.unwrap().status(),
            StatusCode::OK
        );
    }
    let hosts = running.simulator.stats().hosts;
    assert_eq!(
        (hosts["127.0.0.1"].requests, hosts["localhost"].requests),
        (2, 1)
    );
}

#[tokio::test]
async fn an_unspecified_address_is_reached_through_every_loopback_address() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let shutdown = CancellationToken::new();
    let _guard = shutdown.clone().drop_guard();
    let simulator = simulator::start(listener, Config::default(), shutdown);
    let urls = [
        simulator.feed_url(NAME),
        simulator.feed_url_on(NAME, "127.0.0.2"),
    ];
    for url in &urls {
        assert_eq!(
            client().get(url).send().await.unwrap().status(),
            StatusCode::OK
        );
    }
    assert!(urls[0].starts_with("http://127.0.0.1:"));
    assert!(simulator.providers_toml("1s").contains(&urls[0]));
}

#[tokio::test]
async fn everything_is_controlled_over_http() {
    let running = start(Config::default()).await;
    let client = &running.client;
    let advanced = client
        .post(running.url("/control/advance"))
        .send()
        .await
        .unwrap();
    assert_eq!(advanced.text().await.unwrap(), r#"{"round":1}"#);
    assert_eq!(running.simulator.round(), 1);

    let behavior = running.url(&format!("/control/providers/{NAME}/behavior"));
    let put = |body: &'static str| {
        client
            .put(&behavior)
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    assert_eq!(
        put(r#"{"kind":"status","code":418}"#)
            .await
            .unwrap()
            .status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        running.simulator.behavior(NAME),
        Ok(Behavior::Status { code: 418 })
    );
    assert_eq!(running.get(NAME).await.status(), StatusCode::IM_A_TEAPOT);
    assert!(
        put(r#"{"kind":"polite"}"#)
            .await
            .unwrap()
            .status()
            .is_client_error()
    );
    let told = client
        .get(&behavior)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(told, r#"{"kind":"status","code":418}"#);

    let stats = client
        .get(running.url("/control/stats"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let stats: Stats = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats, running.simulator.stats());
    assert_eq!((stats.round, stats.providers[NAME].other), (1, 1));
    let page = client
        .get(running.url("/"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("GET  /providers/{name}/feed"));
}

#[tokio::test]
async fn the_truth_is_told_over_http() {
    let running = start(Config::default()).await;
    running.feed(NAME).await;
    let told = running
        .client
        .get(running.url(&format!("/truth/{NAME}")))
        .send()
        .await
        .unwrap();
    let text = told.text().await.unwrap();
    let read: Vec<ExpectedEvent> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, running.simulator.expected(NAME).unwrap());
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let one = &told.as_array().unwrap()[0];
    for field in [
        "base_id",
        "event_id",
        "title",
        "starts_local",
        "zones",
        "min_price",
        "gone",
        "ever_online",
    ] {
        assert!(one.get(field).is_some(), "{field}");
    }
}

#[tokio::test]
async fn an_unknown_provider_is_404_everywhere() {
    let running = start(Config {
        providers: 3,
        ..Config::default()
    })
    .await;
    let unknown = "provider-0004";
    for path in [
        "/providers/provider-0004/feed",
        "/truth/provider-0004",
        "/control/providers/provider-0004/behavior",
    ] {
        let answer = running.client.get(running.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let simulator: &Simulator = &running.simulator;
    assert_eq!(
        simulator.truth(unknown, 0),
        Err(UnknownProvider(unknown.to_owned()))
    );
    assert_eq!(
        simulator.set_behavior(unknown, Behavior::Hang),
        Err(UnknownProvider(unknown.to_owned()))
    );
}

#[tokio::test]
async fn fetches_in_sequence_never_count_as_concurrent() {
    let running = start(Config::default()).await;
    for _ in 0..200 {
        running.feed(NAME).await;
        running.simulator.advance();
    }
    let total = running.simulator.stats().total;
    assert_eq!(
        (total.requests, total.concurrent, total.max_concurrent),
        (200, 0, 1)
    );
    assert_eq!(total.recent_starts_micros.len(), 16);
    assert!(total.min_gap_micros.unwrap() > 0);
}

//! Bodies as they come: whole or not at all, and nothing left of those that are given up.

use std::time::Duration;

use worker::fetch::{Config, FetchError, Fetcher, Limits};
use worker::spool::SpoolConfig;

use super::server::{Server, Step, answer, head};
use super::{body, error, feed, fetch, plain, text};
use crate::world::{PATIENCE, fetch_config};

/// Bodies go to disk at once.
fn on_disk(total: u64) -> Config {
    Config {
        spool: SpoolConfig {
            memory: 1000,
            total,
            ..SpoolConfig::default()
        },
        ..fetch_config(Limits::default())
    }
}

fn chunked(body: &[u8], ended: bool) -> Vec<u8> {
    let mut answer = head(200, &[("transfer-encoding", "chunked")]);
    for piece in body.chunks(70_000) {
        answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(if ended { b"0\r\n\r\n" } else { b"" });
    answer
}

#[tokio::test]
async fn bodies_of_any_size_arrive_whole_with_their_digest() {
    for len in [0, 1, 999, 64 << 10, 700_000, 6 << 20] {
        let sent = text(len);
        let server = Server::saying(answer(200, &[], &sent)).await;
        for fetcher in [plain(), Fetcher::new(on_disk(u64::MAX)).unwrap()] {
            let fetched = fetch(&fetcher, &server.url("/")).await.unwrap();
            assert_eq!((fetched.status, fetched.wire), (200, len as u64));
            assert!(body(fetched) == sent, "{len}");
        }
        let server = Server::saying(chunked(&sent, true)).await;
        let fetched = fetch(&plain(), &server.url("/")).await.unwrap();
        assert!(body(fetched) == sent, "{len} in chunks");
    }
}

#[tokio::test]
async fn a_body_that_comes_in_crumbs_is_read() {
    let sent = text(3_000);
    let server = Server::start(move |_| {
        let mut steps = vec![Step::Send(head(200, &[("content-length", "3000")]))];
        steps.extend(sent.iter().map(|byte| Step::Send(vec![*byte])));
        steps
    })
    .await;
    let fetched = fetch(&plain(), &server.url("/")).await.unwrap();
    assert!(body(fetched) == text(3_000));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    for len in [10, 3 << 20] {
        let announced = (len + 1).to_string();
        let mut short = head(200, &[("content-length", &announced)]);
        short.extend(text(len));
        for broken in [short, chunked(&text(len), false)] {
            let steps = vec![Step::Send(broken), Step::Close];
            let server = Server::start(move |_| steps.clone()).await;
            let error = error(&plain(), &server.url("/")).await;
            assert!(matches!(error, FetchError::Body { .. }), "{error}");
            let told = error.to_string();
            assert!(told.starts_with("the body broke off: "), "{told}");
        }
    }
}

#[tokio::test]
async fn a_fetch_that_is_dropped_leaves_nothing_behind() {
    let fetcher = Fetcher::new(on_disk(u64::MAX)).unwrap();
    let started = [
        Step::Send(head(200, &[])),
        Step::Send(text(3 << 20)),
        Step::Wait,
    ];
    let server = Server::start(move |_| started.to_vec()).await;
    let url = server.url("/");
    let fetching = tokio::spawn({
        let fetcher = fetcher.clone();
        async move { fetch(&fetcher, &url).await.map(drop) }
    });
    let spools = fetcher.spools();
    let wait = async |what: &str, is: &dyn Fn(u64) -> bool| {
        testkit::eventually(PATIENCE, what, async || is(spools.on_disk())).await;
    };
    wait("a part is on disk", &|held| held > 0).await;
    fetching.abort();
    assert!(fetching.await.unwrap_err().is_cancelled());
    wait("the disk is free again", &|held| held == 0).await;
}

#[tokio::test]
async fn a_fetch_that_fails_gives_its_disk_back() {
    let fetcher = Fetcher::new(on_disk(u64::MAX)).unwrap();
    let steps = [Step::Send(head(200, &[])), Step::Flood(text(100_000))];
    let server = Server::start(move |_| steps.to_vec()).await;
    let url = server.url("/");
    let request = worker::fetch::Request {
        max_body: Some(5 << 20),
        ..super::request(&url)
    };
    let error = fetcher.fetch(&request).await.unwrap_err();
    assert!(matches!(error, FetchError::BodyTooLarge { limit } if limit == 5 << 20));
    let is_free = async || fetcher.spools().on_disk() == 0;
    testkit::eventually(PATIENCE, "the disk is free again", is_free).await;
}

#[tokio::test]
async fn feeds_share_one_budget_of_disk_and_its_end_is_our_fault() {
    let fetcher = Fetcher::new(on_disk(1_500_000)).unwrap();
    let server = Server::saying(answer(200, &[], &text(1_000_000))).await;
    let url = server.url("/");
    let first = feed(fetch(&fetcher, &url).await.unwrap());
    let refused = error(&fetcher, &url).await;
    assert!(refused.is_ours() && !refused.is_unreachable());
    assert_eq!(
        refused.to_string(),
        "temporary data would exceed the limit of 1500000 bytes on disk, all feeds together"
    );
    drop(first);
    assert!(fetch(&fetcher, &url).await.is_ok());
}

#[tokio::test]
async fn a_spool_folder_that_is_missing_is_told_at_the_start() {
    let mut config = on_disk(0);
    config.spool.directory = "/no/such/folder".into();
    let error = Fetcher::new(config).unwrap_err().to_string();
    let start = "can't write temporary data to /no/such/folder: No such file";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn many_slow_bodies_do_not_keep_others_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let slow = Server::start(|_| {
            let drip = Step::Drip(text(100), Duration::from_millis(100));
            vec![Step::Send(head(200, &[])), drip]
        })
        .await;
        let fetcher = plain();
        let url = slow.url("/");
        let mut dripping = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (fetcher, url) = (fetcher.clone(), url.clone());
            dripping.spawn(async move { fetch(&fetcher, &url).await.map(drop) });
        }
        let all = async || slow.asked().len() == 20;
        testkit::eventually(PATIENCE, "all drip", all).await;
        let fast = Server::saying(answer(200, &[], &text(2 << 20))).await;
        let fetched = fetch(&fetcher, &fast.url("/")).await.unwrap();
        assert_eq!(body(fetched).len(), 2 << 20);
        assert!(dripping.try_join_next().is_none());
    });
}

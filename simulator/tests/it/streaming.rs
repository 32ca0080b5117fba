//! Memory does not follow the size of a feed.

use simulator::{Behavior, Config};

use crate::{Running, start, until};

const NAME: &str = "provider-0001";
const MIB: usize = 1024 * 1024;

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim()
        .trim_end_matches(" kB")
        .trim()
        .parse::<usize>()
        .unwrap()
        * 1024
}

/// Reads until `limit`, keeping nothing.
async fn drain(running: &Running, encoding: &str, limit: usize) -> usize {
    let request = running
        .client
        .get(running.simulator.feed_url(NAME))
        .header("accept-encoding", encoding);
    let mut answer = request.send().await.unwrap();
    let mut length = 0;
    while length < limit
        && let Some(chunk) = answer.chunk().await.unwrap()
    {
        length += chunk.len();
    }
    length
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_big_feed_streams_with_bounded_memory() {
    let running = start(Config {
        events: 100_000,
        ..Config::default()
    })
    .await;
    running.client.get(running.url("/")).send().await.unwrap();
    let before = peak();
    let length = drain(&running, "identity", usize::MAX).await;
    let grown = peak() - before;
    assert!(length > 40 * MIB, "{length} bytes");
    assert!(
        grown < 16 * MIB,
        "memory grew by {grown} bytes over {length} bytes of feed"
    );
    assert_eq!(running.simulator.served(NAME).unwrap(), [0]);
}

#[tokio::test]
async fn a_feed_of_a_gigabyte_begins_at_once_and_ends_with_its_client() {
    let running = start(Config {
        events: 1_900_000,
        ..Config::default()
    })
    .await;
    assert!(drain(&running, "identity", MIB).await >= MIB);
    until(|| running.simulator.stats().total.concurrent == 0).await;
    assert!(running.simulator.served(NAME).unwrap().is_empty());
    assert!(peak() < 80 * MIB, "{} bytes", peak());
}

#[tokio::test]
async fn an_endless_body_is_made_only_as_far_as_it_is_read() {
    let running = start(Config {
        events: 1,
        ..Config::default()
    })
    .await;
    running
        .simulator
        .set_behavior(NAME, Behavior::Endless)
        .unwrap();
    for encoding in ["identity", "gzip"] {
        assert!(
            drain(&running, encoding, 4 * MIB).await >= 4 * MIB,
            "{encoding}"
        );
    }
    until(|| running.simulator.stats().total.concurrent == 0).await;
    assert!(peak() < 80 * MIB, "{} bytes", peak());
}

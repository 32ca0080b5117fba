//! `fanfare demo`, as someone who tries Fanfare for the first time sees it.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use testkit::{Process, Signal, eventually};

use crate::http::Api;
use crate::world::{PATIENCE, ended, fanfare, stop, text_of};

fn start(data: &Path, listen: &str, providers: &str) -> Process {
    let data = text_of(data);
    let options = ["--data", &data, "--listen", listen];
    let size = ["--providers", providers, "--events", "40"];
    Process::start(&fanfare(&[&["demo"], &options[..], &size[..]].concat()))
}

#[tokio::test]
async fn the_demo_syncs_tells_what_to_try_goes_on_and_finds_its_events_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let demo = start(&data, "127.0.0.1:0", "5");
    let synced = |line: &str| line.starts_with("Synced 5 providers, ");
    let synced = demo.wait_for_line(synced, PATIENCE).await;
    let events = number_before(" events, in ", &synced);
    assert!((150..=200).contains(&events), "{synced}");
    assert!(synced.ends_with(" s."), "{synced}");
    let last_word = |line: &str| line == "Ctrl-C ends the demo.";
    demo.wait_for_line(last_word, PATIENCE).await;

    let urls = urls(&demo.lines());
    assert_eq!(urls.len(), 4, "{:?}", demo.lines());
    for url in &urls {
        let answer = Api::new(url).get("").await;
        assert_eq!(answer.status, 200, "{url}: {}", answer.body);
    }
    let api = Api::new(origin(&urls[0]));
    let version = async || api.get("/v1/events/search").await.dataset_version.unwrap();
    let first = version().await;
    eventually(PATIENCE, "a higher version", async || {
        version().await > first
    })
    .await;
    stop(&demo, Signal::INT).await;
    demo.wait_for_line(|line| line == "Stopped.", PATIENCE)
        .await;

    again(&data, events).await;
}

/// Many more providers than before make the first round long, so that its end is far when the
/// first answer comes.
async fn again(data: &Path, events: u64) {
    let port = testkit::free_port();
    let demo = start(data, &format!("127.0.0.1:{port}"), "300");
    let found = |line: &str| line.ends_with(" of an earlier start.");
    let found = demo.wait_for_line(found, PATIENCE).await;
    assert!(number_before(" events of ", &found) >= events, "{found}");
    let api = Api::new(&format!("http://127.0.0.1:{port}"));
    // Most are sold online.
    let shown = api.search("").await.len() as u64;
    assert!(shown > events / 2, "{shown} of {events}");
    let lines = demo.lines();
    let over = |line: &String| line.starts_with("Synced ");
    assert!(!lines.iter().any(over), "{lines:?}");
    stop(&demo, Signal::INT).await;
}

/// The number, with its thousands apart, in front of `after`.
fn number_before(after: &str, line: &str) -> u64 {
    let (before, _) = line.split_once(after).unwrap();
    let number = before.rsplit(' ').next().unwrap();
    number.replace(',', "").parse().unwrap()
}

/// The addresses that the demo says to try.
fn urls(lines: &[String]) -> Vec<String> {
    let url = |line: &String| {
        let start = line.find("http://")?;
        let url = line[start..].split([' ', '\'']).next()?;
        Some(url.to_owned())
    };
    lines.iter().filter_map(url).collect()
}

fn origin(url: &str) -> &str {
    let path = url["http://".len()..].find('/').unwrap();
    &url[.."http://".len() + path]
}

#[tokio::test]
async fn the_demo_stops_amid_its_first_round() {
    let folder = tempfile::tempdir().unwrap();
    let demo = start(folder.path(), "127.0.0.1:0", "300");
    let begins = |line: &str| line.starts_with("Fanfare demo: 300 simulated providers");
    demo.wait_for_line(begins, PATIENCE).await;
    demo.signal(Signal::INT);
    // Its syncs may take five seconds more; then they are handed back.
    let status = demo.wait(Duration::from_secs(15)).await;
    assert_eq!(status.code(), Some(0));
    demo.wait_for_line(|line| line == "Stopped.", PATIENCE)
        .await;
}

#[tokio::test]
async fn the_demo_leaves_nothing_behind_unless_told_to() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = fanfare(&["demo", "--listen", "127.0.0.1:0", "--providers", "1"]);
    command.env("TMPDIR", temporary.path());
    let demo = Process::start(&command);
    let synced = |line: &str| line.starts_with("Synced 1 provider, ");
    demo.wait_for_line(synced, PATIENCE).await;
    let left = || std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(left(), 1);
    stop(&demo, Signal::INT).await;
    assert_eq!(left(), 0);
}

#[tokio::test]
async fn the_demo_says_so_when_its_port_is_taken() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let demo = ended(fanfare(&["demo", "--listen", &address])).await;
    demo.refused(&[&address, "taken by another process", "--listen"]);
}

#[tokio::test]
async fn the_demo_says_so_when_its_folder_cannot_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = text_of(&file.join("data"));
    let demo = ended(fanfare(&[
        "demo",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &below,
    ]))
    .await;
    demo.refused(&[&below, "can't make the folder", "--data"]);
}

#[tokio::test]
async fn a_second_demo_on_the_same_folder_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let demo = start(folder.path(), "127.0.0.1:0", "1");
    let synced = |line: &str| line.starts_with("Synced ");
    demo.wait_for_line(synced, PATIENCE).await;
    let data = text_of(folder.path());
    let second = ended(fanfare(&[
        "demo",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &data,
    ]))
    .await;
    let process = format!("process {}", demo.pid());
    second.refused(&[
        "in use by another fanfare process",
        &process,
        "stop it first",
    ]);
    stop(&demo, Signal::INT).await;
}

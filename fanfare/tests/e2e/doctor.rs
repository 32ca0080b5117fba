//! `fanfare doctor`: what is as it should be, what is not, and nothing changed by the look.

mod away;
mod embedded;
mod postgres;
mod redis;
mod replica;

use std::process::Command;

use serde_json::Value;
use testkit::Signal;

use crate::dump::dump;
use crate::world::{Ended, World, ended, fanfare, stop};

/// What a doctor told.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    findings: Vec<Value>,
    text: String,
}

impl Told {
    fn of(ended: Ended) -> Self {
        let text = ended.text();
        Self {
            code: ended.code,
            findings: serde_json::from_str(&ended.out)
                .unwrap_or_else(|error| panic!("{error}: {text}")),
            text,
        }
    }

    /// The only finding of a check.
    fn found(&self, group: &str, check: &str) -> &Value {
        let mut of_check = self
            .findings
            .iter()
            .filter(|it| it["group"] == group && it["check"] == check);
        let found = of_check.next();
        assert!(
            of_check.next().is_none(),
            "{group}, {check} twice: {}",
            self.text
        );
        found.unwrap_or_else(|| panic!("no {group}, {check}: {}", self.text))
    }

    fn has(&self, group: &str, check: &str) -> bool {
        self.findings
            .iter()
            .any(|it| it["group"] == group && it["check"] == check)
    }

    /// The state of a check, whose finding has these words and whose fix has those.
    fn is(&self, group: &str, check: &str, state: &str, words: &str, fix: &str) {
        let found = self.found(group, check);
        let text = |key: &str| found[key].as_str().unwrap_or_default();
        assert_eq!(text("state"), state, "{found:#}");
        assert!(text("found").contains(words), "{words:?}: {found:#}");
        assert!(text("fix").contains(fix), "{fix:?}: {found:#}");
    }

    fn in_state(&self, state: &str) -> Vec<&Value> {
        self.findings
            .iter()
            .filter(|it| it["state"] == state)
            .collect()
    }
}

/// A doctor with these variables alone.
fn command(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = fanfare(&[&["doctor", "--listen", "127.0.0.1:0"], arguments].concat());
    command.envs(variables.iter().copied());
    command
}

async fn doctor(variables: &[(&str, &str)]) -> Told {
    Told::of(ended(command(variables, &["--json"])).await)
}

/// Everything that stands in the world's Redis under its queue's name.
async fn keys(url: &str, queue: &str) -> Vec<String> {
    let client = ::redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys = ::redis::cmd("KEYS")
        .arg(format!("*{queue}*"))
        .query_async(&mut connection)
        .await;
    let mut keys: Vec<String> = keys.unwrap();
    keys.sort();
    keys
}

#[tokio::test]
async fn what_is_as_it_should_be_is_told_and_nothing_is_written() {
    let queue = testkit::queue_namespace();
    let redis = testkit::redis_url().await;
    let world = World::postgres()
        .await
        .with("FANFARE_REDIS_URL", &redis)
        .with("FANFARE_QUEUE", &queue);
    let observed = format!("127.0.0.1:{}", testkit::free_port());
    let world = world.with("FANFARE_OBSERVE_LISTEN", &observed);
    world.apply(&[("north", "http://127.0.0.1:1/north")]).await;
    let before = (dump(&world).await, keys(&redis, &queue).await);

    let told = Told::of(world.run(&["doctor", "--json"]).await);
    assert_eq!(told.code, Some(0), "{}", told.text);
    assert!(told.in_state("error").is_empty(), "{}", told.text);
    for (group, check) in [
        ("program", "settings"),
        ("program", "feeds' folder"),
        ("database", "address"),
        ("database", "login"),
        ("database", "server"),
        ("database", "encoding"),
        ("database", "session limits"),
        ("database", "clock"),
        ("database", "schema"),
        ("database", "permissions"),
        ("database", "notifications"),
        ("queue", "server"),
        ("queue", "commands"),
        ("queue", "clock"),
        ("queue", "eviction"),
        ("running", "providers"),
    ] {
        assert_eq!(told.found(group, check)["state"], "ok", "{group}, {check}");
    }
    told.is("running", "workers", "warning", "none", "fanfare worker");
    told.is(
        "process",
        "FANFARE_OBSERVE_LISTEN",
        "note",
        "which is free",
        "",
    );
    assert_eq!((dump(&world).await, keys(&redis, &queue).await), before);
    assert_eq!(
        std::fs::read_dir(world.folder.path()).unwrap().count(),
        1,
        "the provider file"
    );

    // Each finding has all keys, in this order.
    for finding in &told.findings {
        let keys: Vec<_> = finding.as_object().unwrap().keys().cloned().collect();
        let mut sorted = ["group", "check", "state", "found", "fix"].map(str::to_owned);
        sorted.sort();
        let mut keys = keys;
        keys.sort();
        assert_eq!(keys, sorted);
        let bad = ["warning", "error"].contains(&finding["state"].as_str().unwrap());
        assert!(!bad || finding["fix"].is_string(), "{finding:#}");
    }
}

#[tokio::test]
async fn what_runs_is_told_by_the_probes_and_by_the_database() {
    let observed = format!("127.0.0.1:{}", testkit::free_port());
    let world = World::distributed()
        .await
        .with("FANFARE_OBSERVE_LISTEN", &observed);
    let worker = world.start_ready(&["worker"]).await;
    testkit::eventually(crate::world::PATIENCE, "a ready worker", async || {
        let told = Told::of(world.run(&["doctor", "--json"]).await);
        told.found("process", "FANFARE_OBSERVE_LISTEN")["state"] == "ok"
            && told.found("running", "workers")["state"] == "ok"
    })
    .await;
    worker.signal(Signal::STOP);
    let told = Told::of(world.run(&["doctor", "--json"]).await);
    told.is(
        "process",
        "FANFARE_OBSERVE_LISTEN",
        "error",
        "no answer",
        "restart it",
    );
    assert_eq!(told.code, Some(1));
    worker.signal(Signal::CONT);
    stop(&worker, Signal::TERM).await;
}

#[tokio::test]
async fn people_read_a_table_and_strictness_counts_warnings() {
    let redis = testkit::RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let world = World::postgres()
        .await
        .with("FANFARE_REDIS_URL", &redis.url());
    let told = world.run(&["doctor"]).await.well();
    for line in [
        "database",
        "  ✓ schema",
        "queue",
        "  ! eviction",
        "fix: CONFIG SET maxmemory-policy noeviction",
    ] {
        assert!(told.lines().any(|it| it.contains(line)), "{line}: {told}");
    }
    assert!(!told.contains('\u{1b}'), "{told}");
    let last = told.lines().last().unwrap();
    assert!(last.starts_with("0 errors, "), "{last}");
    assert_eq!(world.run(&["doctor", "--strict"]).await.code, Some(1));
}

//! `fanfare doctor`: what is as it should be, what is not, and nothing changed by the look.

mod away;
mod embedded;
mod postgres;
mod redis;
mod replica;

use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use testkit::Signal;

use crate::dump::dump;
use crate::world::{Ended, PATIENCE, World, ended, fanfare, stop};

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
    fn found(&self, group: &str, check: &str) -> Result<&Value, String> {
        let of_check = |it: &&Value| it["group"] == group && it["check"] == check;
        let mut of_check = self.findings.iter().filter(of_check);
        match (of_check.next(), of_check.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => Err(format!("no {group}, {check}")),
            (Some(_), Some(_)) => Err(format!("{group}, {check} twice")),
        }
    }

    fn has_none(&self, group: &str, check: &str) -> Seen {
        match self.found(group, check) {
            Err(lack) if lack.starts_with("no ") => Ok(()),
            _ => Err(format!("{group}, {check} is there")),
        }
    }

    fn ends_with(&self, code: i32) -> Seen {
        match self.code == Some(code) {
            true => Ok(()),
            false => Err(format!("it ends with {:?}, not {code}", self.code)),
        }
    }

    /// The state of a check, whose finding has these words and whose fix has those.
    fn is(&self, group: &str, check: &str, state: &str, words: &str, fix: &str) -> Seen {
        let found = self.found(group, check)?;
        let text = |key: &str| found[key].as_str().unwrap_or_default();
        match text("state") == state && text("found").contains(words) && text("fix").contains(fix) {
            true => Ok(()),
            false => Err(format!("not {state}, {words:?}, {fix:?}: {found:#}")),
        }
    }

    fn is_ok(&self, group: &str, check: &str) -> Seen {
        self.is(group, check, "ok", "", "")
    }

    fn in_state(&self, state: &str) -> Vec<&Value> {
        self.findings
            .iter()
            .filter(|it| it["state"] == state)
            .collect()
    }
}

/// What is not as it should be, if anything.
type Seen = Result<(), String>;

/// Looks until it is seen. A look has bounds of seconds, which a machine that is busy with other tests may
/// miss; what a doctor tells wrongly it tells wrongly again.
async fn until(look: impl AsyncFn() -> Told, seen: impl Fn(&Told) -> Seen) -> Told {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = look().await;
        match seen(&told) {
            Ok(()) => return told,
            Err(lack) => assert!(Instant::now() < deadline, "{lack}\n{}", told.text),
        }
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

/// A doctor of that world.
async fn of_world(world: &World) -> Told {
    Told::of(world.run(&["doctor", "--json"]).await)
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

const AS_IT_SHOULD_BE: [(&str, &str); 16] = [
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
];

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

    let told = until(
        async || of_world(&world).await,
        |told| {
            told.ends_with(0)?;
            for (group, check) in AS_IT_SHOULD_BE {
                told.is_ok(group, check)?;
            }
            told.is("running", "workers", "warning", "none", "fanfare worker")?;
            told.is(
                "process",
                "FANFARE_OBSERVE_LISTEN",
                "note",
                "which is free",
                "",
            )
        },
    )
    .await;
    assert!(told.in_state("error").is_empty(), "{}", told.text);
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
    let look = async || of_world(&world).await;
    until(look, |told| {
        told.is_ok("process", "FANFARE_OBSERVE_LISTEN")?;
        told.is_ok("running", "workers")
    })
    .await;
    worker.signal(Signal::STOP);
    until(look, |told| {
        told.ends_with(1)?;
        told.is(
            "process",
            "FANFARE_OBSERVE_LISTEN",
            "error",
            "no answer",
            "restart it",
        )
    })
    .await;
    worker.signal(Signal::CONT);
    stop(&worker, Signal::TERM).await;
}

#[tokio::test]
async fn people_read_a_table_and_strictness_counts_warnings() {
    let redis = testkit::RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let world = World::postgres()
        .await
        .with("FANFARE_REDIS_URL", &redis.url());
    let well = testkit::eventually(PATIENCE, "a look without errors", async || {
        let ended = world.run(&["doctor"]).await;
        (ended.code == Some(0)).then_some(ended)
    });
    let told = well.await.well();
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

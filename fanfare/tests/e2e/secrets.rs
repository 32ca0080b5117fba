//! Every way in for a secret, and every way out for words: none leads to the other.

mod failing;
mod wrong;

use axum::http::StatusCode;
use testkit::{Database, Process, RedisServer, Signal};

use crate::dump::dump;
use crate::feed::{Feeds, upcoming};
use crate::sink::Sink;
use crate::world::{Ended, World, stop};

const WRITE: &str = "pw-of-primary-1a2b";
const READ: &str = "pw-of-replica-3c4d";
const QUEUE: &str = "pw-of-queue-5e6f";
const CACHE: &str = "pw-of-cache-7a8b";
const ADMIN: &str = "admin-token-of-ours-9c0d";
const NOT_ADMIN: &str = "admin-token-of-another-1e2f";
const PROXY: &str = "pw-of-proxy-3a4b";
const RECEIVER: &str = "key-of-receiver-5c6d";
const HEADER: &str = "key-in-header-7e8f";
const BASIC: &str = "pw-of-basic-9a0b";
const BEARER: &str = "token-of-bearer-1c2d";
const QUERY: &str = "key-in-query-3e4f";
const TARGET: &str = "key-in-redirect-5a6b";

/// `reader:pw-of-basic-9a0b` in Base64.
const BASIC_PAIR: &str = "cmVhZGVyOnB3LW9mLWJhc2ljLTlhMGI";
/// `fetcher:pw-of-proxy-3a4b` in Base64.
const PROXY_PAIR: &str = "ZmV0Y2hlcjpwdy1vZi1wcm94eS0zYTRi";

const ALL: [&str; 15] = [
    WRITE, READ, QUEUE, CACHE, ADMIN, NOT_ADMIN, PROXY, PROXY_PAIR, RECEIVER, HEADER, BASIC,
    BASIC_PAIR, BEARER, QUERY, TARGET,
];

/// What was told, and by whom.
#[derive(Default)]
pub(crate) struct Told(Vec<(String, String)>);

impl Told {
    pub(crate) fn add(&mut self, who: &str, text: impl Into<String>) {
        self.0.push((who.to_owned(), text.into()));
    }

    async fn run(&mut self, world: &World, arguments: &[&str]) -> Ended {
        let ended = world.run(arguments).await;
        self.add(&arguments.join(" "), ended.text());
        ended
    }

    fn process(&mut self, who: &str, process: &Process) {
        self.add(who, process.lines().join("\n"));
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.iter().any(|(_, told)| told.contains(text))
    }

    /// Those tell nothing of it.
    fn holds_none_of_by(&self, tellers: &[&str], secret: &str) {
        let mut tellers = self
            .0
            .iter()
            .filter(|(who, _)| tellers.contains(&who.as_str()));
        let telling = tellers.find(|(_, told)| told.contains(secret));
        assert!(telling.is_none(), "{secret} by {telling:.2000?}");
    }

    /// Each secret is told by nobody.
    pub(crate) fn holds_none_of(&self, secrets: &[&str]) {
        let mut leaks = Vec::new();
        for secret in secrets {
            for (who, told) in &self.0 {
                for line in told.lines().filter(|line| line.contains(secret)).take(3) {
                    leaks.push(format!("{secret} by {who}: {line:.600}"));
                }
            }
        }
        assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    }
}

/// The address with this password, which a server that trusts its own machine does not look at.
fn with_password(url: &str, password: &str) -> String {
    let mut url: url::Url = url.parse().unwrap();
    url.set_password(Some(password)).unwrap();
    url.into()
}

fn provider_file(feeds: &Feeds, token: &str) -> String {
    format!(
        r#"
[[provider]]
name = "north"
url = "{north}?key={QUERY}"
format = "plan-list"
interval = "1h"
headers = {{ X-Api-Key = {{ env = "NORTH_KEY" }} }}
bearer = {{ file = "{token}" }}

[[provider]]
name = "south"
url = "{south}"
format = "plan-list"
interval = "1h"
basic = {{ username = "reader", password = {{ env = "SOUTH_PASSWORD" }} }}

[[provider]]
name = "moved"
url = "{moved}?key={QUERY}"
format = "plan-list"
interval = "1h"

[[provider]]
name = "led-astray"
url = "{astray}"
format = "plan-list"
interval = "1h"
"#,
        north = feeds.url("north"),
        south = feeds.url("south"),
        moved = feeds.url("moved"),
        astray = feeds.url("led-astray"),
    )
}

#[tokio::test]
async fn no_secret_shows_in_what_roles_and_commands_tell() {
    let feeds = Feeds::start();
    let sink = Sink::start();
    let database = Database::postgres().await;
    let queue = RedisServer::start_with(&["--requirepass", QUEUE]).await;
    let cache = RedisServer::start_with(&["--requirepass", CACHE]).await;
    let secret = |url: String, password| url.replace("redis://", &format!("redis://:{password}@"));
    let [write, read] = [WRITE, READ].map(|password| with_password(database.url(), password));
    let world = World::over(database)
        .with("FANFARE_DATABASE_URL", &write)
        .with("FANFARE_DATABASE_READ_URL", &read)
        .with("FANFARE_REDIS_URL", &secret(queue.url(), QUEUE))
        .with("FANFARE_CACHE_URL", &secret(cache.url(), CACHE))
        .with("FANFARE_ADMIN_TOKEN", ADMIN)
        .with("FANFARE_LOG", "trace")
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.url)
        .with(
            "OTEL_EXPORTER_OTLP_HEADERS",
            &format!("x-api-key={RECEIVER}"),
        )
        .with("OTEL_METRIC_EXPORT_INTERVAL", "500")
        .with("NORTH_KEY", HEADER)
        .with("SOUTH_PASSWORD", BASIC);
    // The feeds' server takes whatever it is asked through a proxy for its own.
    let proxy = feeds
        .url("")
        .replace("http://", &format!("http://fetcher:{PROXY}@"));
    let token = world.file("token", BEARER);
    let file = world.file("providers.toml", &provider_file(&feeds, &token));
    for name in ["north", "south", "arrived"] {
        feeds.set(name, upcoming(30, "A show"));
    }
    feeds.move_to("moved", &format!("arrived?key={TARGET}"));
    feeds.send_to("led-astray", &format!("http://me:{TARGET}@127.0.0.1/"));

    let mut told = Told::default();
    let scheduler = world.start_ready(&["scheduler"]).await;
    let world = world.with("FANFARE_PROXY", &proxy);
    let worker = world.start_ready(&["worker"]).await;
    let world = world.with("FANFARE_LOG_FORMAT", "human");
    let api = world.serve(&["api"]).await;

    told.run(&world, &["provider", "apply", &file]).await;
    told.run(&world, &["sync", "--all", "--wait"]).await;
    assert_eq!(feeds.asked("north")["x-api-key"], HEADER);
    assert!(feeds.asked("south").contains_key("authorization"));
    feeds.fail("north", StatusCode::UNAUTHORIZED);
    told.run(&world, &["sync", "north", "--wait"]).await;
    // The query changes, and the difference is told.
    let text = std::fs::read_to_string(&file).unwrap();
    let other = world.file(
        "other.toml",
        &text.replace(QUERY, &format!("{QUERY}-and-more")),
    );
    told.run(&world, &["provider", "apply", &other, "--dry-run"])
        .await;
    look(&world, &mut told).await;
    let cursor = ask(&api.api, &mut told).await;

    for (name, process) in [
        ("scheduler", &scheduler),
        ("worker", &worker),
        ("api", &api.process),
    ] {
        stop(process, Signal::TERM).await;
        told.process(name, process);
    }
    let database = dump(&world).await;
    let kept = |table: &str| database[table].join("\n");
    told.add("the runs", kept("run"));
    told.add("telemetry", sink.bodies());

    for word in [
        "TRACE",
        "process sync",
        "north",
        "moved",
        "run finished",
        "Usage: ",
    ] {
        assert!(told.has(word), "{word}");
    }
    assert!(
        sink.heads().contains(RECEIVER),
        "the receiver was asked with its key"
    );
    told.holds_none_of(&ALL);
    // Where a client is in its pages is its own business, too.
    told.holds_none_of_by(&["scheduler", "worker", "api"], &cursor);
}

/// Every command that looks, for people and at its most talkative.
async fn look(world: &World, told: &mut Told) {
    for name in ["north", "south", "moved", "led-astray"] {
        for command in [&["provider", "show"][..], &["why"], &["check"]] {
            told.run(world, &[command, &[name]].concat()).await;
        }
        let listed = told
            .run(world, &["run", "list", "--provider", name, "--json"])
            .await;
        let id = "\"id\": \"";
        let at = listed.out.find(id).unwrap() + id.len();
        told.run(world, &["run", "show", &listed.out[at..at + 36]])
            .await;
    }
    for command in [
        &["provider", "list"][..],
        &["run", "list"],
        &["worker", "list"],
        &["worker", "list", "--json"],
        &["migrate", "--check"],
        &["doctor"],
        &["doctor", "--json"],
        &["doctor", "--help"],
        &["all", "--help"],
        &["api", "--help"],
        &["worker", "--help"],
        &["scheduler", "--help"],
        &["check", "--help"],
        &["demo", "--help"],
        &["sync", "--help"],
    ] {
        told.run(world, command).await;
    }
}

/// Requests good and bad; gives the cursor of one.
async fn ask(api: &crate::http::Api, told: &mut Told) -> String {
    assert_eq!(api.post("/v1/providers/south/pause", NOT_ADMIN).await, 401);
    assert_eq!(api.post("/v1/providers/south/pause", ADMIN).await, 200);
    assert_eq!(api.post("/v1/providers/south/resume", ADMIN).await, 200);
    for path in [
        "/v1/events/search?limit=10",
        "/v1/providers",
        "/v1/health",
        "/v1/changes",
        "/metrics",
    ] {
        told.add(path, api.get(path).await.body.to_string());
    }
    let page = api.get("/v1/events/search?limit=1").await.body;
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let cursor = page["meta"]["next_cursor"].as_str().unwrap().to_owned();
    let next = format!("/v1/events/search?limit=1&cursor={cursor}");
    assert_eq!(api.get(&next).await.status, 200);
    assert_eq!(api.get(&format!("{next}x")).await.status, 400);
    cursor
}

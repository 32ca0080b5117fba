//! A real replica beside its primary, over which the API answers.

use std::time::{Duration, Instant};

use api::Config;
use futures::future::join_all;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use testkit::{PostgresServer, PostgresStandby, eventually};
use tokio_util::sync::CancellationToken;

use crate::seed::{event, store};
use crate::server;
use crate::socket::{Served, serve};
use crate::world::{Answer, Send};

const SAFETY_NET: Duration = Duration::from_secs(30);

struct Pair {
    _primary: PostgresServer,
    replica: PostgresStandby,
    db: entity::Database,
}

impl Pair {
    async fn start() -> Self {
        let primary = server::start().await;
        let replica = primary.standby().await;
        let db = server::connect(&primary.url(), Some(&replica.url())).await;
        let pair = Self {
            _primary: primary,
            replica,
            db,
        };
        pair.store(1).await;
        pair.replica.caught_up().await;
        pair
    }

    /// Commits that there are so many events.
    async fn store(&self, events: usize) {
        let events: Vec<_> = (0..events)
            .map(|number| event(&number.to_string(), "2021-06-30T19:00:00Z"))
            .collect();
        store(&self.db, &events, &[]).await;
    }

    /// Waits until an answer that is not cached was read from the replica.
    async fn answers_from_replica(&self, client: &mut Client) {
        self.replica.caught_up().await;
        let session = server::session(&self.replica.url()).await;
        let since = text(&session, "SELECT clock_timestamp()::text").await;
        let reads = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'fanfare' \
             AND query LIKE '%ever_online%' AND query_start > '{since}'"
        );
        eventually(SAFETY_NET, "the replica is read", async || {
            client.ask().await;
            text(&session, &reads).await != "0"
        })
        .await;
    }
}

async fn text(session: &DatabaseConnection, sql: &str) -> String {
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = session.query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

/// Asks what nobody has asked before, and minds how that goes.
struct Client {
    served: Served,
    asked: u32,
    newest: i64,
}

impl Client {
    async fn of(pair: &Pair) -> Self {
        let config = Config {
            replica_lag: Duration::from_millis(300),
            ..Config::default()
        };
        Self {
            served: serve(&pair.db, config).await,
            asked: 0,
            newest: 0,
        }
    }

    /// How many events there are, as an answer in time has it that is no older than any before.
    async fn ask(&mut self) -> usize {
        let path = self.next();
        let began = Instant::now();
        let answer = self.served.get(&path).await;
        self.mind(&answer, began)
    }

    async fn ask_together(&mut self, requests: u32) {
        let paths: Vec<_> = (0..requests).map(|_| self.next()).collect();
        let began = Instant::now();
        let answers = join_all(paths.iter().map(|path| self.served.get(path))).await;
        // They were begun together: each is held against what was known then.
        let newest = self.newest;
        let mut seen = newest;
        for answer in &answers {
            self.newest = newest;
            self.mind(answer, began);
            seen = seen.max(self.newest);
        }
        self.newest = seen;
    }

    fn next(&mut self) -> String {
        self.asked += 1;
        format!("/v1/events/search?limit=900&min_price=0.{:04}", self.asked)
    }

    fn mind(&mut self, answer: &Answer, began: Instant) -> usize {
        let took = began.elapsed();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(took < Duration::from_millis(2500), "{took:?}");
        assert!(!answer.headers.contains_key("dataset-stale"));
        let version = number(answer);
        assert!(version >= self.newest, "{version} after {}", self.newest);
        self.newest = version;
        answer.json()["data"]["events"].as_array().unwrap().len()
    }

    async fn sees(&mut self, events: usize) {
        eventually(SAFETY_NET, "the new commit is seen", async || {
            self.ask().await == events
        })
        .await;
    }
}

fn number(answer: &Answer) -> i64 {
    let (_, number) = answer.header("dataset-version").rsplit_once('-').unwrap();
    number.parse().unwrap()
}

#[tokio::test]
async fn answers_come_from_the_replica_while_it_lacks_nothing_for_too_long() {
    let pair = Pair::start().await;
    let config = Config {
        replica_lag: Duration::from_secs(600),
        ..Config::default()
    };
    let context = api::Context::new(config, pair.db.clone(), CancellationToken::new());
    let service = api::Service::new(context.clone());
    assert!(context.look().await);
    let before = service.get("/v1/events/search").await;
    pair.replica.pause_replay().await;
    pair.store(2).await;
    assert!(
        !context.look().await,
        "what the replica lacks is not adopted"
    );
    // Of all databases only the replica still answers like this.
    for path in [
        "/v1/events/search?limit=5",
        "/v1/events/search?gone=exclude",
    ] {
        let answer = service.get(path).await;
        assert_eq!(number(&answer), number(&before), "{path}");
        assert!(!answer.text().contains("event 1"), "{path}");
        assert!(!answer.headers.contains_key("dataset-stale"));
    }
    pair.replica.resume_replay().await;
    pair.replica.caught_up().await;
    assert!(context.look().await);
    let after = service.get("/v1/events/search").await;
    assert!(after.text().contains("event 1"));
}

#[tokio::test]
async fn a_replica_that_lacks_a_commit_for_too_long_is_left_until_it_has_caught_up() {
    let pair = Pair::start().await;
    let mut client = Client::of(&pair).await;
    client.sees(1).await;
    pair.answers_from_replica(&mut client).await;
    for round in 1..3 {
        pair.replica.pause_replay().await;
        pair.store(2 * round).await;
        client.sees(2 * round).await;
        pair.store(2 * round + 1).await;
        client.sees(2 * round + 1).await;
        client.ask_together(8).await;
        pair.replica.resume_replay().await;
        pair.answers_from_replica(&mut client).await;
    }
}

#[tokio::test]
async fn a_replica_that_dies_fails_no_request() {
    let mut pair = Pair::start().await;
    let mut client = Client::of(&pair).await;
    pair.answers_from_replica(&mut client).await;
    pair.replica.kill().await;
    goes_on_without_it(&pair, &mut client).await;
    pair.replica.start_again().await;
    pair.answers_from_replica(&mut client).await;
    assert_eq!(client.ask().await, 3);
}

#[tokio::test]
async fn a_replica_that_hangs_fails_no_request() {
    let pair = Pair::start().await;
    let mut client = Client::of(&pair).await;
    pair.answers_from_replica(&mut client).await;
    pair.replica.freeze();
    goes_on_without_it(&pair, &mut client).await;
    pair.replica.thaw();
    pair.answers_from_replica(&mut client).await;
    assert_eq!(client.ask().await, 3);
}

async fn goes_on_without_it(pair: &Pair, client: &mut Client) {
    client.ask_together(8).await;
    for events in [2, 3] {
        pair.store(events).await;
        client.sees(events).await;
        client.ask_together(8).await;
    }
    let health = client.served.get("/v1/health").await;
    assert_eq!(health.status, 200);
}

use std::time::{Duration, Instant};

use api::Config;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Statement,
    TransactionTrait,
};
use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::large;
use crate::seed::{event, store};
use crate::server::{session, sessions};
use crate::socket::{Served, serve, until_closed, whole};
use crate::world::{Answer, World};

const SEARCH: &str = "/v1/events/search";
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/v1/health"];

/// Below the limit at which the database itself ends a wait.
const SAFETY_NET: Duration = Duration::from_secs(10);

/// A database with an event that nobody can read until the lock is released.
struct Locked {
    world: World,
    watch: DatabaseConnection,
    lock: DatabaseTransaction,
    served: Served,
}

const WAITING: &str = "wait_event_type = 'Lock'";

impl Locked {
    async fn new(config: Config) -> Self {
        let database = testkit::Database::postgres().await;
        let (watch, locking) = (session(database.url()).await, session(database.url()).await);
        let world = World::over(database).await;
        store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
        let config = Config {
            database_timeout: Duration::from_secs(25),
            ..config
        };
        let served = serve(&world.db, config).await;
        assert_eq!(served.get(SEARCH).await.status, 200);
        let lock = locking.begin().await.unwrap();
        let sql = "LOCK TABLE event IN ACCESS EXCLUSIVE MODE";
        lock.execute_unprepared(sql).await.unwrap();
        Self {
            world,
            watch,
            lock,
            served,
        }
    }

    async fn release(self) -> (World, Served) {
        self.lock.rollback().await.unwrap();
        (self.world, self.served)
    }

    async fn waiting(&self) -> i64 {
        sessions(&self.watch, WAITING).await
    }

    /// When the query that waits was begun.
    async fn waiting_since(&self) -> String {
        let sql = format!(
            "SELECT query_start::text FROM pg_stat_activity \
             WHERE datname = current_database() AND {WAITING}"
        );
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = self.watch.query_one_raw(statement).await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }
}

#[tokio::test]
async fn requests_beyond_those_that_may_wait_are_503_at_once_and_the_others_are_answered() {
    let locked = Locked::new(Config {
        queries: 1,
        waiting: 2,
        ..Config::default()
    })
    .await;
    let began = Instant::now();
    let mut asked = JoinSet::new();
    for limit in 1..=9 {
        let mut stream = locked.served.ask(&format!("{SEARCH}?limit={limit}")).await;
        asked.spawn(async move {
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            String::from_utf8_lossy(&head[..length]).to_lowercase()
        });
    }
    for _ in 0..6 {
        let head = asked.join_next().await.unwrap().unwrap();
        assert!(head.starts_with("http/1.1 503"), "{head}");
        assert!(head.contains("retry-after: 1\r\n"), "{head}");
        assert!(head.contains(r#""code":"overloaded""#), "{head}");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "at once");
    for path in PROBES.into_iter().chain([SEARCH]) {
        assert_eq!(locked.served.get(path).await.status, 200, "{path}");
    }
    assert_eq!(locked.waiting().await, 1);
    assert_eq!(asked.len(), 3);
    assert!(asked.try_join_next().is_none(), "the others wait");
    let (_world, served) = locked.release().await;
    while let Some(head) = asked.join_next().await {
        assert!(head.unwrap().starts_with("http/1.1 200"));
    }
    assert_eq!(served.get("/v1/events/search?limit=10").await.status, 200);
}

/// A connection on which a request was answered, and which is kept.
async fn kept(served: &Served) -> TcpStream {
    let mut stream = served.ask("/healthz").await;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn connections_beyond_those_that_there_may_be_are_for_probes() {
    let world = World::sqlite().await;
    let config = Config {
        connections: 2,
        ..Config::default()
    };
    let served = serve(&world.db, config).await;
    let first = kept(&served).await;
    let _second = kept(&served).await;
    let mut refused = served.ask(SEARCH).await;
    let answer = timeout(SAFETY_NET, until_closed(&mut refused)).await;
    let answer = String::from_utf8(answer.expect("it is closed")).unwrap();
    let answer = answer.to_lowercase();
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    for probe in PROBES {
        assert_eq!(served.get(probe).await.status, 200, "{probe}");
    }
    drop(first);
    eventually(SAFETY_NET, "there is a place again", async || {
        served.get(SEARCH).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn the_query_of_a_client_that_leaves_is_stopped() {
    let locked = Locked::new(Config::default()).await;
    let client = locked.served.ask("/v1/events/search?limit=1").await;
    eventually(SAFETY_NET, "the query runs", async || {
        locked.waiting().await == 1
    })
    .await;
    drop(client);
    eventually(SAFETY_NET, "the query is gone", async || {
        locked.waiting().await == 0
    })
    .await;
    let (_world, served) = locked.release().await;
    assert_eq!(served.get("/v1/events/search?limit=1").await.status, 200);
}

#[tokio::test]
async fn the_query_of_two_goes_on_when_one_leaves() {
    let locked = Locked::new(Config {
        connections: 2,
        ..Config::default()
    })
    .await;
    let path = "/v1/events/search?limit=1";
    let full = async || locked.served.get("/docs").await.status == 503;
    // The connections that were used before may still be on their way out.
    eventually(SAFETY_NET, "there is a place", async || !full().await).await;
    let first = locked.served.ask(path).await;
    eventually(SAFETY_NET, "the query runs", async || {
        locked.waiting().await == 1
    })
    .await;
    let mut second = locked.served.ask(path).await;
    eventually(SAFETY_NET, "both are there", full).await;
    assert_eq!(locked.waiting().await, 1, "they share a query");
    let of_the_same = locked.waiting_since().await;
    drop(first);
    eventually(SAFETY_NET, "one has left", async || !full().await).await;
    assert_eq!(locked.waiting_since().await, of_the_same);
    let (_world, _served) = locked.release().await;
    let mut head = [0; 12];
    second.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_and_a_slow_one_is_not() {
    let world = World::sqlite().await;
    large::seed(&world.db, 400, 60_000).await;
    let config = Config {
        connections: 1,
        write_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    let served = serve(&world.db, config).await;
    let stalled = served.begin("GET", SEARCH, &[]).await;
    assert_eq!(stalled.status(), 200);
    eventually(SAFETY_NET, "its place is free", async || {
        served.get("/docs").await.status != 503
    })
    .await;
    assert!(whole(stalled).await.is_err(), "it has no end");

    eventually(SAFETY_NET, "a place is free", async || {
        let response = served.begin("GET", SEARCH, &[]).await;
        if response.status() == 503 {
            return false;
        }
        let answer = large::read_slowly(response).await.unwrap();
        assert_eq!(
            answer.json()["data"]["events"].as_array().unwrap().len(),
            400
        );
        true
    })
    .await;
}

#[tokio::test]
async fn a_request_whose_head_comes_too_slowly_is_cut() {
    let world = World::sqlite().await;
    let config = Config {
        header_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let served = serve(&world.db, config).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    eventually(SAFETY_NET, "it is cut", async || {
        let written = stream.write_all(b"x").await;
        let mut some = [0; 1];
        written.is_err() || matches!(stream.try_read(&mut some), Ok(0))
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_idle_ends() {
    let world = World::sqlite().await;
    let config = Config {
        header_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let served = serve(&world.db, config).await;
    let mut idle = kept(&served).await;
    let rest = timeout(SAFETY_NET, until_closed(&mut idle)).await;
    rest.expect("it ends");
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    let nothing = timeout(SAFETY_NET, until_closed(&mut silent)).await;
    assert_eq!(nothing.expect("it ends"), b"");
}

#[tokio::test]
async fn a_process_that_stops_is_not_ready_but_answers_until_nobody_asks_any_more() {
    let locked = Locked::new(Config {
        drain_delay: Duration::from_secs(2),
        ..Config::default()
    })
    .await;
    let mut open = locked.served.ask("/v1/events/search?limit=1").await;
    eventually(SAFETY_NET, "the query runs", async || {
        locked.waiting().await == 1
    })
    .await;
    let idle = kept(&locked.served).await;
    locked.served.shutdown.cancel();
    locked.served.get("/readyz").await.error(503, "not_ready");
    for path in [SEARCH, "/healthz"] {
        assert_eq!(locked.served.get(path).await.status, 200, "{path}");
    }
    let health = locked.served.get("/v1/health").await.json();
    assert_eq!(health["data"]["status"], "draining");
    assert!(!locked.served.running.is_finished());
    refuses_connections(&locked.served).await;
    assert!(!locked.served.running.is_finished(), "one request is open");
    let (_world, served) = locked.release().await;
    let answer = until_closed(&mut open).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let ended = timeout(SAFETY_NET, served.running).await;
    ended.expect("nothing is open").unwrap().unwrap();
    drop(idle);
}

async fn refuses_connections(served: &Served) {
    eventually(SAFETY_NET, "no connection is taken", async || {
        TcpStream::connect(served.address).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn a_large_answer_that_is_under_way_is_finished_when_the_process_stops() {
    let world = World::sqlite().await;
    large::seed(&world.db, 400, 60_000).await;
    let served = serve(&world.db, Config::default()).await;
    let response = served.begin("GET", SEARCH, &[]).await;
    served.shutdown.cancel();
    refuses_connections(&served).await;
    assert!(!served.running.is_finished());
    let answer: Answer = whole(response).await.unwrap();
    assert_eq!(
        answer.json()["data"]["events"].as_array().unwrap().len(),
        400
    );
    let ended = timeout(SAFETY_NET, served.running).await;
    ended.expect("nothing is open").unwrap().unwrap();
}

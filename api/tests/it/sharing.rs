//! Services that share answers through a Redis, which they never believe or wait for blindly.

use std::time::{Duration, Instant};

use api::{Config, Context, Service, SharedCache, SharedCacheConfig};
use redis::FromRedisValue;
use sea_orm::ConnectionTrait;
use testkit::{RedisServer, eventually};
use tokio_util::sync::CancellationToken;

use crate::seed::{event, id, store};
use crate::world::{Answer, Send};

const SEARCH: &str = "/v1/events/search";
const PAGE: &str = "/v1/events/search?limit=1";
const SAFETY_NET: Duration = Duration::from_secs(20);

/// One process: a service with a pool and a cache of its own.
struct Process {
    db: entity::Database,
    context: Context,
    service: Service,
}

impl Process {
    async fn start(database: &testkit::Database, redis: &str, cache: SharedCacheConfig) -> Self {
        let config = entity::Config::new(database.url().parse().unwrap());
        let db = entity::connect(&config).await.unwrap();
        let config = Config {
            shared_cache: Some(SharedCache::open(redis, cache).unwrap()),
            ..Config::default()
        };
        let context = Context::new(config, db.clone(), CancellationToken::new());
        let process = Self {
            db,
            service: Service::new(context.clone()),
            context,
        };
        assert!(process.context.look().await);
        process
    }

    async fn get(&self, path: &str) -> Answer {
        self.service.get(path).await
    }
}

/// Waits for longer than a busy machine takes.
fn patient() -> SharedCacheConfig {
    SharedCacheConfig {
        get_within: SAFETY_NET,
        put_within: SAFETY_NET,
        connect_within: SAFETY_NET,
        ..SharedCacheConfig::default()
    }
}

async fn ask<T: FromRedisValue>(redis: &RedisServer, words: &[&[u8]]) -> T {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query_async(&mut connection).await.unwrap()
}

async fn keys(redis: &RedisServer) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = ask(redis, &[b"KEYS", b"*"]).await;
    keys.sort();
    keys
}

async fn shares(redis: &RedisServer, answers: usize) {
    eventually(SAFETY_NET, "answers are shared", async || {
        keys(redis).await.len() == answers
    })
    .await;
}

/// The same event on a database of either kind.
async fn stored(database: testkit::Database) -> testkit::Database {
    let config = entity::Config::new(database.url().parse().unwrap());
    let db = entity::connect(&config).await.unwrap();
    store(&db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    database
}

/// All that an answer consists of, but for where it came from.
fn same(one: &Answer, other: &Answer) {
    assert_eq!(one.status, other.status);
    assert_eq!(one.body, other.body);
    let headers = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("cache-status");
        headers
    };
    assert_eq!(headers(one), headers(other));
}

#[tokio::test]
async fn what_one_process_has_read_another_one_answers_without_the_database() {
    for database in [
        testkit::Database::postgres().await,
        testkit::Database::sqlite().await,
    ] {
        let database = stored(database).await;
        let redis = RedisServer::start().await;
        let one = Process::start(&database, &redis.url(), patient()).await;
        let other = Process::start(&database, &redis.url(), patient()).await;
        let single = format!("/v1/events/{}", id(&event("1", "2021-06-30T19:00:00Z")));
        let missing = "/v1/events/dd8d2fd1-87f2-55d4-9464-032d553cbb6f";
        let mut told = Vec::new();
        let paths = [SEARCH, PAGE, &single, missing, "/v1/events/search?limit=2"];
        for path in paths {
            told.push(one.get(path).await);
        }
        shares(&redis, paths.len()).await;

        other.db.clone().close().await;
        let (last, first) = paths.split_last().unwrap();
        for (path, told) in first.iter().zip(&told) {
            same(&other.get(path).await, told);
        }
        let unread = other.get("/v1/events/search?limit=3").await;
        unread.error(503, "unavailable");
        // By now nobody knows whether there is something newer.
        other.context.look().await;
        let answer = other.get(last).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &told[4].body));
        assert!(answer.headers.contains_key("dataset-stale"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_redis_that_hangs_or_dies_costs_no_answer_and_little_time() {
    let database = stored(testkit::Database::sqlite().await).await;
    let mut redis = RedisServer::start().await;
    let process = Process::start(&database, &redis.url(), SharedCacheConfig::default()).await;
    let expected = process.get(SEARCH).await;
    assert_eq!(expected.status, 200);
    redis.freeze();
    answered(&process, "min_price", &expected).await;
    redis.thaw();
    redis.kill().await;
    answered(&process, "updated_since=2001-01-01&min_price", &expected).await;
    redis.start_again().await;
    let mut asked = 0;
    eventually(SAFETY_NET, "answers are shared again", async || {
        asked += 1;
        let answer = process.get(&format!("{SEARCH}?max_price={asked}")).await;
        assert_eq!(answer.status, 200);
        !keys(&redis).await.is_empty()
    })
    .await;
}

/// Twenty questions that nobody has asked before, in time.
async fn answered(process: &Process, parameter: &str, expected: &Answer) {
    let began = Instant::now();
    for number in 1..=20 {
        let answer = process
            .get(&format!("{SEARCH}?{parameter}=0.{number:04}"))
            .await;
        assert_eq!(
            (answer.status, &answer.body),
            (expected.status, &expected.body)
        );
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_redis_that_was_flushed_is_filled_again() {
    let database = stored(testkit::Database::sqlite().await).await;
    let redis = RedisServer::start().await;
    let one = Process::start(&database, &redis.url(), patient()).await;
    let told = one.get(SEARCH).await;
    shares(&redis, 1).await;
    let () = ask(&redis, &[b"FLUSHALL"]).await;
    let other = Process::start(&database, &redis.url(), patient()).await;
    same(&other.get(SEARCH).await, &told);
    shares(&redis, 1).await;
}

type Spoil = Box<dyn Fn(&[u8]) -> Vec<u8>>;

#[tokio::test]
async fn what_is_not_an_answer_of_ours_is_never_given() {
    let database = stored(testkit::Database::sqlite().await).await;
    let redis = RedisServer::start().await;
    let one = Process::start(&database, &redis.url(), patient()).await;
    let told = [
        one.get(SEARCH).await,
        one.get("/v1/events/search?gone=only").await,
    ];
    assert_ne!(told[0].body, told[1].body);
    shares(&redis, 2).await;
    let keys = keys(&redis).await;
    let mut values: Vec<Vec<u8>> = Vec::new();
    for key in &keys {
        values.push(ask(&redis, &[b"GET", key]).await);
    }
    let flipped = |at: usize| {
        move |value: &[u8]| {
            let mut value = value.to_vec();
            let at = at.min(value.len() - 1);
            value[at] ^= 1;
            value
        }
    };
    let middle = values[0].len() / 2;
    let spoils: [(&str, Spoil); 7] = [
        ("nothing", Box::new(|_| Vec::new())),
        ("other bytes", Box::new(|_| b"{\"data\":{}}".to_vec())),
        (
            "half of it",
            Box::new(|value| value[..value.len() / 2].to_vec()),
        ),
        ("it twice", Box::new(|value| [value, value].concat())),
        ("another layout", Box::new(flipped(0))),
        ("another text", Box::new(flipped(middle))),
        ("another end", Box::new(flipped(usize::MAX))),
    ];
    for (name, spoil) in &spoils {
        for (key, value) in keys.iter().zip(&values) {
            let () = ask(&redis, &[b"SET", key, &spoil(value)]).await;
        }
        is_not_believed(&database, &redis, &told, name).await;
    }
    for (key, value) in keys.iter().zip(values.iter().rev()) {
        let () = ask(&redis, &[b"SET", key, value]).await;
    }
    is_not_believed(&database, &redis, &told, "each other's").await;
    for key in &keys {
        let _: i64 = ask(&redis, &[b"DEL", key]).await;
        let _: i64 = ask(&redis, &[b"RPUSH", key, b"x"]).await;
    }
    is_not_believed(&database, &redis, &told, "a list").await;
}

async fn is_not_believed(
    database: &testkit::Database,
    redis: &RedisServer,
    told: &[Answer; 2],
    name: &str,
) {
    let fresh = Process::start(database, &redis.url(), patient()).await;
    for (path, told) in [SEARCH, "/v1/events/search?gone=only"].iter().zip(told) {
        let answer = fresh.get(path).await;
        assert_eq!(answer.body, told.body, "{name} was believed");
        same(&answer, told);
    }
}

#[tokio::test]
async fn an_answer_of_another_version_or_epoch_is_not_used() {
    let database = stored(testkit::Database::sqlite().await).await;
    let redis = RedisServer::start().await;
    let one = Process::start(&database, &redis.url(), patient()).await;
    one.get(SEARCH).await;
    shares(&redis, 1).await;
    let mut renamed = event("1", "2021-06-30T19:00:00Z");
    renamed.title = "of the next version".into();
    store(&one.db, &[renamed], &[]).await;
    let other = Process::start(&database, &redis.url(), patient()).await;
    for process in [&one, &other] {
        process.context.look().await;
        let answer = process.get(SEARCH).await;
        assert!(answer.text().contains("of the next version"));
    }
    shares(&redis, 2).await;

    let sql = "UPDATE event SET title = 'of the next epoch'";
    one.db.write.execute_unprepared(sql).await.unwrap();
    entity::dataset::renew_epoch(&one.db.write).await.unwrap();
    let third = Process::start(&database, &redis.url(), patient()).await;
    for process in [&one, &other, &third] {
        process.context.look().await;
        let answer = process.get(SEARCH).await;
        assert!(answer.text().contains("of the next epoch"));
    }
    shares(&redis, 3).await;
}

/// Whoever starts on a restored backup has an older version than what others have shared.
#[tokio::test]
async fn an_answer_that_was_shared_under_a_newer_version_is_not_used() {
    let (new, old) = (
        stored(testkit::Database::postgres().await).await,
        stored(testkit::Database::postgres().await).await,
    );
    let redis = RedisServer::start().await;
    let ahead = Process::start(&new, &redis.url(), patient()).await;
    let mut renamed = event("1", "2021-06-30T19:00:00Z");
    renamed.title = "not committed there".into();
    store(&ahead.db, &[renamed], &[]).await;
    ahead.context.look().await;
    assert!(ahead.get(SEARCH).await.text().contains("not committed"));
    shares(&redis, 1).await;
    let behind = Process::start(&old, &redis.url(), patient()).await;
    assert!(!behind.get(SEARCH).await.text().contains("not committed"));
}

use std::time::Instant;

use testkit::{RedisServer, eventually, redis_url};

use super::*;

const SOON: Duration = Duration::from_secs(60);

/// Waits for longer than a busy machine takes.
fn patient() -> SharedCacheConfig {
    SharedCacheConfig {
        get_within: Duration::from_secs(10),
        put_within: Duration::from_secs(10),
        connect_within: Duration::from_secs(10),
        ..SharedCacheConfig::default()
    }
}

fn open(url: &str, config: SharedCacheConfig) -> SharedCache {
    SharedCache::open(url, config).unwrap()
}

fn key() -> Key {
    Key::new(format!("epoch-1 {} br", uuid::Uuid::new_v4()))
}

impl SharedCache {
    async fn get(&self, key: &Key) -> Option<Bytes> {
        self.look(key).await.found()
    }
}

/// Stores it, and waits for that.
async fn put(cache: &SharedCache, key: &Key, answer: &'static str) {
    cache.put(key.clone(), answer.into());
    settled(cache).await;
    assert_eq!(cache.get(key).await.unwrap(), answer);
}

async fn settled(cache: &SharedCache) {
    let idle = async || cache.0.puts.available_permits() == PUTS;
    eventually(SOON, "nothing is on its way to redis", idle).await;
}

/// Another client of the same server.
async fn client(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn ask<T: redis::FromRedisValue>(url: &str, words: &[&[u8]]) -> T {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query_async(&mut client(url).await).await.unwrap()
}

#[tokio::test]
async fn what_one_process_stores_another_one_finds() {
    let url = redis_url().await;
    let (one, other, key) = (open(&url, patient()), open(&url, patient()), key());
    assert_eq!(other.get(&key).await, None);
    put(&one, &key, "{}").await;
    assert_eq!(other.get(&key).await.unwrap(), "{}");
    assert_eq!(other.get(&Key::new(format!("{} ", key.0))).await, None);
}

#[tokio::test]
async fn an_answer_is_kept_for_its_time_to_live() {
    let url = redis_url().await;
    let key = key();
    put(&open(&url, patient()), &key, "{}").await;
    let left: i64 = ask(&url, &[b"PTTL", key.name().as_bytes()]).await;
    assert!((500_000..=600_000).contains(&left), "{left}");
    let config = SharedCacheConfig {
        time_to_live: Duration::from_secs(60),
        ..patient()
    };
    put(&open(&url, config), &key, "{}").await;
    let left: i64 = ask(&url, &[b"PTTL", key.name().as_bytes()]).await;
    assert!((30_000..=60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn what_is_not_the_answer_to_this_question_is_not_given() {
    let url = redis_url().await;
    let cache = open(&url, patient());
    let (one, other) = (key(), key());
    put(&cache, &one, "one").await;
    put(&cache, &other, "other").await;
    let value: Vec<u8> = ask(&url, &[b"GET", other.name().as_bytes()]).await;
    for foreign in [
        &value[..],
        &value[..value.len() - 1],
        b"",
        b"garbage",
        &[0; 64],
    ] {
        let () = ask(&url, &[b"SET", one.name().as_bytes(), foreign]).await;
        assert_eq!(cache.get(&one).await, None, "{foreign:?}");
        assert_eq!(cache.get(&other).await.unwrap(), "other");
    }
    put(&cache, &one, "one").await;
}

#[tokio::test]
async fn a_list_in_an_answers_place_is_a_miss_and_no_failure() {
    let url = redis_url().await;
    let (cache, one, other) = (open(&url, patient()), key(), key());
    put(&cache, &other, "other").await;
    let () = ask(&url, &[b"LPUSH", one.name().as_bytes(), b"x"]).await;
    for _ in 0..10 {
        assert_eq!(cache.get(&one).await, None);
    }
    assert_eq!(cache.get(&other).await.unwrap(), "other");
}

#[tokio::test]
async fn answers_that_are_too_long_are_not_stored() {
    let url = redis_url().await;
    let (cache, one, other) = (open(&url, patient()), key(), key());
    cache.put(one.clone(), vec![b' '; MOST_BYTES].into());
    cache.put(other.clone(), vec![b' '; MOST_BYTES + 1].into());
    settled(&cache).await;
    assert_eq!(
        cache.get(&one).await.map(|answer| answer.len()),
        Some(MOST_BYTES)
    );
    assert_eq!(cache.get(&other).await, None);
}

#[tokio::test]
async fn a_server_that_takes_no_answers_still_gives_those_it_has() {
    let server = RedisServer::start().await;
    let (cache, one, other) = (open(&server.url(), patient()), key(), key());
    put(&cache, &one, "one").await;
    let () = ask(&server.url(), &[b"CONFIG", b"SET", b"maxmemory", b"1"]).await;
    for _ in 0..10 {
        cache.put(other.clone(), "other".into());
        settled(&cache).await;
    }
    assert!(cache.0.refuses.load(Ordering::Relaxed));
    assert_eq!(cache.get(&one).await.unwrap(), "one");
    let () = ask(&server.url(), &[b"CONFIG", b"SET", b"maxmemory", b"0"]).await;
    put(&cache, &other, "other").await;
    assert!(!cache.0.refuses.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_server_that_is_not_there_costs_no_answer_and_little_time() {
    let url = format!("redis://127.0.0.1:{}", testkit::free_port());
    let cache = open(&url, SharedCacheConfig::default());
    let start = Instant::now();
    for _ in 0..200 {
        cache.put(key(), "{}".into());
        assert_eq!(cache.get(&key()).await, None);
    }
    assert!(start.elapsed() < Duration::from_secs(3));
    let open = async || cache.0.breaker.pass_if_closed().is_none();
    eventually(SOON, "it is left alone", open).await;
}

#[tokio::test]
async fn a_frozen_server_costs_little_time_and_is_used_again_when_it_goes_on() {
    let server = RedisServer::start().await;
    let (cache, key) = (open(&server.url(), SharedCacheConfig::default()), key());
    let stored = async || {
        cache.put(key.clone(), "{}".into());
        cache.get(&key).await
    };
    eventually(SOON, "the answer is stored", stored).await;
    settled(&cache).await;
    server.freeze();
    let start = Instant::now();
    for _ in 0..200 {
        assert_eq!(cache.get(&key).await, None);
    }
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    let left_alone = async || {
        cache.get(&key).await;
        cache.0.breaker.pass_if_closed().is_none()
    };
    eventually(SOON, "the server is left alone", left_alone).await;
    cache.put(key.clone(), "new".into());
    assert_eq!(
        cache.0.puts.available_permits(),
        PUTS,
        "nothing is sent there"
    );
    server.thaw();
    let found = async || cache.get(&key).await;
    assert_eq!(
        eventually(SOON, "the server is used again", found).await,
        "{}"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_connection_that_takes_long_to_open() {
    let server = RedisServer::start().await;
    let config = SharedCacheConfig {
        get_within: Duration::from_millis(5),
        ..patient()
    };
    let (slow, cache, key) = (
        open(&server.url(), patient()),
        open(&server.url(), config),
        key(),
    );
    put(&slow, &key, "{}").await;
    server.freeze();
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(cache.get(&key).await, None);
    }
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    server.thaw();
    let found = async || cache.get(&key).await;
    assert_eq!(
        eventually(SOON, "it is opened all the same", found).await,
        "{}"
    );
}

#[tokio::test]
async fn an_answer_to_be_stored_is_nothing_to_try_a_server_with() {
    let url = redis_url().await;
    let cache = open(&url, patient());
    for _ in 0..3 {
        let pass = cache.0.breaker.pass().unwrap();
        pass.failed(&Trouble::Busy);
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    cache.put(key(), "{}".into());
    assert_eq!(cache.0.puts.available_permits(), PUTS);
    assert_eq!(cache.get(&key()).await, None);
    assert!(cache.0.breaker.pass_if_closed().is_some());
}

#[tokio::test]
async fn a_server_that_comes_back_empty_is_filled_again() {
    let mut server = RedisServer::start().await;
    let (cache, key) = (open(&server.url(), patient()), key());
    put(&cache, &key, "{}").await;
    server.kill().await;
    for _ in 0..5 {
        assert_eq!(cache.get(&key).await, None);
    }
    assert!(cache.0.breaker.pass_if_closed().is_none());
    server.start_again().await;
    let stored = async || {
        cache.put(key.clone(), "{}".into());
        cache.get(&key).await
    };
    assert_eq!(
        eventually(SOON, "the server is used again", stored).await,
        "{}"
    );
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_given_to_no_other_question() {
    let server = RedisServer::start().await;
    let url = server.url();
    let config = SharedCacheConfig {
        connections: 1,
        ..patient()
    };
    let connections = Connections::new(&url, &config).unwrap();
    for name in ["late", "asked"] {
        let () = ask(&url, &[b"SET", name.as_bytes(), name.as_bytes()]).await;
    }
    // To Redis the first one writes, and waits for as long as writes are paused.
    let late = redis::Cmd::get_ex("late", redis::Expiry::PERSIST);
    let asked = redis::Cmd::get("asked");
    let mut id = redis::cmd("CLIENT");
    id.arg("ID");
    for _ in 0..3 {
        let before: i64 = connections.ask(&id, SOON).await.unwrap();
        let again: i64 = connections.ask(&id, SOON).await.unwrap();
        assert_eq!(
            again, before,
            "a connection that has answered is used again"
        );
        let () = ask(&url, &[b"CLIENT", b"PAUSE", b"60000", b"WRITE"]).await;
        let within = Duration::from_millis(20);
        let trouble = connections.ask::<String>(&late, within).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Silent { .. }), "{trouble:?}");
        let () = ask(&url, &[b"CLIENT", b"UNPAUSE"]).await;
        let answer: String = connections.ask(&asked, SOON).await.unwrap();
        assert_eq!(answer, "asked");
        let after: i64 = connections.ask(&id, SOON).await.unwrap();
        assert_ne!(after, before, "its answer was still to come");
    }
    let answer: String = connections.ask(&late, SOON).await.unwrap();
    assert_eq!(answer, "late");
}

#[tokio::test]
async fn questions_to_a_server_that_freezes_again_and_again_never_get_each_others_answers() {
    let server = RedisServer::start().await;
    let config = SharedCacheConfig {
        get_within: Duration::from_millis(5),
        ..patient()
    };
    let (slow, cache) = (open(&server.url(), patient()), open(&server.url(), config));
    let keys: Vec<Key> = (0..8).map(|_| key()).collect();
    for key in &keys {
        slow.put(key.clone(), key.0.clone().into());
    }
    settled(&slow).await;
    for _ in 0..5 {
        let mut found = 0;
        let asked = async || {
            for key in &keys {
                if let Some(answer) = cache.get(key).await {
                    assert_eq!(answer, key.0);
                    found += 1;
                }
            }
            found > 0
        };
        eventually(SOON, "the server answers", asked).await;
        server.freeze();
        let together = keys.iter().map(|key| cache.get(key));
        futures::future::join_all(together).await;
        server.thaw();
    }
}

#[tokio::test]
async fn no_more_than_a_few_answers_are_on_their_way_at_once() {
    let server = RedisServer::start().await;
    let cache = open(&server.url(), patient());
    put(&cache, &key(), "{}").await;
    server.freeze();
    let keys: Vec<Key> = (0..10 * PUTS).map(|_| key()).collect();
    for key in &keys {
        cache.put(key.clone(), "{}".into());
    }
    // All of them are under way from here on.
    tokio::task::yield_now().await;
    assert_eq!(cache.0.puts.available_permits(), 0);
    server.thaw();
    settled(&cache).await;
    let stored: usize = ask(&server.url(), &[b"DBSIZE"]).await;
    assert_eq!(stored, 1 + PUTS);
}

#[tokio::test]
async fn a_wrong_url_says_what_to_write_and_keeps_its_secret() {
    for url in [
        "http://user:hunter2@host",
        "hunter2",
        "redis://user:hunter2@host/x",
    ] {
        let error = SharedCache::open(url, SharedCacheConfig::default()).unwrap_err();
        assert!(error.to_string().contains("redis://"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let cache = open("redis://user:hunter2@host/1", SharedCacheConfig::default());
    assert!(!format!("{cache:?}").contains("hunter2"), "{cache:?}");
}

#[test]
fn a_key_is_named_by_the_hash_of_its_text() {
    assert_eq!(
        Key::new("").name(),
        "fanfare:cache:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    );
    assert_ne!(Key::new("a").name(), Key::new("b").name());
}

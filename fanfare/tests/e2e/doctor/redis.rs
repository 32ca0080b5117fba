//! A Redis that can't be a queue, or can't be a cache.

use ::redis::aio::MultiplexedConnection;
use testkit::{Database, RedisServer};

use super::{Seen, Told, doctor, until};

const PASSWORD: &str = "pw-of-redis-3d4e";

/// Looks at that Redis, with these variables besides, until it is seen.
async fn sees(redis: &str, more: &[(&str, &str)], seen: impl Fn(&Told) -> Seen) -> Told {
    let database = Database::sqlite().await;
    let variables = [
        ("FANFARE_DATABASE_URL", database.url()),
        ("FANFARE_REDIS_URL", redis),
    ];
    let variables = [&variables, more].concat();
    let look = async || {
        let told = doctor(&variables).await;
        assert!(!told.text.contains(PASSWORD), "{}", told.text);
        told
    };
    until(look, seen).await
}

async fn connect(redis: &RedisServer) -> MultiplexedConnection {
    let client = ::redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn run(connection: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = ::redis::cmd(words[0]);
    command.arg(&words[1..]);
    let done = command.query_async::<::redis::Value>(connection).await;
    done.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

#[tokio::test]
async fn a_cluster_is_refused_as_a_role_refuses_it() {
    let cluster = RedisServer::start_with(&["--cluster-enabled", "yes"]).await;
    sees(&cluster.url(), &[], |told| {
        told.ends_with(1)?;
        told.is(
            "queue",
            "server",
            "error",
            "cluster mode",
            "use a single redis",
        )
    })
    .await;
}

#[tokio::test]
async fn a_user_who_may_not_do_all_is_told_with_the_rights_that_are_lacking() {
    let redis = RedisServer::start().await;
    let mut admin = connect(&redis).await;
    let password = format!(">{PASSWORD}");
    run(
        &mut admin,
        &[
            "ACL",
            "SETUSER",
            "worker",
            "on",
            &password,
            "~{fanfare}:*",
            "+@all",
            "-rpush",
            "-evalsha",
        ],
    )
    .await;
    let as_user = |user: &str, password: &str| {
        redis
            .url()
            .replace("redis://", &format!("redis://{user}:{password}@"))
    };
    let good = as_user("worker", PASSWORD);
    sees(&good, &[], |told| {
        told.ends_with(1)?;
        let found = "worker may not send rpush, evalsha";
        let fix = "ACL SETUSER worker '~{fanfare}:*' +rpush +evalsha";
        told.is("queue", "commands", "error", found, fix)
    })
    .await;

    run(
        &mut admin,
        &["ACL", "SETUSER", "worker", "+rpush", "+evalsha"],
    )
    .await;
    sees(&good, &[], |told| told.is_ok("queue", "commands")).await;
    // Another queue's keys are not this user's.
    sees(&good, &[("FANFARE_QUEUE", "other")], |told| {
        told.is(
            "queue",
            "commands",
            "error",
            "not with our keys",
            "~{other}:*",
        )
    })
    .await;
    sees(&as_user("worker", "wrong"), &[], |told| {
        told.is(
            "queue",
            "login",
            "error",
            "user or the password",
            "ACL SETUSER",
        )
    })
    .await;
    run(&mut admin, &["ACL", "SETUSER", "worker", "-info"]).await;
    sees(&good, &[], |told| {
        told.is("queue", "login", "error", "`INFO`", "+info")
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_is_full_or_a_replica_or_closed_takes_nothing() {
    let primary = RedisServer::start_with(&["--requirepass", PASSWORD]).await;
    sees(&primary.url(), &[], |told| {
        told.is("queue", "login", "error", "password", "user:password@")
    })
    .await;

    let full =
        RedisServer::start_with(&["--maxmemory", "100kb", "--maxmemory-policy", "noeviction"])
            .await;
    sees(&full.url(), &[], |told| {
        told.is("queue", "commands", "error", "full", "maxmemory")?;
        told.is("queue", "memory", "warning", "full", "maxmemory")
    })
    .await;

    let primary = RedisServer::start().await;
    let port = primary
        .url()
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]).await;
    sees(&replica.url(), &[], |told| {
        told.ends_with(1)?;
        told.is("queue", "role", "error", "replica of 127.0.0.1", "primary")
    })
    .await;
}

#[tokio::test]
async fn a_cache_evicts_and_is_not_the_queue() {
    let redis = RedisServer::start().await;
    let (queue, same) = (redis.url(), format!("{}3", redis.url()));
    sees(&queue, &[("FANFARE_CACHE_URL", &same)], |told| {
        told.ends_with(1)?;
        let found = "the queue's as well";
        told.is("cache", "own server", "error", found, "FANFARE_CACHE_URL")?;
        told.is("cache", "eviction", "warning", "no limit", "allkeys-lru")
    })
    .await;

    let evicting = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
    let cache = RedisServer::start_with(&evicting).await;
    sees(&queue, &[("FANFARE_CACHE_URL", &cache.url())], |told| {
        told.ends_with(0)?;
        told.is("cache", "eviction", "ok", "allkeys-lru", "")?;
        told.is_ok("cache", "commands")?;
        told.has_none("cache", "own server")
    })
    .await;
    for redis in [&redis, &cache] {
        let mut connection = connect(redis).await;
        let size: u64 = ::redis::cmd("DBSIZE")
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(size, 0, "nothing is written");
    }
}

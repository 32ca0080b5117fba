//! Roles that cannot start say in one line what to do, within ten seconds and without secrets.

use std::time::{Duration, Instant};

use testkit::{Database, RedisServer, Signal};

use crate::feed::{Feeds, HELD};
use crate::world::{Ended, World, ended, fanfare, stop};

const SECRET: &str = "hunter2";
/// Nobody listens on the lowest port.
const NO_DATABASE: &str = "postgres://fanfare:hunter2@127.0.0.1:1/fanfare";
const NO_REDIS: &str = "redis://fanfare:hunter2@127.0.0.1:1/";
const ROLES: [&str; 4] = ["all", "api", "scheduler", "worker"];

async fn start(role: &str, variables: &[(&str, &str)]) -> Ended {
    let mut command = fanfare(&[role]);
    command.env("FANFARE_LISTEN", "127.0.0.1:0");
    command.envs(variables.iter().copied());
    let started = Instant::now();
    let role = ended(command).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{role:?}");
    assert!(!role.text().contains(SECRET), "{role:?}");
    role
}

#[tokio::test]
async fn a_role_on_its_own_asks_for_redis() {
    for role in ["scheduler", "worker"] {
        let database = ("FANFARE_DATABASE_URL", NO_DATABASE);
        let refused = start(role, &[database]).await;
        refused.refused(&[role, "needs Redis", "FANFARE_REDIS_URL", "fanfare all"]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
}

#[tokio::test]
async fn a_role_on_its_own_asks_for_postgresql() {
    let database = Database::sqlite().await;
    for role in ["scheduler", "worker"] {
        let database = ("FANFARE_DATABASE_URL", database.url());
        let refused = start(role, &[database, ("FANFARE_REDIS_URL", NO_REDIS)]).await;
        let words = [
            role,
            "needs PostgreSQL",
            "FANFARE_DATABASE_URL",
            "fanfare all",
        ];
        refused.refused(&words);
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_not_worth_another_start() {
    let database = Database::sqlite().await;
    let url = ("FANFARE_DATABASE_URL", database.url());
    let tick = start("all", &[url, ("FANFARE_TICK", "10s")]).await;
    tick.refused(&["FANFARE_TICK", "a quarter of"]);
    let burst = start("api", &[url, ("FANFARE_RATE_BURST", "10")]).await;
    burst.refused(&["a burst needs a rate"]);
    for refused in [tick, burst] {
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
}

#[tokio::test]
async fn an_unreachable_database_is_named_without_its_password() {
    let redis = testkit::redis_url().await;
    let variables = [
        ("FANFARE_DATABASE_URL", NO_DATABASE),
        ("FANFARE_REDIS_URL", &redis),
    ];
    let [all, api, scheduler, worker] = ROLES.map(|role| start(role, &variables));
    let (all, api, scheduler, worker) = tokio::join!(all, api, scheduler, worker);
    for refused in [all, api, scheduler, worker] {
        let words = ["no answer", "127.0.0.1:1/fanfare", "check that it runs"];
        refused.refused(&words);
        assert_eq!(
            refused.code,
            Some(1),
            "a later start may go well: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_database_that_refuses_is_told_from_one_that_is_away() {
    let server = testkit::postgres_url().await;
    let mut url: url::Url = server.parse().unwrap();
    url.set_path("no_such_database");
    url.set_password(Some(SECRET)).unwrap();
    let refused = start("api", &[("FANFARE_DATABASE_URL", url.as_str())]).await;
    refused.refused(&["refused", "no_such_database", "check the address"]);
}

#[tokio::test]
async fn passwords_show_in_no_log_however_detailed() {
    let database = Database::postgres().await;
    let mut database_url: url::Url = database.url().parse().unwrap();
    // Any is good where the server trusts its own machine.
    database_url.set_password(Some(SECRET)).unwrap();
    let redis = RedisServer::start_with(&["--requirepass", SECRET]).await;
    let redis_url = redis.url().replace("redis://", "redis://:hunter2@");
    let world = World::over(database)
        .with("FANFARE_DATABASE_URL", database_url.as_str())
        .with("FANFARE_REDIS_URL", &redis_url);
    let all = world.serve(&["all", "--log", "trace"]).await;
    let feeds = Feeds::held(&world).await;
    feeds.release();
    world.sync(HELD).await;
    stop(&all.process, Signal::TERM).await;
    let lines = all.process.lines();
    assert!(lines.iter().any(|line| line.contains("TRACE")));
    let telling = lines.iter().find(|line| line.contains(SECRET));
    assert_eq!(telling, None);
}

#[tokio::test]
async fn an_unreachable_redis_is_named_without_its_password() {
    let database = Database::postgres().await;
    let variables = [
        ("FANFARE_DATABASE_URL", database.url()),
        ("FANFARE_REDIS_URL", NO_REDIS),
    ];
    for role in ["scheduler", "worker"] {
        let refused = start(role, &variables).await;
        refused.refused(&["redis", "127.0.0.1:1", "check the url"]);
    }
}

#[tokio::test]
async fn an_address_with_a_wrong_scheme_is_refused_without_being_repeated() {
    let wrong = "mysql://fanfare:hunter2@127.0.0.1:1/fanfare";
    for role in ROLES {
        let refused = start(role, &[("FANFARE_DATABASE_URL", wrong)]).await;
        refused.refused(&["FANFARE_DATABASE_URL", "postgres://", "sqlite://"]);
    }
    let read = [("FANFARE_DATABASE_READ_URL", wrong)];
    let refused = start("api", &read).await;
    refused.refused(&["FANFARE_DATABASE_READ_URL", "postgres://"]);
    for role in ["scheduler", "worker"] {
        let refused = start(role, &[("FANFARE_REDIS_URL", wrong)]).await;
        refused.refused(&["FANFARE_REDIS_URL", "redis://", "rediss://"]);
    }
}

#[tokio::test]
async fn a_schema_that_is_behind_asks_for_migrate() {
    let world = World::over(Database::postgres_empty().await)
        .with_redis()
        .await;
    for role in ROLES {
        let refused = world.run(&[role]).await;
        refused.refused(&["schema is behind", "fanfare migrate"]);
    }
}

#[tokio::test]
async fn a_value_that_makes_no_sense_is_refused_with_its_option_and_variable() {
    for (variable, option, hint) in [
        ("FANFARE_LEASE", "--lease", "20s"),
        ("FANFARE_DRAIN", "--drain", "number"),
        (
            "FANFARE_WORKER_CONCURRENCY",
            "--worker-concurrency",
            "digit",
        ),
        ("FANFARE_LOG_FORMAT", "--log-format", "human"),
        ("FANFARE_ALLOW_NETWORKS", "--allow-networks", "10.0.0.0/8"),
        ("FANFARE_MAX_SPOOL", "--max-spool", "digit"),
    ] {
        let refused = start("worker", &[(variable, "nonsense")]).await;
        refused.refused(&["nonsense", variable, option, hint]);
    }
    let refused = start("worker", &[("FANFARE_LEASE", "1ms")]).await;
    refused.refused(&["1ms", "FANFARE_LEASE", "500ms", "10m"]);
    for (variable, value, option, hint) in [
        ("FANFARE_RATE_LIMIT", "nonsense", "--rate-limit", "0.5"),
        ("FANFARE_RATE_BURST", "0", "--rate-burst", "1"),
        (
            "FANFARE_TRUSTED_PROXIES",
            "nonsense",
            "--trusted-proxies",
            "10.0.0.0/8",
        ),
        (
            "FANFARE_CORS_ORIGINS",
            "nonsense",
            "--cors-origins",
            "scheme://host",
        ),
    ] {
        for role in ["all", "api"] {
            let refused = start(role, &[(variable, value)]).await;
            refused.refused(&[value, variable, option, hint]);
        }
    }
    let refused = start("api", &[("FANFARE_RATE_BURST", "5")]).await;
    refused.refused(&["FANFARE_RATE_LIMIT"]);
    let refused = start("api", &[("FANFARE_ADMIN_TOKEN", SECRET)]).await;
    refused.refused(&[
        "FANFARE_ADMIN_TOKEN",
        "--admin-token",
        "at least 16 characters",
    ]);
    let proxy = "http://fanfare:hunter2@:nonsense";
    let refused = start("worker", &[("FANFARE_PROXY", proxy)]).await;
    refused.refused(&["FANFARE_PROXY", "--proxy"]);
}

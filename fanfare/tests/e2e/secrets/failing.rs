//! Connections that fail, in each way in which they can.

use testkit::{Database, RedisServer, free_listener};

use super::{Told, with_password};
use crate::world::{World, ended};

const PASSWORD: &str = "pw-of-nobody-1b2c";

/// Nobody listens there, nobody answers there, or who does speaks another language.
fn places() -> (Vec<String>, tokio::net::TcpListener) {
    let silent = free_listener();
    let places = vec![
        "127.0.0.1:1".to_owned(),
        silent.local_addr().unwrap().to_string(),
        "no-such-host.invalid".to_owned(),
    ];
    (places, silent)
}

#[tokio::test]
async fn a_database_that_fails_is_told_without_its_password() {
    let database = Database::postgres().await;
    let good = with_password(database.url(), PASSWORD);
    let base: url::Url = good.parse().unwrap();
    let host = format!("{}:{}", base.host_str().unwrap(), base.port().unwrap());
    let (places, _silent) = places();
    let mut urls: Vec<_> = places
        .iter()
        .map(|place| format!("postgres://me:{PASSWORD}@{place}/fanfare"))
        .collect();
    urls.extend([
        format!("postgres://me:{PASSWORD}@{host}/no_such_database"),
        format!("{good}?sslmode=require"),
        format!("{good}?sslrootcert=/nowhere/{PASSWORD}&sslmode=verify-full"),
        format!("postgres://postgres@{host}/no_such_database?password={PASSWORD}"),
        format!("postgres://postgres@127.0.0.1:1/x?user=me&password={PASSWORD}"),
    ]);
    let world = World::over(database);
    let mut told = Told::default();
    let starts = urls.iter().flat_map(|url| {
        [
            ("migrate", "FANFARE_DATABASE_URL"),
            ("api", "FANFARE_DATABASE_URL"),
            ("provider list", "FANFARE_DATABASE_READ_URL"),
            ("doctor", "FANFARE_DATABASE_URL"),
            ("doctor", "FANFARE_DATABASE_READ_URL"),
        ]
        .map(|(role, variable)| (url, role, variable))
    });
    let starts = starts.map(|(url, role, variable)| {
        let mut command = world.command(
            &role
                .split(' ')
                .chain(["--log", "trace"])
                .collect::<Vec<_>>(),
        );
        command.env(variable, url);
        async move { (format!("{role} with {variable}"), ended(command).await) }
    });
    for (who, refused) in futures::future::join_all(starts).await {
        // A replica that is away may be done without.
        let may_go_well = who.contains("READ");
        assert!(may_go_well || refused.code != Some(0), "{who}: {refused:?}");
        told.add(&who, refused.text());
    }
    told.holds_none_of(&[PASSWORD]);
}

#[tokio::test]
async fn a_redis_that_fails_is_told_without_its_password() {
    let redis = RedisServer::start_with(&["--requirepass", "another-password"]).await;
    let host = redis
        .url()
        .trim_start_matches("redis://")
        .trim_end_matches('/')
        .to_owned();
    let world = World::postgres().await;
    let (places, _silent) = places();
    let mut urls: Vec<_> = places
        .iter()
        .map(|place| format!("redis://me:{PASSWORD}@{place}/"))
        .collect();
    urls.extend([
        format!("redis://:{PASSWORD}@{host}/"),
        format!("redis://me:{PASSWORD}@{host}/"),
        format!("rediss://:{PASSWORD}@{host}/"),
        format!("redis://:{PASSWORD}@{host}/{PASSWORD}"),
        format!("redis://:{PASSWORD}@{host}/?protocol={PASSWORD}"),
    ]);
    let mut told = Told::default();
    let starts = urls.iter().flat_map(|url| {
        ["worker", "doctor"].map(|role| {
            let mut command = world.command(&[role, "--log", "trace"]);
            command.env("FANFARE_REDIS_URL", url);
            async move { ended(command).await }
        })
    });
    for refused in futures::future::join_all(starts).await {
        assert_ne!(refused.code, Some(0), "{refused:?}");
        told.add("worker", refused.text());
    }
    told.holds_none_of(&[PASSWORD]);
}

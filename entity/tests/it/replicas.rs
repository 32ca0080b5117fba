//! Reading from a replica, which may lag, refuse or be away. PostgreSQL only.

use std::time::Duration;

use entity::{Config, ConnectError, Database, Kind, connect, dataset};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use testkit::{PostgresServer, eventually};

use crate::on_both_databases;
use crate::world::{PATIENCE, World};

on_both_databases!(without_a_replica_all_goes_to_one_server);

async fn without_a_replica_all_goes_to_one_server(world: World) {
    assert!(!world.db.has_replica());
    let watch = world.db.watch();
    let version = dataset::version(&world.db.write).await.unwrap();
    for connection in [&world.db.read, &watch.read, &watch.write] {
        assert_eq!(dataset::version(connection).await.unwrap(), version);
    }
    if world.db.kind() == Kind::Postgres {
        assert_eq!(pid(&watch.read).await, pid(&watch.write).await);
        assert_ne!(pid(&watch.read).await, pid(&world.db.write).await);
    }
}

async fn pid(db: &DatabaseConnection) -> i32 {
    let statement = Statement::from_string(DbBackend::Postgres, "SELECT pg_backend_pid()");
    let row = db.query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

async fn is_replica(db: &DatabaseConnection) -> Result<bool, DbErr> {
    let statement = Statement::from_string(DbBackend::Postgres, "SELECT pg_is_in_recovery()");
    let row = db.query_one_raw(statement).await?;
    row.unwrap().try_get_by_index(0)
}

fn config(url: &str, read_url: &str) -> Config {
    let mut config = Config::new(url.parse().unwrap());
    config.read_url = Some(read_url.parse().unwrap());
    config.timeout = Duration::from_secs(2);
    config
}

async fn hears_of_commits(db: &Database) {
    let mut listener = dataset::listen(db).await.unwrap().unwrap();
    let notify = "SELECT pg_notify('fanfare_dataset', '')";
    db.write.execute_unprepared(notify).await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, listener.changed());
    heard.await.expect("the primary is listened to").unwrap();
}

#[tokio::test]
async fn reads_go_to_the_replica_and_writes_and_listeners_to_the_primary() {
    let server = PostgresServer::start().await;
    let standby = server.standby().await;
    let db = connect(&config(&server.url(), &standby.url()))
        .await
        .unwrap();
    assert!(db.has_replica());
    for (connection, replica) in [
        (&db.read, true),
        (&db.watch().read, true),
        (&db.write, false),
        (&db.watch().write, false),
    ] {
        assert_eq!(is_replica(connection).await, Ok(replica));
    }
    hears_of_commits(&db).await;
}

#[tokio::test]
async fn a_replica_that_is_away_at_the_start_is_read_from_when_it_is_back() {
    let server = PostgresServer::start().await;
    let mut standby = server.standby().await;
    standby.kill().await;
    let db = connect(&config(&server.url(), &standby.url()))
        .await
        .unwrap();
    assert!(db.has_replica());
    assert_eq!(is_replica(&db.write).await, Ok(false));
    assert!(is_replica(&db.read).await.is_err());
    assert!(is_replica(&db.watch().read).await.is_err());

    standby.start_again().await;
    for connection in [&db.read, &db.watch().read] {
        eventually(PATIENCE, "the replica is read from", async || {
            is_replica(connection).await == Ok(true)
        })
        .await;
    }
}

#[tokio::test]
async fn a_replica_that_refuses_stops_the_start_with_its_own_words() {
    let server = testkit::postgres_url().await;
    let (address, _) = server.rsplit_once('/').unwrap();
    let error = connect(&config(&server, &format!("{address}/nowhere")))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains(r#"database "nowhere" does not exist"#),
        "{message}"
    );
}

/// As a balancer does that has nobody to pass connections on to.
async fn hanging_up() -> String {
    let listener = testkit::free_listener();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    format!("postgres://me:hunter2@{address}/fanfare")
}

#[tokio::test]
async fn who_hangs_up_is_a_replica_that_is_away_and_a_primary_that_stops_the_start() {
    let url = hanging_up().await;
    let server = testkit::postgres_url().await;
    let db = connect(&config(&server, &url)).await.unwrap();
    assert!(is_replica(&db.read).await.is_err());

    let error = connect(&config(&url, &server)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
    let message = error.to_string();
    assert!(message.contains("can't be reached"), "{message}");
    assert!(!format!("{message}{error:?}").contains("hunter2"));
}

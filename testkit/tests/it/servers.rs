use std::path::Path;
use std::time::Duration;

use redis::AsyncCommands;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database as SeaOrm, DatabaseConnection, DbBackend, DbErr,
    Statement,
};
use testkit::{PostgresServer, RedisServer, eventually};

const SAFETY_NET: Duration = Duration::from_secs(30);

async fn connect(server: &PostgresServer) -> DatabaseConnection {
    let connected = try_connect(server, SAFETY_NET).await;
    connected.expect("a connection")
}

async fn try_connect(
    server: &PostgresServer,
    timeout: Duration,
) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(server.url());
    options.max_connections(1).test_before_acquire(false);
    options.acquire_timeout(timeout).connect_timeout(timeout);
    SeaOrm::connect(options).await
}

#[tokio::test]
async fn killed_postgres_comes_back_on_its_port_with_what_it_acknowledged() {
    let mut server = PostgresServer::start().await;
    let (url, pid) = (server.url(), server.pid());
    let connection = connect(&server).await;
    let made = connection.execute_unprepared("CREATE TABLE kept AS SELECT 1");
    made.await.unwrap();

    server.kill().await;
    let refused = try_connect(&server, Duration::from_millis(200)).await;
    assert!(refused.is_err());
    server.start_again().await;

    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
    let connection = connect(&server).await;
    let kept = connection.execute_unprepared("TABLE kept").await.unwrap();
    assert_eq!(kept.rows_affected(), 1);
}

#[tokio::test]
async fn stopped_postgres_starts_again() {
    let mut server = PostgresServer::start().await;
    server.stop().await;
    let refused = try_connect(&server, Duration::from_millis(200)).await;
    assert!(refused.is_err());
    server.start_again().await;
    connect(&server).await;
}

#[tokio::test]
async fn frozen_postgres_answers_nothing_until_it_thaws() {
    let server = PostgresServer::start().await;
    let connection = connect(&server).await;

    server.freeze();
    let query = connection.execute_unprepared("SELECT 1");
    let mut query = std::pin::pin!(query);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut query).await;
    assert!(early.is_err());

    server.thaw();
    let late = tokio::time::timeout(SAFETY_NET, query).await;
    late.expect("an answer").expect("a good one");
}

#[tokio::test]
async fn frozen_postgres_goes_with_its_owner() {
    let server = PostgresServer::start().await;
    let _connection = connect(&server).await;
    let pid = server.pid();
    server.freeze();
    drop(server);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn redis_stops_freezes_and_comes_back_on_its_port() {
    let mut server = RedisServer::start().await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = connection.set("key", 1).await.unwrap();

    server.freeze();
    let frozen: redis::RedisResult<i32> = connection.get("key").await;
    assert!(frozen.unwrap_err().is_timeout());
    server.thaw();
    eventually(SAFETY_NET, "redis answers again", async || {
        connection.get::<_, i32>("key").await.is_ok()
    })
    .await;

    server.kill().await;
    assert!(client.get_multiplexed_async_connection().await.is_err());
    server.start_again().await;
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let kept: Option<i32> = connection.get("key").await.unwrap();
    assert_eq!(kept, None);

    server.stop().await;
    server.start_again().await;
    let pid = server.pid();
    drop(server);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn redis_with_a_log_keeps_its_data() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes"]).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = connection.set("key", 1).await.unwrap();

    server.stop().await;
    server.start_again().await;

    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let kept: Option<i32> = connection.get("key").await.unwrap();
    assert_eq!(kept, Some(1));
}

#[tokio::test]
async fn shared_redis_answers() {
    let url = testkit::redis_url().await;
    let client = redis::Client::open(&*url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let key = testkit::queue_namespace();
    let _: () = connection.set_ex(&key, 1, 60).await.unwrap();
    assert_ne!(key, testkit::queue_namespace());
}

async fn rows(connection: &DatabaseConnection) -> Result<u64, DbErr> {
    let rows = connection.execute_unprepared("TABLE kept").await?;
    Ok(rows.rows_affected())
}

async fn text(connection: &DatabaseConnection, sql: &str) -> String {
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = connection.query_one_raw(statement).await;
    let row = row.unwrap_or_else(|error| panic!("{sql}: {error}"));
    row.expect("one row").try_get_by_index(0).expect("a text")
}

#[tokio::test]
async fn a_standby_shows_what_its_primary_committed_and_lags_when_paused() {
    let mut server = PostgresServer::start_with(&["max_connections=120"]).await;
    let primary = connect(&server).await;
    let write = async |sql: &str| primary.execute_unprepared(sql).await.unwrap();
    write("CREATE TABLE kept AS SELECT 1 AS n").await;

    let mut standby = server.standby().await;
    standby.caught_up().await;
    let replica = connect(&standby).await;
    assert_eq!(rows(&replica).await, Ok(1));
    let written = replica.execute_unprepared("DELETE FROM kept").await;
    assert!(written.is_err(), "a standby takes no writes");

    standby.pause_replay().await;
    write("INSERT INTO kept VALUES (2)").await;
    let position = text(&primary, "SELECT pg_current_wal_flush_lsn()::text").await;
    let received = format!("SELECT (pg_last_wal_receive_lsn() >= '{position}')::text");
    eventually(SAFETY_NET, "the standby has received it", async || {
        text(&replica, &received).await == "true"
    })
    .await;
    assert_eq!(rows(&replica).await, Ok(1));
    standby.resume_replay().await;
    standby.caught_up().await;
    assert_eq!(rows(&replica).await, Ok(2));

    standby.kill().await;
    write("INSERT INTO kept VALUES (3)").await;
    standby.start_again().await;
    standby.caught_up().await;
    let replica = connect(&standby).await;
    assert_eq!(rows(&replica).await, Ok(3));

    server.kill().await;
    assert_eq!(rows(&replica).await, Ok(3), "it outlives its primary");
    standby.promote().await;
    let written = replica.execute_unprepared("INSERT INTO kept VALUES (4)");
    written.await.unwrap();
    assert_eq!(rows(&replica).await, Ok(4));
}

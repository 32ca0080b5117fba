//! What becomes of a query that nobody waits for any more. PostgreSQL only: SQLite works in the
//! process itself.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use entity::{Config, Database, connect};
use futures::TryStreamExt;
use sea_orm::{ConnectionTrait, DatabaseTransaction, StreamTrait, TransactionTrait};
use testkit::eventually;

use crate::world::{PATIENCE, World};

/// Well below the 30 s after which the server ends a statement by itself.
const SOON: Duration = Duration::from_secs(10);

/// Names the queries of these tests to `pg_stat_activity`.
const MARK: &str = "/* abandoned */";

/// Computes for longer than anyone waits, without a row.
const COMPUTING: &str =
    "SELECT count(*) FROM generate_series(1, 1000000) AS a, generate_series(1, 1000000) AS b";

/// More rows than anyone reads.
const ENDLESS: &str =
    "SELECT n, repeat('x', 1000) FROM (SELECT generate_series(1, 1000000000) AS n) AS numbers";

async fn with_one_connection(world: &World) -> Database {
    let mut config = Config::new(world.database.url().parse().unwrap());
    config.max_connections = 1;
    connect(&config).await.unwrap()
}

async fn at_work(world: &World) -> bool {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%{MARK}%'"
    );
    world.number(&sql).await > 0
}

async fn ended_and_usable(world: &World, db: &Database) {
    let next = tokio::time::timeout(Duration::from_secs(2), pid(&db.read));
    next.await.expect("the pool's one connection is free");
    eventually(SOON, "the query ends", async || !at_work(world).await).await;
}

async fn pid(db: &impl ConnectionTrait) -> i32 {
    let sql = "SELECT pg_backend_pid()";
    let row = db
        .query_one_raw(sea_orm::Statement::from_string(
            sea_orm::DbBackend::Postgres,
            sql,
        ))
        .await;
    row.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// Drops what runs the marked query once the server is at work on it.
async fn drop_amid<T>(world: &World, query: impl Future<Output = T>) {
    let mut query = pin!(query);
    let started = eventually(PATIENCE, "the query runs", async || at_work(world).await);
    tokio::select! {
        _ = &mut query => panic!("the query has ended by itself"),
        () = started => {}
    }
}

#[tokio::test]
async fn a_query_whose_answer_is_not_waited_for_ends_and_frees_its_connection() {
    let world = World::postgres().await;
    let db = with_one_connection(&world).await;
    for sql in ["SELECT pg_sleep(60)", COMPUTING] {
        let statement = world.statement(&format!("{sql} {MARK}"), vec![]);
        drop_amid(&world, db.read.query_all_raw(statement)).await;
        ended_and_usable(&world, &db).await;
    }
}

#[tokio::test]
async fn a_stream_dropped_before_its_first_row_ends_its_query() {
    let world = World::postgres().await;
    let db = with_one_connection(&world).await;
    let statement = world.statement(&format!("{COMPUTING} {MARK}"), vec![]);
    let reading = async {
        let mut rows = db.read.stream_raw(statement).await.unwrap();
        rows.try_next().await.unwrap()
    };
    drop_amid(&world, reading).await;
    ended_and_usable(&world, &db).await;
}

#[tokio::test]
async fn a_stream_dropped_amid_many_rows_ends_its_query() {
    let world = World::postgres().await;
    let db = with_one_connection(&world).await;
    let statement = world.statement(&format!("{ENDLESS} {MARK}"), vec![]);
    let mut rows = db.read.stream_raw(statement).await.unwrap();
    for _ in 0..10 {
        rows.try_next().await.unwrap().unwrap();
    }
    assert!(at_work(&world).await);
    drop(rows);
    ended_and_usable(&world, &db).await;
}

#[tokio::test]
async fn what_was_read_to_its_end_or_failed_keeps_its_connection() {
    let world = World::postgres().await;
    let db = with_one_connection(&world).await;
    let before = pid(&db.read).await;
    for _ in 0..50 {
        let sql = "SELECT generate_series(1, 1000)";
        let rows = db.read.query_all_raw(world.statement(sql, vec![])).await;
        assert_eq!(rows.unwrap().len(), 1000);
        let failed = db.read.execute_unprepared("SELECT 1 / 0").await;
        assert!(failed.is_err());
        assert_eq!(pid(&db.read).await, before);
    }
}

async fn raise_token(db: &Database) -> DatabaseTransaction {
    let tx = db.write.begin().await.unwrap();
    tx.execute_unprepared("UPDATE provider SET token = token + 1")
        .await
        .unwrap();
    tx
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back_and_keeps_its_connection() {
    let world = World::postgres().await;
    world.add(&["acme"]).await;
    let db = with_one_connection(&world).await;
    let mut connections = HashSet::new();
    for _ in 0..20 {
        let tx = raise_token(&db).await;
        connections.insert(pid(&tx).await);
        drop(tx);
    }
    assert_eq!(world.provider("acme").await.token, 0);
    // Under load a rollback may take too long now and then.
    assert!(connections.len() < 20, "each was closed");
}

#[tokio::test]
async fn a_transaction_dropped_amid_a_statement_lets_go_of_its_locks() {
    let world = World::postgres().await;
    world.add(&["acme"]).await;
    let db = with_one_connection(&world).await;
    let sleeping = async {
        let tx = raise_token(&db).await;
        let sql = format!("SELECT pg_sleep(60) {MARK}");
        tx.execute_unprepared(&sql).await
    };
    drop_amid(&world, sleeping).await;
    let update = "UPDATE provider SET token = token + 1";
    let waiting = tokio::time::timeout(SOON, world.execute(update, vec![]));
    waiting.await.expect("the row's lock is free");
    assert_eq!(world.provider("acme").await.token, 1);
    ended_and_usable(&world, &db).await;
}

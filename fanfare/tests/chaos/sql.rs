//! A test's own statements: locks that hold a process where the test wants it, and looks at what
//! sessions wait for.

use chrono::{DateTime, Utc};
use entity::Database;
use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement, TransactionTrait, TryGetable};
use testkit::{Process, eventually};

use crate::world::PATIENCE;

/// A row that is locked for as long as the test wants.
pub(crate) struct Gate(DatabaseTransaction);

impl Gate {
    /// Locks what a select finds.
    pub(crate) async fn close(db: &Database, select: &str) -> Self {
        let tx = db.write.begin().await.unwrap();
        let locked = tx.query_all_raw(statement(db, &format!("{select} FOR UPDATE")));
        assert!(!locked.await.unwrap().is_empty(), "nothing is locked");
        Self(tx)
    }

    /// Holds every commit of events at its last statement.
    pub(crate) async fn before_commits(db: &Database) -> Self {
        Self::close(db, "SELECT 1 FROM dataset").await
    }

    pub(crate) async fn open(self) {
        self.0.rollback().await.unwrap();
    }
}

pub(crate) async fn value<T: TryGetable>(db: &Database, select: &str) -> T {
    let row = db.write.query_one_raw(statement(db, select)).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

pub(crate) async fn run(db: &Database, sql: &str) -> u64 {
    let done = db.write.execute_unprepared(sql).await.unwrap();
    done.rows_affected()
}

/// The database's time.
pub(crate) async fn now(db: &Database) -> DateTime<Utc> {
    value(db, "SELECT clock_timestamp()").await
}

/// Returns once so many sessions of a worker wait for a lock.
pub(crate) async fn waits_for_lock(db: &Database, worker: &Process, at_least: i64) {
    let select = sessions_of(worker, "wait_event_type = 'Lock'");
    eventually(PATIENCE, "a session that waits for a lock", async || {
        value::<i64>(db, &select).await >= at_least
    })
    .await;
}

/// How many transactions a worker has open.
pub(crate) async fn open_transactions(db: &Database, worker: &Process) -> i64 {
    value(db, &sessions_of(worker, "xact_start IS NOT NULL")).await
}

/// A worker's sessions bear its name, which holds its process id.
fn sessions_of(worker: &Process, state: &str) -> String {
    format!(
        "SELECT count(*) FROM pg_stat_activity WHERE {state} AND application_name LIKE '%-{}-%'",
        worker.pid()
    )
}

pub(crate) fn statement(db: &Database, sql: &str) -> Statement {
    Statement::from_string(db.write.get_database_backend(), sql)
}

//! Worker processes: their signs of life, and what they hold.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, FromQueryResult};
use serde::Serialize;

use crate::Database;
use crate::dialect::Dialect;
use crate::lease::millis;

/// Records that a worker lives.
///
/// # Errors
/// Whatever the database answers.
pub async fn beat(
    db: &Database,
    name: &str,
    version: &str,
    concurrency: usize,
) -> Result<(), DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = format!(
        "INSERT INTO worker (name, version, concurrency, started_at, seen_at) \
         VALUES ($1, $2, $3, {now}, {now}) ON CONFLICT (name) DO UPDATE SET seen_at = {now}",
        now = dialect.now()
    );
    let concurrency = i64::try_from(concurrency).unwrap_or(i64::MAX);
    let values = vec![name.into(), version.into(), concurrency.into()];
    db.write.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}

/// Forgets a worker that has stopped.
///
/// # Errors
/// Whatever the database answers.
pub async fn forget(db: &Database, name: &str) -> Result<(), DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = "DELETE FROM worker WHERE name = $1";
    db.write
        .execute_raw(dialect.statement(sql, vec![name.into()]))
        .await?;
    Ok(())
}

/// Forgets workers that gave no sign of life for `silence`.
///
/// # Errors
/// Whatever the database answers.
pub async fn forget_silent(db: &Database, silence: Duration) -> Result<u64, DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = format!(
        "DELETE FROM worker WHERE seen_at < {}",
        dialect.now_plus_ms("-$1")
    );
    let forgotten = db
        .write
        .execute_raw(dialect.statement(sql, vec![millis(silence).into()]))
        .await?;
    Ok(forgotten.rows_affected())
}

/// A worker process as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult, Serialize)]
pub struct Summary {
    /// Unique to its start.
    pub name: String,
    /// Its build.
    pub version: String,
    /// Runs at once, at most.
    pub concurrency: i64,
    /// Runs that it holds.
    pub running: i64,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Its last sign of life.
    pub seen_at: DateTime<Utc>,
    /// Milliseconds since then.
    pub silent_ms: i64,
}

/// All workers that are known, by name.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(db: &DatabaseConnection) -> Result<Vec<Summary>, DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!(
        "SELECT w.name, w.version, w.concurrency, w.started_at, w.seen_at, \
         -({}) AS silent_ms, \
         (SELECT count(*) FROM run r WHERE r.worker = w.name AND r.state = 'running') AS running \
         FROM worker w ORDER BY w.name",
        dialect.ms_until("w.seen_at")
    );
    Summary::find_by_statement(dialect.statement(sql, Vec::new()))
        .all(db)
        .await
}

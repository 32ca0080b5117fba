//! What the database server is like, for whoever looks whether it suits us. Nothing here writes.

mod knock;
mod postgres;
mod replication;

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::dialect::Dialect;
use crate::lease::millis;
use crate::{Database, Kind};

pub use knock::{Door, Knock, Obstacle, Place, knock, place};
pub use postgres::{
    Identity, Sessions, Slot, Table, Upkeep, identity, invalid_indexes, sessions, settings, tables,
    upkeep,
};
pub use replication::{Following, following, position, slots, system};

/// Our tables, and that in which migrations are recorded.
pub const TABLES: [&str; 13] = [
    "dataset",
    "dataset_commit",
    "event",
    "event_change",
    "fan_out",
    "fan_out_request",
    "fan_out_run",
    "host",
    "provider",
    "run",
    "seaql_migrations",
    "set_aside",
    "worker",
];

/// The names of the migrations that were applied, whichever release they are of; none before the first.
///
/// # Errors
/// Whatever the database answers.
pub async fn applied_migrations(db: &Database) -> Result<Vec<String>, DbErr> {
    let dialect = Dialect::of(&db.write);
    let begun = match db.kind() {
        Kind::Sqlite => "SELECT 1 FROM sqlite_master WHERE name = 'seaql_migrations'",
        Kind::Postgres => "SELECT 1 WHERE to_regclass('seaql_migrations') IS NOT NULL",
    };
    let begun = dialect.statement(begun, Vec::new());
    if db.write.query_one_raw(begun).await?.is_none() {
        return Ok(Vec::new());
    }
    let sql = "SELECT version FROM seaql_migrations ORDER BY version";
    let rows = db.write.query_all_raw(dialect.statement(sql, Vec::new()));
    let rows = rows.await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Providers that a scheduler should have claimed by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Overdue {
    /// How many.
    pub providers: i64,
    /// Milliseconds since the first of them was due.
    pub longest_ms: Option<i64>,
}

/// Providers that have been due for longer than `by` and that nobody has claimed.
///
/// # Errors
/// Whatever the database answers.
pub async fn overdue(db: &Database, by: Duration) -> Result<Overdue, DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = format!(
        "SELECT count(*) AS providers, -({}) AS longest_ms FROM provider \
         WHERE retired_at IS NULL AND current_run IS NULL AND next_due_at < {} \
         AND (paused_at IS NULL OR paused_until <= {})",
        dialect.ms_until("min(next_due_at)"),
        dialect.now_plus_ms("-$1"),
        dialect.now(),
    );
    Overdue::find_by_statement(dialect.statement(sql, vec![millis(by).into()]))
        .one(&db.write)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("no count of providers".to_owned()))
}

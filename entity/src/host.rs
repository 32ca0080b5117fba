//! Politeness towards hosts, shared by all workers: fetches at once, the gap between their starts,
//! and a host's own wish to be left alone.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult};

use crate::Database;
use crate::dialect::Dialect;
use crate::lease::millis;
use crate::run::Postponed;

/// How fetches treat one host, all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Politeness {
    /// Fetches at once.
    pub concurrency: u32,
    /// Least time between the starts of two fetches.
    pub gap: Duration,
}

impl Default for Politeness {
    fn default() -> Self {
        Self {
            concurrency: 4,
            gap: Duration::ZERO,
        }
    }
}

impl Politeness {
    /// How late a fetch may start after its run has begun, where there is a gap to keep: by so
    /// much longer is the gap that [`crate::lease::begin`] keeps between two beginnings.
    pub fn slack(&self) -> Duration {
        (self.gap / 4).max(Duration::from_millis(100))
    }
}

pub(crate) enum Admission {
    Granted,
    /// Not before so many milliseconds.
    Later(Postponed, i64),
}

/// How long a run waits for its share of a host if nobody hands it on before that.
const LIMIT_WAIT_MS: i64 = 2_000;

/// Decides under the host's row lock whether one more fetch may start there now. The share is
/// taken by the run that begins in the same transaction: what counts is how many runs are running
/// under a lease, so that a dead worker's share comes back with it.
pub(crate) async fn admit(
    tx: &DatabaseTransaction,
    host: &str,
    politeness: Politeness,
) -> Result<Admission, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        since_ms: Option<i64>,
    }
    let dialect = Dialect::of(tx);
    let sql = format!(
        "INSERT INTO host (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = excluded.name \
         RETURNING -({}) AS since_ms",
        dialect.ms_until("started_at")
    );
    let row = Row::find_by_statement(dialect.statement(sql, vec![host.into()]))
        .one(tx)
        .await?;
    if !politeness.gap.is_zero() {
        let gap = millis(politeness.gap + politeness.slack());
        let since = row.and_then(|row| row.since_ms).unwrap_or(i64::MAX);
        if since < gap {
            return Ok(Admission::Later(Postponed::HostGap, gap - since));
        }
    }
    // A statement of its own, after the lock: it has to see what was begun meanwhile.
    let sql = format!(
        "SELECT count(*) FROM run r JOIN provider p ON p.id = r.provider_id \
         WHERE r.state = 'running' AND p.host = $1 AND r.lease_until > {}",
        dialect.clock()
    );
    let row = tx
        .query_one_raw(dialect.statement(sql, vec![host.into()]))
        .await?;
    let running: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    if running >= i64::from(politeness.concurrency) {
        return Ok(Admission::Later(Postponed::HostLimit, LIMIT_WAIT_MS));
    }
    let sql = format!(
        "UPDATE host SET started_at = {} WHERE name = $1",
        dialect.clock()
    );
    tx.execute_raw(dialect.statement(sql, vec![host.into()]))
        .await?;
    Ok(Admission::Granted)
}

/// Holds the host's row until the end of the transaction, if there is one.
pub(crate) async fn lock(tx: &DatabaseTransaction, host: &str) -> Result<(), DbErr> {
    let dialect = Dialect::of(tx);
    let sql = format!(
        "SELECT name FROM host WHERE name = $1 {}",
        dialect.lock_waiting("host")
    );
    tx.query_one_raw(dialect.statement(sql, vec![host.into()]))
        .await?;
    Ok(())
}

/// Leaves every provider of a host alone for a time, as it asked: none is visited before that. A
/// wish that reaches further stands.
///
/// # Errors
/// Whatever the database answers.
pub async fn leave_alone(db: &Database, host: &str, wait: Duration) -> Result<(), DbErr> {
    let tx = db.begin().await?;
    let dialect = Dialect::of(&tx);
    let until = dialect.now_plus_ms("$2");
    let sql = format!(
        "INSERT INTO host (name, not_before) VALUES ($1, {until}) \
         ON CONFLICT (name) DO UPDATE SET not_before = excluded.not_before \
         WHERE host.not_before IS NULL OR host.not_before < excluded.not_before"
    );
    let values = || vec![host.into(), millis(wait).into()];
    tx.execute_raw(dialect.statement(sql, values())).await?;
    let sql = format!(
        "UPDATE provider SET next_due_at = {until}, late_at = {} \
         WHERE id IN (SELECT id FROM provider WHERE host = $1 AND current_run IS NULL \
                      AND retired_at IS NULL AND next_due_at < {until} ORDER BY id {})",
        dialect.plus_ms(&until, "interval_ms"),
        dialect.lock_skipping("provider")
    );
    tx.execute_raw(dialect.statement(sql, values())).await?;
    tx.commit().await
}

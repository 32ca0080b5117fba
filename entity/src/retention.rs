//! What is not kept for ever: runs with their fan-outs and set-aside items, and the log of changes.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use crate::Database;
use crate::dialect::Dialect;
use crate::lease::millis;

/// Rows that one statement deletes at most, so that none holds its locks for long.
const BATCH: u64 = 2_000;

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Runs, fan-outs and set-aside items after their end.
    pub runs: Duration,
    /// Changes after their commit.
    pub changes: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            runs: 14 * DAY,
            changes: 90 * DAY,
        }
    }
}

/// Deletes one batch of each kind of what is older than it is kept, and gives how many rows went.
/// None are left when it gives 0. The last run of a provider is kept whatever its age.
///
/// # Errors
/// Whatever the database answers.
pub async fn prune(db: &Database, retention: Retention) -> Result<u64, DbErr> {
    let tx = db.begin().await?;
    let pruned = prune_runs(&tx, retention.runs).await? + prune_log(&tx, retention.changes).await?;
    tx.commit().await?;
    Ok(pruned)
}

async fn prune_runs(tx: &DatabaseTransaction, kept: Duration) -> Result<u64, DbErr> {
    let dialect = Dialect::of(tx);
    let before = dialect.now_plus_ms("-$1");
    let statements = [
        format!(
            "DELETE FROM fan_out WHERE id IN \
             (SELECT id FROM fan_out WHERE closed_at < {before} LIMIT {BATCH})"
        ),
        format!(
            "DELETE FROM run WHERE id IN \
             (SELECT r.id FROM run r WHERE r.finished_at < {before} \
              AND EXISTS (SELECT 1 FROM run n WHERE n.provider_id = r.provider_id \
                          AND n.queued_at > r.queued_at) LIMIT {BATCH})"
        ),
    ];
    let mut pruned = 0;
    for sql in statements {
        let statement = dialect.statement(sql, vec![millis(kept).into()]);
        pruned += tx.execute_raw(statement).await?.rows_affected();
    }
    Ok(pruned)
}

/// Commits whose changes one batch deletes at most; a commit can hold many changes.
const COMMITS: u64 = 50;

/// Deletes the oldest versions of the log of changes, with their changes, up to the first that is
/// young enough. Versions and times need not have the same order, for a commit's time is that of its
/// transaction's beginning; and a log without its oldest versions is whole, while one with a hole is
/// not.
async fn prune_log(tx: &DatabaseTransaction, kept: Duration) -> Result<u64, DbErr> {
    let dialect = Dialect::of(tx);
    let sql = format!(
        "SELECT coalesce(min(CASE WHEN committed_at >= {before} THEN version END), \
                         max(version) + 1) \
         FROM (SELECT version, committed_at FROM dataset_commit \
               ORDER BY version LIMIT {COMMITS}) AS oldest",
        before = dialect.now_plus_ms("-$1")
    );
    let statement = dialect.statement(sql, vec![millis(kept).into()]);
    let first_kept = match tx.query_one_raw(statement).await? {
        Some(row) => row.try_get_by_index::<Option<i64>>(0)?,
        None => None,
    };
    let Some(first_kept) = first_kept else {
        return Ok(0);
    };
    let mut pruned = 0;
    // The limit, which is never reached, lets the planner expect few.
    let changes = format!(
        "DELETE FROM event_change WHERE run_id IN \
         (SELECT run_id FROM dataset_commit WHERE version < $1 ORDER BY version LIMIT {COMMITS})"
    );
    let versions = "DELETE FROM dataset_commit WHERE version < $1".to_owned();
    for sql in [changes, versions] {
        let statement = dialect.statement(sql, vec![first_kept.into()]);
        pruned += tx.execute_raw(statement).await?.rows_affected();
    }
    Ok(pruned)
}

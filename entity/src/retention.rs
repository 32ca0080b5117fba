//! What is not kept for ever: runs with their fan-outs and set-aside items, and the log of changes.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr};

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
    let dialect = Dialect::of(&db.write);
    let before = dialect.now_plus_ms("-$1");
    let statements = [
        (
            "DELETE FROM fan_out WHERE id IN \
             (SELECT id FROM fan_out WHERE closed_at < {before} LIMIT {batch})",
            retention.runs,
        ),
        (
            "DELETE FROM run WHERE id IN \
             (SELECT r.id FROM run r WHERE r.finished_at < {before} \
              AND EXISTS (SELECT 1 FROM run n WHERE n.provider_id = r.provider_id \
                          AND n.queued_at > r.queued_at) LIMIT {batch})",
            retention.runs,
        ),
        (
            "DELETE FROM event_change WHERE run_id IN \
             (SELECT run_id FROM dataset_commit WHERE committed_at < {before} \
              ORDER BY version LIMIT {commits})",
            retention.changes,
        ),
        (
            "DELETE FROM dataset_commit WHERE version IN \
             (SELECT version FROM dataset_commit WHERE committed_at < {before} \
              ORDER BY version LIMIT {commits})",
            retention.changes,
        ),
    ];
    let tx = db.begin().await?;
    let mut pruned = 0;
    for (sql, kept) in statements {
        let sql = sql
            .replace("{before}", &before)
            .replace("{batch}", &BATCH.to_string())
            .replace("{commits}", &COMMITS.to_string());
        let deleted = tx
            .execute_raw(dialect.statement(sql, vec![millis(kept).into()]))
            .await?;
        pruned += deleted.rows_affected();
    }
    tx.commit().await?;
    Ok(pruned)
}

/// Commits whose changes one statement deletes at most; a commit can hold many changes.
const COMMITS: u64 = 50;

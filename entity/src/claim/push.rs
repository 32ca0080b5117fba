//! Runs that are in the database and should be in the queue: what makes losing the queue harmless.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{PUSH_AGAIN_MOST, PUSH_AGAIN_MS, ToPush};
use crate::Database;
use crate::dialect::Dialect;
use crate::host;

/// Up to `limit` queued runs whose push is overdue: nobody has begun them since the last one.
/// Counts the push that follows, and puts the next one 10, 20 and then 40 seconds off.
///
/// # Errors
/// Whatever the database answers.
pub async fn push_overdue(db: &Database, limit: u64) -> Result<Vec<ToPush>, DbErr> {
    let dialect = Dialect::of(&db.write);
    let doubled = format!(
        "{PUSH_AGAIN_MS} * (1 << CAST({} AS integer))",
        dialect.least("push_count", &PUSH_AGAIN_MOST.to_string())
    );
    // Materialized, because PostgreSQL may run a subquery once for each row that it is compared
    // with, and what that one locks then adds up beyond the limit.
    let sql = format!(
        "WITH overdue AS MATERIALIZED ( \
             SELECT id FROM run WHERE state = 'queued' AND next_push_at <= {} \
             ORDER BY next_push_at LIMIT $1 {}) \
         UPDATE run SET push_count = push_count + 1, next_push_at = {} \
         WHERE id IN (SELECT id FROM overdue) AND state = 'queued' RETURNING id, traceparent",
        dialect.now(),
        dialect.lock_skipping("run"),
        dialect.now_plus_ms(&doubled)
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    ToPush::find_by_statement(dialect.statement(sql, vec![limit.into()]))
        .all(&db.write)
        .await
}

/// Makes queued runs due for a push again in a moment, because the queue could not be reached: the
/// push that failed does not count.
///
/// # Errors
/// Whatever the database answers.
pub async fn push_failed(db: &Database, runs: &[Uuid]) -> Result<(), DbErr> {
    const AGAIN_MS: &str = "1000";
    let dialect = Dialect::of(&db.write);
    let sql = format!(
        "UPDATE run SET next_push_at = {}, push_count = 0 WHERE id {} AND state = 'queued'",
        dialect.now_plus_ms(AGAIN_MS),
        dialect.in_ids("$1")
    );
    db.write
        .execute_raw(dialect.statement(sql, vec![dialect.ids(runs)]))
        .await?;
    Ok(())
}

/// What a run can wait for besides a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share<'a> {
    /// One of a host's fetches at once.
    Of(&'a str),
    /// A worker that holds no other suspect.
    Suspect,
}

/// Milliseconds until a run that was handed a share is pushed again, should its push be lost.
const HANDED_ON_AGAIN_MS: i64 = 1_000;

/// The run that has waited longest for a share, now that one is free: the caller pushes it.
///
/// # Errors
/// Whatever the database answers.
pub async fn hand_on(db: &Database, share: Share<'_>) -> Result<Option<ToPush>, DbErr> {
    let tx = db.begin().await?;
    if let Share::Of(host) = share {
        // Whoever is just being refused a share of it is refused by then, and is found below; whoever
        // asks later finds the share that is free.
        host::lock(&tx, host).await?;
    }
    let handed_on = longest_waiting(&tx, share).await?;
    tx.commit().await?;
    Ok(handed_on)
}

async fn longest_waiting(
    tx: &DatabaseTransaction,
    share: Share<'_>,
) -> Result<Option<ToPush>, DbErr> {
    let dialect = Dialect::of(tx);
    let (waits, values) = match share {
        Share::Of(host) => (
            "r.postponed_for = 'host_limit' AND p.host = $1",
            vec![host.into()],
        ),
        Share::Suspect => ("r.postponed_for = 'suspect'", Vec::new()),
    };
    let sql = format!(
        "UPDATE run SET postponed_for = NULL, next_push_at = {} \
         WHERE id = (SELECT r.id FROM run r JOIN provider p ON p.id = r.provider_id \
                     WHERE r.state = 'queued' AND {waits} ORDER BY r.queued_at LIMIT 1 {}) \
         AND state = 'queued' RETURNING id, traceparent",
        dialect.now_plus_ms(&HANDED_ON_AGAIN_MS.to_string()),
        dialect.lock_skipping("r")
    );
    ToPush::find_by_statement(dialect.statement(sql, values))
        .one(tx)
        .await
}

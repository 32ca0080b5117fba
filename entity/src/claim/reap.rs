//! Runs whose workers are gone: taken over, or back in the queue.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{ToPush, enqueue};
use crate::Database;
use crate::dialect::Dialect;
use crate::provider::OURSELVES;

/// What reaping found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Runs that are lost, with their workers' names.
    pub lost: Vec<Lost>,
    /// Runs that take over from them.
    pub takeovers: Vec<ToPush>,
}

/// A run whose lease is over.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Lost {
    /// Which.
    pub id: Uuid,
    /// Its provider.
    pub provider_id: i64,
    /// The provider's name.
    pub provider: String,
    /// Who held it.
    pub worker: Option<String>,
    /// Crashes of the provider in a row, this one included.
    pub crashes: i64,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// Until when it was believed.
    pub lease_until: Option<DateTime<Utc>>,
}

/// Crashes in a row after which a provider is paused.
pub const MOST_CRASHES: i64 = 3;

/// Ends up to `limit` runs whose lease is over as `lost`, counts the crash on their providers and
/// claims these again at once, as members of the same fan-outs. A provider with [`MOST_CRASHES`] in
/// a row is paused with the reason instead.
///
/// # Errors
/// Whatever the database answers; nothing is reaped then.
pub async fn reap(db: &Database, limit: u64) -> Result<Reaped, DbErr> {
    let tx = db.begin().await?;
    let dialect = Dialect::of(&tx);
    let sql = format!(
        "SELECT r.id, r.provider_id, p.name AS provider, r.worker, \
         p.consecutive_crashes + 1 AS crashes, r.traceparent, r.lease_until \
         FROM run r JOIN provider p ON p.id = r.provider_id \
         WHERE r.state = 'running' AND r.lease_until < {} ORDER BY r.lease_until LIMIT $1 {}",
        dialect.now(),
        dialect.lock_skipping("p")
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let over = Lost::find_by_statement(dialect.statement(sql, vec![limit.into()]))
        .all(&tx)
        .await?;
    let lost = end_lost(&tx, over).await?;
    if lost.is_empty() {
        tx.rollback().await?;
        return Ok(Reaped::default());
    }
    count_crashes(&tx, &lost).await?;
    pause_crashers(&tx, &lost).await?;
    let takeovers = take_over(&tx, &lost).await?;
    tx.commit().await?;
    Ok(Reaped { lost, takeovers })
}

/// Ends those that are still running under a lease that is over, now that their providers are
/// locked; the others finished or were renewed in between.
async fn end_lost(tx: &DatabaseTransaction, over: Vec<Lost>) -> Result<Vec<Lost>, DbErr> {
    let dialect = Dialect::of(tx);
    let ids: Vec<Uuid> = over.iter().map(|lost| lost.id).collect();
    let sql = format!(
        "UPDATE run SET state = 'finished', outcome = 'lost', finished_at = {now}, \
         lease_until = NULL, error = 'its worker gave no sign of life for a whole lease' \
         WHERE id {} AND state = 'running' AND lease_until < {now} RETURNING id",
        dialect.in_ids("$1"),
        now = dialect.now()
    );
    let rows = tx
        .query_all_raw(dialect.statement(sql, vec![dialect.ids(&ids)]))
        .await?;
    let ended: Vec<Uuid> = rows
        .iter()
        .map(|row| row.try_get_by_index(0))
        .collect::<Result<_, _>>()?;
    Ok(over
        .into_iter()
        .filter(|lost| ended.contains(&lost.id))
        .collect())
}

async fn count_crashes(tx: &DatabaseTransaction, lost: &[Lost]) -> Result<(), DbErr> {
    let dialect = Dialect::of(tx);
    let sql = format!(
        "UPDATE provider SET consecutive_crashes = consecutive_crashes + 1, token = token + 1, \
         current_run = NULL, next_due_at = {}, late_at = {} WHERE id {}",
        dialect.now(),
        dialect.now_plus_ms("interval_ms"),
        dialect.in_numbers("$1")
    );
    let providers: Vec<i64> = lost.iter().map(|lost| lost.provider_id).collect();
    tx.execute_raw(dialect.statement(sql, vec![dialect.numbers(&providers)]))
        .await?;
    Ok(())
}

async fn pause_crashers(tx: &DatabaseTransaction, lost: &[Lost]) -> Result<(), DbErr> {
    let dialect = Dialect::of(tx);
    let crashers: Vec<i64> = lost
        .iter()
        .filter(|lost| lost.crashes >= MOST_CRASHES)
        .map(|lost| lost.provider_id)
        .collect();
    if crashers.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE provider SET paused_at = {}, paused_by = '{OURSELVES}', paused_until = NULL, \
         paused_reason = $2 WHERE id {}",
        dialect.now(),
        dialect.in_numbers("$1")
    );
    let reason = format!("its worker died {MOST_CRASHES} times in a row while syncing it");
    let values = vec![dialect.numbers(&crashers), reason.into()];
    tx.execute_raw(dialect.statement(sql, values)).await?;
    Ok(())
}

async fn take_over(tx: &DatabaseTransaction, lost: &[Lost]) -> Result<Vec<ToPush>, DbErr> {
    let again: Vec<&Lost> = lost
        .iter()
        .filter(|lost| lost.crashes < MOST_CRASHES)
        .collect();
    let providers: Vec<i64> = again.iter().map(|lost| lost.provider_id).collect();
    // Each stays in the trace of the run that it takes over from.
    let mut traces = again.iter().map(|lost| lost.traceparent.clone());
    let enqueued = enqueue(tx, &providers, &mut |_| traces.next().flatten()).await?;
    let dialect = Dialect::of(tx);
    for (lost, (run, _)) in again.iter().zip(&enqueued.runs) {
        let run = *run;
        let sql = "INSERT INTO fan_out_run (fan_out_id, run_id) \
                   SELECT m.fan_out_id, $1 FROM fan_out_run m JOIN fan_out f ON f.id = m.fan_out_id \
                   WHERE m.run_id = $2 AND f.closed_at IS NULL";
        tx.execute_raw(dialect.statement(sql, vec![run.into(), lost.id.into()]))
            .await?;
        let sql = "UPDATE run SET accept_gone = (SELECT l.accept_gone FROM run l WHERE l.id = $2) \
                   WHERE id = $1";
        let values = vec![run.into(), lost.id.into()];
        tx.execute_raw(dialect.statement(sql, values)).await?;
    }
    Ok(enqueued.into_pushes())
}

/// Puts every running run back to the queue and makes every queued one due for a push: for the
/// embedded database, whose one process has just started and therefore holds none.
///
/// # Errors
/// Whatever the database answers.
pub async fn release_all(db: &Database) -> Result<u64, DbErr> {
    let tx = db.begin().await?;
    let dialect = Dialect::of(&tx);
    tx.execute_unprepared(
        "UPDATE provider SET token = token + 1 \
         WHERE current_run IN (SELECT id FROM run WHERE state = 'running')",
    )
    .await?;
    let sql = "UPDATE run SET state = 'queued', token = token + 1, worker = NULL, \
               lease_until = NULL, started_at = NULL WHERE state = 'running'";
    let released = tx.execute_unprepared(sql).await?;
    let sql = format!(
        "UPDATE run SET next_push_at = {} WHERE state = 'queued'",
        dialect.now()
    );
    tx.execute_raw(dialect.statement(sql, Vec::new())).await?;
    tx.commit().await?;
    Ok(released.rows_affected())
}

//! The scheduler's side of a run's life: claim what is due, push it, reap what was lost.
//!
//! Any number of schedulers run these at once. Each transition of a run happens under its
//! provider's row lock, and the rows that another scheduler holds are passed over.

mod push;
mod reap;
mod request;
mod trace;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, QueryResult};
use uuid::Uuid;

use crate::Database;
use crate::dialect::Dialect;

pub use push::{Share, hand_on, push_failed, push_overdue};
pub use reap::{Lost, MOST_CRASHES, Reaped, reap, release_all};
pub use request::{take_requests, take_requests_traced};
pub use trace::{Claim, Trace, of_fan_out};

/// Seconds until a queued run that nobody has begun is pushed for the second time; it doubles with
/// each push, up to [`PUSH_AGAIN_MOST`] times as long. The cap bounds what losing Redis costs.
const PUSH_AGAIN_MS: i64 = 10_000;
/// As a power of two.
const PUSH_AGAIN_MOST: i64 = 2;

/// A run to push.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct ToPush {
    /// Which.
    pub id: Uuid,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
}

/// The fan-out of a tick.
#[derive(Debug, Clone, Copy)]
pub struct Tick<'a> {
    /// Which; it is made at its first claim.
    pub fan_out: Uuid,
    /// The trace that it belongs to.
    pub traceparent: Option<&'a str>,
    /// How many runs it has already.
    pub claimed: u64,
}

/// [`claim_due_traced`] for a fan-out whose runs have its own trace context.
///
/// # Errors
/// Whatever the database answers; nothing is claimed then.
pub async fn claim_due(
    db: &Database,
    fan_out: Uuid,
    traceparent: Option<&str>,
    limit: u64,
) -> Result<Option<Vec<ToPush>>, DbErr> {
    let tick = Tick {
        fan_out,
        traceparent,
        claimed: 0,
    };
    claim_due_traced(db, tick, limit, &mut of_fan_out).await
}

/// Claims up to `limit` due providers for a tick's fan-out, which is made if it is not there yet, in
/// one transaction: each gets a queued run, with the trace context that `trace` gives it, and a
/// higher token. Nothing is claimed, and `None` is given, if the fan-out has been sealed meanwhile.
///
/// Due means neither paused, retired nor claimed, with `next_due_at` passed. What is late in
/// proportion to its interval goes first.
///
/// # Errors
/// Whatever the database answers; nothing is claimed then.
pub async fn claim_due_traced(
    db: &Database,
    tick: Tick<'_>,
    limit: u64,
    trace: &mut Trace<'_>,
) -> Result<Option<Vec<ToPush>>, DbErr> {
    let tx = db.begin().await?;
    plan_for_the_moment(&tx).await?;
    let dialect = Dialect::of(&tx);
    let now = dialect.now();
    let sql = format!(
        "SELECT id FROM provider \
         WHERE current_run IS NULL AND retired_at IS NULL AND next_due_at <= {now} \
         AND (paused_at IS NULL OR paused_until <= {now}) \
         ORDER BY late_at LIMIT $1 {}",
        dialect.lock_skipping("provider")
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due: Vec<i64> = numbers(
        tx.query_all_raw(dialect.statement(sql, vec![limit.into()]))
            .await?,
    )?;
    // Rolled back rather than dropped, here and wherever nothing is found: a transaction that is
    // dropped lets go of its locks only some time later, and others would pass the rows over.
    if due.is_empty() {
        tx.rollback().await?;
        return Ok(Some(Vec::new()));
    }
    if !open_fan_out(&tx, tick.fan_out, tick.traceparent).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    let fan_out = trace::FanOut {
        id: tick.fan_out,
        traceparent: tick.traceparent,
        runs: tick.claimed,
    };
    let claimed = enqueue(&tx, &due, &mut fan_out.traces(trace)).await?;
    join(&tx, tick.fan_out, &claimed.runs).await?;
    tx.commit().await?;
    Ok(Some(claimed.into_pushes()))
}

/// Has PostgreSQL plan each statement of this transaction anew: which index gives the due providers
/// in order for the least depends on how many are due, and a plan that is kept from a quiet hour
/// sorts everything in a busy one.
async fn plan_for_the_moment(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if Dialect::of(tx) == Dialect::Postgres {
        tx.execute_unprepared("SET LOCAL plan_cache_mode = force_custom_plan")
            .await?;
    }
    Ok(())
}

/// Whether any provider is due: one look at an index, for ticks that find nothing to do.
///
/// # Errors
/// Whatever the database answers.
pub async fn anything_due(db: &Database) -> Result<bool, DbErr> {
    let dialect = Dialect::of(&db.write);
    let now = dialect.now();
    let sql = format!(
        "SELECT 1 FROM provider \
         WHERE current_run IS NULL AND retired_at IS NULL AND next_due_at <= {now} \
         AND (paused_at IS NULL OR paused_until <= {now}) LIMIT 1"
    );
    let row = db
        .write
        .query_one_raw(dialect.statement(sql, Vec::new()))
        .await?;
    Ok(row.is_some())
}

/// Makes the tick's fan-out at its first claim; false if it is there and sealed.
async fn open_fan_out(
    tx: &DatabaseTransaction,
    id: Uuid,
    traceparent: Option<&str>,
) -> Result<bool, DbErr> {
    let dialect = Dialect::of(tx);
    let sql = format!(
        "INSERT INTO fan_out (id, trigger, traceparent, started_at) VALUES ($1, 'tick', $2, {}) \
         ON CONFLICT (id) DO UPDATE SET trigger = excluded.trigger \
         WHERE fan_out.sealed_at IS NULL",
        dialect.now()
    );
    let opened = tx
        .execute_raw(dialect.statement(sql, vec![id.into(), traceparent.into()]))
        .await?;
    Ok(opened.rows_affected() > 0)
}

/// Runs that were just made.
struct Enqueued {
    /// Each with its provider.
    runs: Vec<(Uuid, i64)>,
    /// Of each; empty for none.
    traceparents: Vec<String>,
}

impl Enqueued {
    fn into_pushes(self) -> Vec<ToPush> {
        let runs = self.runs.into_iter().zip(self.traceparents);
        runs.map(|((id, _), traceparent)| ToPush {
            id,
            traceparent: Some(traceparent).filter(|traceparent| !traceparent.is_empty()),
        })
        .collect()
    }
}

/// Gives each of the locked, unclaimed providers a queued run, with the trace context that `trace`
/// gives it, in their order.
async fn enqueue(
    tx: &DatabaseTransaction,
    providers: &[i64],
    trace: &mut (dyn FnMut(Uuid) -> Option<String> + Send),
) -> Result<Enqueued, DbErr> {
    let dialect = Dialect::of(tx);
    let runs: Vec<(Uuid, i64)> = providers.iter().map(|id| (Uuid::now_v7(), *id)).collect();
    let traceparents: Vec<String> = runs
        .iter()
        .map(|(run, _)| trace(*run).unwrap_or_default())
        .collect();
    let [ids, numbers] = dialect.pairs(&runs);
    let sql = format!(
        "INSERT INTO run (id, provider_id, token, state, traceparent, queued_at, next_push_at, push_count) \
         SELECT t.id, p.id, p.token + 1, 'queued', nullif(t.text, ''), {}, {}, 1 \
         FROM {} JOIN provider p ON p.id = t.number",
        dialect.now(),
        dialect.now_plus_ms(&PUSH_AGAIN_MS.to_string()),
        dialect.triples_table()
    );
    let texts = dialect.texts(traceparents.clone());
    let values = vec![ids.clone(), numbers.clone(), texts];
    tx.execute_raw(dialect.statement(sql, values)).await?;
    let sql = format!(
        "UPDATE provider SET token = token + 1, current_run = t.id FROM {} \
         WHERE provider.id = t.number",
        dialect.pairs_table()
    );
    tx.execute_raw(dialect.statement(sql, vec![ids, numbers]))
        .await?;
    Ok(Enqueued { runs, traceparents })
}

/// Makes runs members of a fan-out.
async fn join(tx: &DatabaseTransaction, fan_out: Uuid, runs: &[(Uuid, i64)]) -> Result<(), DbErr> {
    let dialect = Dialect::of(tx);
    let [ids, numbers] = dialect.pairs(runs);
    let sql = format!(
        "INSERT INTO fan_out_run (fan_out_id, run_id) SELECT $3, t.id FROM {} \
         WHERE true ON CONFLICT DO NOTHING",
        dialect.pairs_table()
    );
    tx.execute_raw(dialect.statement(sql, vec![ids, numbers, fan_out.into()]))
        .await?;
    Ok(())
}

fn numbers(rows: Vec<QueryResult>) -> Result<Vec<i64>, DbErr> {
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// How many runs are queued or running.
///
/// # Errors
/// Whatever the database answers.
pub async fn outstanding(db: &Database) -> Result<u64, DbErr> {
    let sql = "SELECT count(*) FROM run WHERE finished_at IS NULL";
    let dialect = Dialect::of(&db.write);
    let row = db
        .write
        .query_one_raw(dialect.statement(sql, Vec::new()))
        .await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(count.unsigned_abs())
}

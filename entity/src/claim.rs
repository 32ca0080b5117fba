//! The scheduler's side of a run's life: claim what is due, push it, reap what was lost.
//!
//! Any number of schedulers run these at once. Each transition of a run happens under its
//! provider's row lock, and the rows that another scheduler holds are passed over.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult, QueryResult};
use uuid::Uuid;

use crate::Database;
use crate::dialect::Dialect;

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

/// Claims up to `limit` due providers for the fan-out `fan_out`, which is made if it is not there
/// yet, in one transaction: each gets a queued run and a higher token. Nothing is claimed, and
/// `None` is given, if the fan-out has been sealed meanwhile.
///
/// Due means neither paused, retired nor claimed, with `next_due_at` passed. What is late in
/// proportion to its interval goes first.
///
/// # Errors
/// Whatever the database answers; nothing is claimed then.
pub async fn claim_due(
    db: &Database,
    fan_out: Uuid,
    traceparent: Option<&str>,
    limit: u64,
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
    if due.is_empty() {
        return Ok(Some(Vec::new()));
    }
    if !open_fan_out(&tx, fan_out, traceparent).await? {
        return Ok(None);
    }
    let claimed = enqueue(&tx, &due, traceparent).await?;
    join(&tx, fan_out, &claimed).await?;
    tx.commit().await?;
    Ok(Some(to_push(&claimed, traceparent)))
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

/// Gives each of the locked, unclaimed providers a queued run; pairs of run and provider.
async fn enqueue(
    tx: &DatabaseTransaction,
    providers: &[i64],
    traceparent: Option<&str>,
) -> Result<Vec<(Uuid, i64)>, DbErr> {
    let dialect = Dialect::of(tx);
    let runs: Vec<(Uuid, i64)> = providers.iter().map(|id| (Uuid::now_v7(), *id)).collect();
    let [ids, numbers] = dialect.pairs(&runs);
    let sql = format!(
        "INSERT INTO run (id, provider_id, token, state, traceparent, queued_at, next_push_at, push_count) \
         SELECT t.id, p.id, p.token + 1, 'queued', $3, {}, {}, 1 \
         FROM {} JOIN provider p ON p.id = t.number",
        dialect.now(),
        dialect.now_plus_ms(&PUSH_AGAIN_MS.to_string()),
        dialect.pairs_table()
    );
    let values = vec![ids.clone(), numbers.clone(), traceparent.into()];
    tx.execute_raw(dialect.statement(sql, values)).await?;
    let sql = format!(
        "UPDATE provider SET token = token + 1, current_run = t.id FROM {} \
         WHERE provider.id = t.number",
        dialect.pairs_table()
    );
    tx.execute_raw(dialect.statement(sql, vec![ids, numbers]))
        .await?;
    Ok(runs)
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

fn to_push(runs: &[(Uuid, i64)], traceparent: Option<&str>) -> Vec<ToPush> {
    runs.iter()
        .map(|(id, _)| ToPush {
            id: *id,
            traceparent: traceparent.map(str::to_owned),
        })
        .collect()
}

fn numbers(rows: Vec<QueryResult>) -> Result<Vec<i64>, DbErr> {
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

#[derive(FromQueryResult)]
struct Request {
    fan_out_id: Uuid,
    provider_id: i64,
    traceparent: Option<String>,
}

/// Takes up to `limit` requested syncs: a provider that is being synced already lends its run to
/// the fan-out, any other that is neither paused nor retired is claimed, due or not. A fan-out
/// whose requests are all taken is sealed. Gives the runs that are new, or `None` if nothing was
/// requested.
///
/// # Errors
/// Whatever the database answers; nothing is taken then.
pub async fn take_requests(db: &Database, limit: u64) -> Result<Option<Vec<ToPush>>, DbErr> {
    let tx = db.begin().await?;
    let dialect = Dialect::of(&tx);
    let sql = format!(
        "SELECT q.fan_out_id, q.provider_id, f.traceparent \
         FROM fan_out_request q JOIN fan_out f ON f.id = q.fan_out_id \
         ORDER BY q.fan_out_id, q.provider_id LIMIT $1 {}",
        dialect.lock_skipping("q")
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let requests = Request::find_by_statement(dialect.statement(sql, vec![limit.into()]))
        .all(&tx)
        .await?;
    if requests.is_empty() {
        return Ok(None);
    }
    let mut fan_outs: Vec<Uuid> = requests.iter().map(|request| request.fan_out_id).collect();
    fan_outs.dedup();
    let mut pushes = Vec::new();
    for fan_out in &fan_outs {
        let of_it = || {
            requests
                .iter()
                .filter(|request| request.fan_out_id == *fan_out)
        };
        let traceparent = of_it().find_map(|request| request.traceparent.clone());
        let providers: Vec<i64> = of_it().map(|request| request.provider_id).collect();
        let claimed = claim_or_join(&tx, *fan_out, traceparent.as_deref(), &providers).await?;
        pushes.extend(to_push(&claimed, traceparent.as_deref()));
    }
    seal_taken(&tx, &fan_outs).await?;
    tx.commit().await?;
    Ok(Some(pushes))
}

#[derive(FromQueryResult)]
struct Claimable {
    id: i64,
    current_run: Option<Uuid>,
}

async fn claim_or_join(
    tx: &DatabaseTransaction,
    fan_out: Uuid,
    traceparent: Option<&str>,
    providers: &[i64],
) -> Result<Vec<(Uuid, i64)>, DbErr> {
    let dialect = Dialect::of(tx);
    let sql = format!(
        "SELECT id, current_run FROM provider WHERE id {} AND retired_at IS NULL \
         AND (paused_at IS NULL OR paused_until <= {}) ORDER BY id {}",
        dialect.in_numbers("$1"),
        dialect.now(),
        dialect.lock_waiting("provider")
    );
    let list = vec![dialect.numbers(providers)];
    let locked = Claimable::find_by_statement(dialect.statement(sql, list))
        .all(tx)
        .await?;
    let free: Vec<i64> = locked
        .iter()
        .filter(|provider| provider.current_run.is_none())
        .map(|provider| provider.id)
        .collect();
    let running: Vec<(Uuid, i64)> = locked
        .iter()
        .filter_map(|provider| Some((provider.current_run?, provider.id)))
        .collect();
    let claimed = enqueue(tx, &free, traceparent).await?;
    join(tx, fan_out, &claimed).await?;
    join(tx, fan_out, &running).await?;
    let sql = format!(
        "DELETE FROM fan_out_request WHERE fan_out_id = $1 AND provider_id {}",
        dialect.in_numbers("$2")
    );
    let values = vec![fan_out.into(), dialect.numbers(providers)];
    tx.execute_raw(dialect.statement(sql, values)).await?;
    Ok(claimed)
}

async fn seal_taken(tx: &DatabaseTransaction, fan_outs: &[Uuid]) -> Result<(), DbErr> {
    let dialect = Dialect::of(tx);
    let sql = format!(
        "UPDATE fan_out SET sealed_at = {} WHERE id {} AND sealed_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM fan_out_request q WHERE q.fan_out_id = fan_out.id)",
        dialect.now(),
        dialect.in_ids("$1")
    );
    tx.execute_raw(dialect.statement(sql, vec![dialect.ids(fan_outs)]))
        .await?;
    Ok(())
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

/// What a run can wait for besides a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share<'a> {
    /// One of a host's fetches at once.
    Of(&'a str),
    /// A worker that holds no other suspect.
    Suspect,
}

/// Milliseconds until a run that was handed a share is pushed again. The first push changes nothing
/// if the worker that has just postponed the run still holds its job, and then acknowledges it.
const HANDED_ON_AGAIN_MS: i64 = 1_000;

/// The run that has waited longest for a share, now that one is free: the caller pushes it.
///
/// # Errors
/// Whatever the database answers.
pub async fn hand_on(db: &Database, share: Share<'_>) -> Result<Option<ToPush>, DbErr> {
    let dialect = Dialect::of(&db.write);
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
        .one(&db.write)
        .await
}

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
        "UPDATE provider SET paused_at = {}, paused_until = NULL, paused_reason = $2 WHERE id {}",
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
    let runs = enqueue(tx, &providers, None).await?;
    let by_provider: HashMap<i64, Uuid> = runs.iter().map(|(run, id)| (*id, *run)).collect();
    let dialect = Dialect::of(tx);
    let mut pushes = Vec::new();
    for lost in again {
        let run = by_provider[&lost.provider_id];
        let sql = "INSERT INTO fan_out_run (fan_out_id, run_id) \
                   SELECT m.fan_out_id, $1 FROM fan_out_run m JOIN fan_out f ON f.id = m.fan_out_id \
                   WHERE m.run_id = $2 AND f.closed_at IS NULL";
        tx.execute_raw(dialect.statement(sql, vec![run.into(), lost.id.into()]))
            .await?;
        let sql = "UPDATE run SET traceparent = $2 WHERE id = $1";
        let values = vec![run.into(), lost.traceparent.clone().into()];
        tx.execute_raw(dialect.statement(sql, values)).await?;
        pushes.push(ToPush {
            id: run,
            traceparent: lost.traceparent.clone(),
        });
    }
    Ok(pushes)
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

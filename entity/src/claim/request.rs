//! Syncs that someone asked for: claimed whether they are due or not, or joined if they are on.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, FromQueryResult};
use uuid::Uuid;

use super::trace::{FanOut, Trace, of_fan_out};
use super::{Enqueued, ToPush, enqueue, join};
use crate::Database;
use crate::dialect::Dialect;

#[derive(FromQueryResult)]
struct Request {
    fan_out_id: Uuid,
    provider_id: i64,
    traceparent: Option<String>,
    accept_gone: bool,
}

/// [`take_requests_traced`] for fan-outs whose runs have their own trace context.
///
/// # Errors
/// Whatever the database answers; nothing is taken then.
pub async fn take_requests(db: &Database, limit: u64) -> Result<Option<Vec<ToPush>>, DbErr> {
    take_requests_traced(db, limit, &mut of_fan_out).await
}

/// Takes up to `limit` requested syncs: a provider that is being synced already lends its run to
/// the fan-out, any other that is neither paused nor retired is claimed, due or not. One that is to
/// accept what is gone waits until a run under way without that leave is over. A fan-out whose
/// requests are all taken is sealed. Gives the runs that are new, each with the trace context that
/// `trace` gave it, or `None` if nothing was requested.
///
/// # Errors
/// Whatever the database answers; nothing is taken then.
pub async fn take_requests_traced(
    db: &Database,
    limit: u64,
    trace: &mut Trace<'_>,
) -> Result<Option<Vec<ToPush>>, DbErr> {
    let tx = db.begin().await?;
    let dialect = Dialect::of(&tx);
    let sql = format!(
        "SELECT q.fan_out_id, q.provider_id, f.traceparent, q.accept_gone \
         FROM fan_out_request q JOIN fan_out f ON f.id = q.fan_out_id \
         WHERE NOT (q.accept_gone AND EXISTS (SELECT 1 FROM run r \
             WHERE r.provider_id = q.provider_id AND r.finished_at IS NULL \
             AND r.state = 'running' AND NOT r.accept_gone)) \
         ORDER BY q.fan_out_id, q.provider_id LIMIT $1 {}",
        dialect.lock_skipping("q")
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let requests = Request::find_by_statement(dialect.statement(sql, vec![limit.into()]))
        .all(&tx)
        .await?;
    if requests.is_empty() {
        tx.rollback().await?;
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
        let accept_gone = of_it().any(|request| request.accept_gone);
        let wanted = Wanted {
            fan_out: *fan_out,
            traceparent: traceparent.as_deref(),
            providers: &providers,
            accept_gone,
        };
        let claimed = claim_or_join(&tx, &wanted, trace).await?;
        pushes.extend(claimed.into_pushes());
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

/// What one fan-out is asked for, or a part of it; all of it with or without `accept_gone`.
struct Wanted<'a> {
    fan_out: Uuid,
    traceparent: Option<&'a str>,
    providers: &'a [i64],
    accept_gone: bool,
}

async fn claim_or_join(
    tx: &DatabaseTransaction,
    wanted: &Wanted<'_>,
    trace: &mut Trace<'_>,
) -> Result<Enqueued, DbErr> {
    let dialect = Dialect::of(tx);
    let sql = format!(
        "SELECT id, current_run FROM provider WHERE id {} AND retired_at IS NULL \
         AND (paused_at IS NULL OR paused_until <= {}) ORDER BY id {}",
        dialect.in_numbers("$1"),
        dialect.now(),
        dialect.lock_waiting("provider")
    );
    let list = vec![dialect.numbers(wanted.providers)];
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
    let fan_out = FanOut {
        id: wanted.fan_out,
        traceparent: wanted.traceparent,
        runs: members_of(tx, wanted.fan_out).await?,
    };
    let claimed = enqueue(tx, &free, &mut fan_out.traces(trace)).await?;
    let waits = if wanted.accept_gone {
        let runs = claimed.runs.iter().chain(&running);
        let runs: Vec<Uuid> = runs.map(|run| run.0).collect();
        give_leave(tx, &runs).await?
    } else {
        Vec::new()
    };
    let (members, providers) = members(wanted, &claimed.runs, &running, &waits);
    join(tx, wanted.fan_out, &members).await?;
    let sql = format!(
        "DELETE FROM fan_out_request WHERE fan_out_id = $1 AND provider_id {}",
        dialect.in_numbers("$2")
    );
    let values = vec![wanted.fan_out.into(), dialect.numbers(&providers)];
    tx.execute_raw(dialect.statement(sql, values)).await?;
    Ok(claimed)
}

/// How many runs a fan-out has. What another scheduler is adding at this moment is not seen.
async fn members_of(tx: &DatabaseTransaction, fan_out: Uuid) -> Result<u64, DbErr> {
    let sql = "SELECT count(*) FROM fan_out_run WHERE fan_out_id = $1";
    let statement = Dialect::of(tx).statement(sql, vec![fan_out.into()]);
    let row = tx.query_one_raw(statement).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(count.unsigned_abs())
}

/// The runs that belong to the fan-out now, and the providers whose requests are taken. `waits` are
/// runs that have begun without the leave that is wanted: their providers' requests stand.
fn members(
    wanted: &Wanted<'_>,
    claimed: &[(Uuid, i64)],
    running: &[(Uuid, i64)],
    waits: &[Uuid],
) -> (Vec<(Uuid, i64)>, Vec<i64>) {
    let waiting: Vec<i64> = running
        .iter()
        .filter(|(run, _)| waits.contains(run))
        .map(|(_, provider)| *provider)
        .collect();
    let members = claimed.iter().chain(running).copied();
    let providers = wanted.providers.iter().copied();
    (
        members.filter(|(run, _)| !waits.contains(run)).collect(),
        providers.filter(|id| !waiting.contains(id)).collect(),
    )
}

/// Gives runs that have not begun the leave to take for gone what their feeds lack; returns those
/// that have begun without it.
async fn give_leave(tx: &DatabaseTransaction, runs: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    let dialect = Dialect::of(tx);
    let sql = format!(
        "UPDATE run SET accept_gone = true WHERE state = 'queued' AND id {}",
        dialect.in_ids("$1")
    );
    tx.execute_raw(dialect.statement(sql, vec![dialect.ids(runs)]))
        .await?;
    let sql = format!(
        "SELECT id FROM run WHERE NOT accept_gone AND id {}",
        dialect.in_ids("$1")
    );
    let rows = tx
        .query_all_raw(dialect.statement(sql, vec![dialect.ids(runs)]))
        .await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
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

//! The worker's side of a run's life until its outcome: begin, renew, hand back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter,
    QueryResult,
};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::host::{self, Admission, Politeness};
use crate::run::Postponed;
use crate::{Database, provider, run};

/// A run that a worker holds. Every write of the run names all three of run, worker and token: a
/// worker that was taken for dead, or was handed the job twice, finds no such row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which run.
    pub run: Uuid,
    /// Its provider.
    pub provider_id: i64,
    /// The token under which it was begun.
    pub token: i64,
    /// Who holds it.
    pub worker: String,
}

/// A run that has just begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// What its writes have to show.
    pub held: Held,
    /// Its provider, as of now.
    pub provider: provider::Model,
    /// The database's time at the beginning.
    pub at: DateTime<Utc>,
    /// When it was claimed.
    pub queued_at: DateTime<Utc>,
    /// How long it has been since then, by the database's clock: whatever the machines' clocks say.
    pub queued_for: Duration,
    /// Whether other runs may be waiting for its share of the host.
    pub shares_host: bool,
    /// Whether what its feed lacks is gone, however much it is.
    pub accept_gone: bool,
}

/// What a worker asks for when it begins a run.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Who.
    pub worker: &'a str,
    /// For how long it is believed without a sign of life.
    pub lease: Duration,
    /// How its fetches treat hosts.
    pub politeness: Politeness,
    /// Whether it holds a run already whose provider may have killed its last worker.
    pub holds_suspect: bool,
}

/// What came of it.
#[derive(Debug)]
pub enum Begin {
    /// The run is the worker's.
    Begun(Box<Begun>),
    /// The run waits in the queue until a time, at which it is pushed again.
    Postponed(Postponed),
    /// There is nothing to begin, because the run is begun, over, cancelled or unknown: the job is
    /// of no more use.
    Stale,
}

#[derive(FromQueryResult)]
struct Candidate {
    provider_id: i64,
    name: String,
    neighbours: i64,
    left_alone_ms: Option<i64>,
    suspect: bool,
}

/// Begins a queued run under a lease, unless its host or its provider's past speak against it; then
/// the run stays queued until it has better chances, and holds no slot.
///
/// # Errors
/// Whatever the database answers.
pub async fn begin(db: &Database, run: Uuid, ask: Ask<'_>) -> Result<Begin, DbErr> {
    let Some(candidate) = candidate(db, run, ask.politeness).await? else {
        return Ok(Begin::Stale);
    };
    if let Some(wait) = candidate.left_alone_ms {
        return postpone(&db.write, run, Postponed::RetryAfter, wait).await;
    }
    if candidate.suspect && ask.holds_suspect {
        return postpone(&db.write, run, Postponed::Suspect, SUSPECT_WAIT_MS).await;
    }
    let shares_host = candidate.neighbours > i64::from(ask.politeness.concurrency);
    if !shares_host && ask.politeness.gap.is_zero() {
        return start(&db.write, run, &candidate, ask, false).await;
    }
    let tx = db.begin().await?;
    let begin = match host::admit(&tx, &candidate.name, ask.politeness).await? {
        Admission::Granted => start(&tx, run, &candidate, ask, shares_host).await?,
        Admission::Later(reason, wait) => postpone(&tx, run, reason, wait).await?,
    };
    tx.commit().await?;
    Ok(begin)
}

/// How long a run waits if nobody hands it on before that: a suspect for a worker that holds none.
const SUSPECT_WAIT_MS: i64 = 1_000;

async fn candidate(
    db: &Database,
    run: Uuid,
    politeness: Politeness,
) -> Result<Option<Candidate>, DbErr> {
    let dialect = Dialect::of(&db.write);
    // Neighbours are counted no further than it takes to know whether the limit can be met.
    let sql = format!(
        "SELECT r.provider_id, p.host AS name, p.consecutive_crashes > 0 AS suspect, \
         (SELECT count(*) FROM (SELECT 1 FROM provider n WHERE n.host = p.host \
              AND n.retired_at IS NULL LIMIT $2) AS few) AS neighbours, \
         (SELECT {} FROM host h WHERE h.name = p.host AND h.not_before > {}) AS left_alone_ms \
         FROM run r JOIN provider p ON p.id = r.provider_id \
         WHERE r.id = $1 AND r.state = 'queued'",
        dialect.ms_until("h.not_before"),
        dialect.now()
    );
    let values = vec![run.into(), (i64::from(politeness.concurrency) + 1).into()];
    Candidate::find_by_statement(dialect.statement(sql, values))
        .one(&db.write)
        .await
}

#[derive(FromQueryResult)]
struct Started {
    token: i64,
    queued_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
    accept_gone: bool,
}

async fn start(
    db: &impl ConnectionTrait,
    run: Uuid,
    candidate: &Candidate,
    ask: Ask<'_>,
    shares_host: bool,
) -> Result<Begin, DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!(
        "UPDATE run SET state = 'running', worker = $2, started_at = {}, lease_until = {}, \
         next_push_at = NULL, postponed_for = NULL WHERE id = $1 AND state = 'queued' \
         RETURNING token, queued_at, started_at, accept_gone",
        dialect.now(),
        dialect.now_plus_ms("$3")
    );
    let values = vec![run.into(), ask.worker.into(), millis(ask.lease).into()];
    let Some(started) = Started::find_by_statement(dialect.statement(sql, values))
        .one(db)
        .await?
    else {
        return Ok(Begin::Stale);
    };
    let provider = provider::Entity::find_by_id(candidate.provider_id)
        .one(db)
        .await?;
    // A provider that was purged in between took its run with it.
    Ok(provider.map_or(Begin::Stale, |provider| {
        Begin::Begun(Box::new(Begun {
            held: Held {
                run,
                provider_id: candidate.provider_id,
                token: started.token,
                worker: ask.worker.to_owned(),
            },
            provider,
            at: started.started_at,
            queued_at: started.queued_at,
            queued_for: between(started.queued_at, started.started_at),
            shares_host,
            accept_gone: started.accept_gone,
        }))
    }))
}

async fn postpone(
    db: &impl ConnectionTrait,
    run: Uuid,
    reason: Postponed,
    wait_ms: i64,
) -> Result<Begin, DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!(
        "UPDATE run SET next_push_at = {}, push_count = 0, postponed_for = $3 \
         WHERE id = $1 AND state = 'queued'",
        dialect.now_plus_ms("$2")
    );
    let values = vec![run.into(), wait_ms.into(), reason.to_value().into()];
    let postponed = db.execute_raw(dialect.statement(sql, values)).await?;
    Ok(if postponed.rows_affected() == 1 {
        Begin::Postponed(reason)
    } else {
        Begin::Stale
    })
}

/// Extends the leases of those of `runs` that `worker` holds, in one statement, and gives run and
/// token of each. A run that is missing from it is no longer the worker's.
///
/// A run that is amid its commit is passed over: to wait for it would cost the others their leases,
/// and the reaper passes it over as well.
///
/// A run that the worker holds and does not name is left to the reaper: the worker does not know
/// that it began it, because the answer was lost.
///
/// # Errors
/// Whatever the database answers.
pub async fn renew(
    db: &Database,
    worker: &str,
    runs: &[Uuid],
    lease: Duration,
) -> Result<Vec<(Uuid, i64)>, DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = format!(
        "WITH free AS MATERIALIZED ( \
             SELECT id FROM run WHERE worker = $1 AND state = 'running' AND id {} {}) \
         UPDATE run SET lease_until = {} WHERE id IN (SELECT id FROM free)",
        dialect.in_ids("$3"),
        dialect.lock_skipping("run"),
        dialect.now_plus_ms("$2")
    );
    let values = vec![worker.into(), millis(lease).into(), dialect.ids(runs)];
    db.write.execute_raw(dialect.statement(sql, values)).await?;
    let mut held = held(db, worker).await?;
    held.retain(|(run, _)| runs.contains(run));
    Ok(held)
}

/// Run and token of each run that `worker` holds, without a sign of life.
///
/// # Errors
/// Whatever the database answers.
pub async fn held(db: &Database, worker: &str) -> Result<Vec<(Uuid, i64)>, DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = "SELECT id, token FROM run WHERE worker = $1 AND state = 'running'";
    let statement = dialect.statement(sql, vec![worker.into()]);
    tokens(db.write.query_all_raw(statement).await?)
}

fn tokens(rows: Vec<QueryResult>) -> Result<Vec<(Uuid, i64)>, DbErr> {
    rows.iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect()
}

/// Tells whether `worker` holds a run: for one that asked to begin it and got no answer.
///
/// # Errors
/// Whatever the database answers.
pub async fn of(db: &Database, run: Uuid, worker: &str) -> Result<Option<Held>, DbErr> {
    let row = run::Entity::find_by_id(run)
        .filter(run::Column::Worker.eq(worker))
        .filter(run::Column::State.eq(run::State::Running))
        .one(&db.write)
        .await?;
    Ok(row.map(|row| Held {
        run,
        provider_id: row.provider_id,
        token: row.token,
        worker: worker.to_owned(),
    }))
}

/// Puts a run back to the queue, unfinished, under a higher token; the caller pushes it. False: it
/// was no longer the worker's.
///
/// # Errors
/// Whatever the database answers.
pub async fn hand_back(db: &Database, held: &Held) -> Result<bool, DbErr> {
    const PUSH_WAIT_MS: i64 = 10_000;
    put_back(db, held, None, PUSH_WAIT_MS).await
}

/// Puts a run that should not have begun yet back to the queue, under a higher token: for what
/// [`begin`] could not see, such as another run that began at the same moment. False: it was no
/// longer the worker's.
///
/// # Errors
/// Whatever the database answers.
pub async fn put_off(db: &Database, held: &Held, reason: Postponed) -> Result<bool, DbErr> {
    put_back(db, held, Some(reason), SUSPECT_WAIT_MS).await
}

async fn put_back(
    db: &Database,
    held: &Held,
    reason: Option<Postponed>,
    wait_ms: i64,
) -> Result<bool, DbErr> {
    let tx = db.begin().await?;
    let dialect = Dialect::of(&tx);
    let sql = "UPDATE provider SET token = token + 1 \
               WHERE id = $1 AND current_run = $2 AND token = $3";
    let values = vec![held.provider_id.into(), held.run.into(), held.token.into()];
    let provider = tx.execute_raw(dialect.statement(sql, values)).await?;
    let sql = format!(
        "UPDATE run SET state = 'queued', token = token + 1, worker = NULL, lease_until = NULL, \
         started_at = NULL, next_push_at = {}, push_count = 0, postponed_for = $5 \
         WHERE id = $1 AND state = 'running' AND worker = $2 AND token = $3",
        dialect.now_plus_ms("$4")
    );
    let values = vec![
        held.run.into(),
        held.worker.clone().into(),
        held.token.into(),
        wait_ms.into(),
        reason.map(|reason| reason.to_value()).into(),
    ];
    let run = tx.execute_raw(dialect.statement(sql, values)).await?;
    if provider.rows_affected() != 1 || run.rows_affected() != 1 {
        tx.rollback().await?;
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

/// Nothing, if the database's clock was set back meanwhile.
pub(crate) fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    (to - from).to_std().unwrap_or_default()
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

//! The worker's side of a run's life until its outcome: begin, renew, hand back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult};
use uuid::Uuid;

use crate::dialect::Dialect;
use crate::{Database, provider};

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
}

#[derive(FromQueryResult)]
struct BegunRow {
    provider_id: i64,
    token: i64,
    queued_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
}

/// Begins a queued run for `worker` under a lease. `None`: there is nothing to begin, because the
/// run is begun, over, cancelled or unknown; the job is then of no more use.
///
/// # Errors
/// Whatever the database answers.
pub async fn begin(
    db: &Database,
    run: Uuid,
    worker: &str,
    lease: Duration,
) -> Result<Option<Begun>, DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = format!(
        "UPDATE run SET state = 'running', worker = $2, started_at = {}, lease_until = {}, \
         next_push_at = NULL WHERE id = $1 AND state = 'queued' \
         RETURNING provider_id, token, queued_at, started_at",
        dialect.now(),
        dialect.now_plus_ms("$3")
    );
    let values = vec![run.into(), worker.into(), millis(lease).into()];
    let Some(row) = BegunRow::find_by_statement(dialect.statement(sql, values))
        .one(&db.write)
        .await?
    else {
        return Ok(None);
    };
    let provider = provider::Entity::find_by_id(row.provider_id)
        .one(&db.write)
        .await?;
    // A provider that was purged in between took its run with it.
    Ok(provider.map(|provider| Begun {
        held: Held {
            run,
            provider_id: row.provider_id,
            token: row.token,
            worker: worker.to_owned(),
        },
        provider,
        at: row.started_at,
        queued_at: row.queued_at,
    }))
}

/// Extends the lease of every run that `worker` holds, in one statement, and gives run and token
/// of each. A run that is missing from it is no longer the worker's.
///
/// # Errors
/// Whatever the database answers.
pub async fn renew(
    db: &Database,
    worker: &str,
    lease: Duration,
) -> Result<Vec<(Uuid, i64)>, DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = format!(
        "UPDATE run SET lease_until = {} WHERE worker = $1 AND state = 'running' \
         RETURNING id, token",
        dialect.now_plus_ms("$2")
    );
    let values = vec![worker.into(), millis(lease).into()];
    let rows = db
        .write
        .query_all_raw(dialect.statement(sql, values))
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect()
}

/// Puts a run back to the queue, unfinished, under a higher token; the caller pushes it. False: it
/// was no longer the worker's.
///
/// # Errors
/// Whatever the database answers.
pub async fn hand_back(db: &Database, held: &Held) -> Result<bool, DbErr> {
    let tx = db.begin().await?;
    let dialect = Dialect::of(&tx);
    let sql = "UPDATE provider SET token = token + 1 \
               WHERE id = $1 AND current_run = $2 AND token = $3";
    let values = vec![held.provider_id.into(), held.run.into(), held.token.into()];
    let provider = tx.execute_raw(dialect.statement(sql, values)).await?;
    let sql = format!(
        "UPDATE run SET state = 'queued', token = token + 1, worker = NULL, lease_until = NULL, \
         started_at = NULL, next_push_at = {} \
         WHERE id = $1 AND state = 'running' AND worker = $2 AND token = $3",
        dialect.now_plus_ms("10000")
    );
    let values = vec![
        held.run.into(),
        held.worker.clone().into(),
        held.token.into(),
    ];
    let run = tx.execute_raw(dialect.statement(sql, values)).await?;
    if provider.rows_affected() != 1 || run.rows_affected() != 1 {
        tx.rollback().await?;
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

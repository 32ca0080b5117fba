//! Why a provider is or is not being synced now: everything that speaks for or against it.

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseConnection, DbErr, EntityTrait, FromQueryResult};
use serde::Serialize;

use crate::dialect::Dialect;
use crate::{provider, run};

/// A provider's circumstances, by the database's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Circumstances {
    /// The database's time.
    pub now: DateTime<Utc>,
    /// The provider.
    pub provider: provider::Model,
    /// Its open run, if it is claimed.
    pub run: Option<run::Model>,
    /// The last sign of life of the worker that holds the run.
    pub worker_seen_at: Option<DateTime<Utc>>,
    /// Its host.
    pub host: Host,
    /// Its latest runs, newest first.
    pub latest: Vec<run::Model>,
}

/// What is known of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromQueryResult, Serialize)]
pub struct Host {
    /// Runs that are running there now, of all its providers.
    pub running: i64,
    /// When a fetch last started there, as far as it shares the host with others.
    pub started_at: Option<DateTime<Utc>>,
    /// Until when it wants to be left alone.
    pub not_before: Option<DateTime<Utc>>,
}

#[derive(FromQueryResult)]
struct Moment {
    now: DateTime<Utc>,
    worker_seen_at: Option<DateTime<Utc>>,
}

const LATEST: u64 = 5;

/// Looks a provider's circumstances up.
///
/// # Errors
/// Whatever the database answers.
pub async fn circumstances(
    db: &DatabaseConnection,
    provider: provider::Model,
) -> Result<Circumstances, DbErr> {
    let dialect = Dialect::of(db);
    let run = match provider.current_run {
        Some(id) => run::Entity::find_by_id(id).one(db).await?,
        None => None,
    };
    let sql = "SELECT (SELECT count(*) FROM run r JOIN provider p ON p.id = r.provider_id \
               WHERE r.state = 'running' AND p.host = $1) AS running, \
               (SELECT started_at FROM host WHERE name = $1) AS started_at, \
               (SELECT not_before FROM host WHERE name = $1) AS not_before";
    let host = Host::find_by_statement(dialect.statement(sql, vec![provider.host.clone().into()]))
        .one(db)
        .await?;
    let worker = run.as_ref().and_then(|run| run.worker.clone());
    let sql = format!(
        "SELECT {} AS now, (SELECT seen_at FROM worker WHERE name = $1) AS worker_seen_at",
        dialect.now()
    );
    let moment = Moment::find_by_statement(dialect.statement(sql, vec![worker.into()]))
        .one(db)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the database tells no time".to_owned()))?;
    Ok(Circumstances {
        now: moment.now,
        worker_seen_at: moment.worker_seen_at,
        run,
        host: host.unwrap_or_default(),
        latest: run::latest(db, provider.id, LATEST).await?,
        provider,
    })
}

//! Runs: one attempt each to sync one provider, and their states.

use std::fmt;

use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseConnection, FromQueryResult, QueryOrder, QuerySelect};
use serde::Serialize;

use crate::dialect::{Dialect, columns};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Claimed by a scheduler and pushed; no worker has begun it.
    #[sea_orm(string_value = "queued")]
    Queued,
    /// A worker holds it under a lease.
    #[sea_orm(string_value = "running")]
    Running,
    /// It has an outcome, for ever.
    #[sea_orm(string_value = "finished")]
    Finished,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The feed was read and what changed is stored.
    #[sea_orm(string_value = "stored")]
    Stored,
    /// The feed says what it said before.
    #[sea_orm(string_value = "unchanged")]
    Unchanged,
    /// The feed could not be had or read; the error says why.
    #[sea_orm(string_value = "failed")]
    Failed,
    /// Its provider was paused or removed meanwhile.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
    /// Its worker found out that it was no longer its own, and wrote nothing.
    #[sea_orm(string_value = "fenced")]
    Fenced,
    /// Its worker gave no sign of life for a whole lease.
    #[sea_orm(string_value = "lost")]
    Lost,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_value())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_value())
    }
}

/// Why a queued run waits although a worker would have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum Postponed {
    /// Its host has as many fetches at once as it may.
    #[sea_orm(string_value = "host_limit")]
    HostLimit,
    /// The last fetch of its host started too short a time ago.
    #[sea_orm(string_value = "host_gap")]
    HostGap,
    /// Its host asked to be left alone.
    #[sea_orm(string_value = "retry_after")]
    RetryAfter,
    /// Its provider may have killed its last worker, and this one holds another such already.
    #[sea_orm(string_value = "suspect")]
    Suspect,
}

/// A run's row. Durations in milliseconds, `bytes` of the body, decompressed; counts by reason as an
/// object.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "run")]
#[expect(
    missing_docs,
    reason = "the columns are told where the table is laid out"
)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub provider_id: i64,
    pub token: i64,
    pub state: State,
    pub outcome: Option<Outcome>,
    pub traceparent: Option<String>,
    pub queued_at: DateTimeUtc,
    pub next_push_at: Option<DateTimeUtc>,
    pub push_count: i64,
    pub postponed_for: Option<Postponed>,
    pub started_at: Option<DateTimeUtc>,
    pub finished_at: Option<DateTimeUtc>,
    pub lease_until: Option<DateTimeUtc>,
    pub worker: Option<String>,
    pub http_status: Option<i64>,
    pub bytes: Option<i64>,
    pub events_new: i64,
    pub events_changed: i64,
    pub events_unchanged: i64,
    pub events_gone: i64,
    pub events_returned: i64,
    pub events_held: i64,
    pub set_aside: i64,
    pub warnings: i64,
    pub fetch_ms: Option<i64>,
    pub parse_ms: Option<i64>,
    pub compare_ms: Option<i64>,
    pub store_ms: Option<i64>,
    pub error: Option<String>,
    pub accept_gone: bool,
    pub wire_bytes: Option<i64>,
    pub set_aside_reasons: Option<Json>,
    pub warning_reasons: Option<Json>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
#[expect(missing_docs, reason = "no relations are followed")]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A run as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromQueryResult)]
pub struct Listed {
    /// Its provider's name.
    pub provider: String,
    /// The run.
    #[sea_orm(nested)]
    #[serde(flatten)]
    pub run: Model,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this provider only.
    pub provider: Option<String>,
    /// Only those that are queued or running.
    pub open: bool,
    /// At most so many.
    pub limit: i64,
}

/// Runs, newest first.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(db: &DatabaseConnection, filter: &Filter) -> Result<Vec<Listed>, DbErr> {
    let dialect = Dialect::of(db);
    let open = if filter.open {
        "AND r.finished_at IS NULL"
    } else {
        ""
    };
    let (provider, mut values) = match &filter.provider {
        Some(name) => ("AND p.name = $2", vec![name.clone().into()]),
        None => ("", Vec::new()),
    };
    values.insert(0, filter.limit.into());
    let run = columns::<Column>("r");
    let sql = format!(
        "SELECT p.name AS provider, {run} FROM run r JOIN provider p ON p.id = r.provider_id \
         WHERE true {open} {provider} ORDER BY r.queued_at DESC, r.id DESC LIMIT $1"
    );
    Listed::find_by_statement(dialect.statement(sql, values))
        .all(db)
        .await
}

/// The run of that id.
///
/// # Errors
/// Whatever the database answers.
pub async fn by_id(db: &DatabaseConnection, id: Uuid) -> Result<Option<Listed>, DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!(
        "SELECT p.name AS provider, {} FROM run r JOIN provider p ON p.id = r.provider_id \
         WHERE r.id = $1",
        columns::<Column>("r")
    );
    Listed::find_by_statement(dialect.statement(sql, vec![id.into()]))
        .one(db)
        .await
}

/// The newest runs of a provider, newest first.
///
/// # Errors
/// Whatever the database answers.
pub async fn latest(
    db: &DatabaseConnection,
    provider_id: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::ProviderId.eq(provider_id))
        .order_by_desc(Column::QueuedAt)
        .limit(limit)
        .all(db)
        .await
}

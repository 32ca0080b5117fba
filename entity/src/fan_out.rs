//! Fan-outs: the runs that one tick, or one person, asked for; each one closes in the end.

use std::time::Duration;

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, DatabaseConnection, FromQueryResult};
use serde::Serialize;

use crate::Database;
use crate::dialect::Dialect;
use crate::lease::between;

/// What asked for a fan-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A scheduler found providers due.
    #[sea_orm(string_value = "tick")]
    Tick,
    /// An operator, on the command line.
    #[sea_orm(string_value = "command")]
    Command,
    /// An operator, over HTTP.
    #[sea_orm(string_value = "api")]
    Api,
}

impl Trigger {
    /// As it is stored and told: `tick`, `command` or `api`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Command => "command",
            Self::Api => "api",
        }
    }
}

/// A fan-out's row.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "fan_out")]
#[expect(
    missing_docs,
    reason = "the columns are told where the table is laid out"
)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub trigger: Trigger,
    pub traceparent: Option<String>,
    pub started_at: DateTimeUtc,
    pub sealed_at: Option<DateTimeUtc>,
    pub closed_at: Option<DateTimeUtc>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
#[expect(missing_docs, reason = "no relations are followed")]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a fan-out is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// By whom.
    pub trigger: Trigger,
    /// The trace that it belongs to.
    pub traceparent: Option<&'a str>,
    /// Whose feeds.
    pub providers: &'a [i64],
    /// Whether what their feeds lack is gone, however much it is.
    pub accept_gone: bool,
}

/// Asks the schedulers for a sync of each provider now, and gives the fan-out's id.
///
/// # Errors
/// Whatever the database answers.
pub async fn request(db: &Database, request: Request<'_>) -> Result<Uuid, DbErr> {
    let id = Uuid::now_v7();
    let tx = db.begin().await?;
    let dialect = Dialect::of(&tx);
    let now = dialect.now();
    let sql = format!(
        "INSERT INTO fan_out (id, trigger, traceparent, started_at) VALUES ($1, $2, $3, {now})"
    );
    let values = vec![
        id.into(),
        request.trigger.to_value().into(),
        request.traceparent.into(),
    ];
    tx.execute_raw(dialect.statement(sql, values)).await?;
    let sql = format!(
        "INSERT INTO fan_out_request (fan_out_id, provider_id, accept_gone) \
         SELECT $1, id, $3 FROM provider WHERE id {}",
        dialect.in_numbers("$2")
    );
    let values = vec![
        id.into(),
        dialect.numbers(request.providers),
        request.accept_gone.into(),
    ];
    tx.execute_raw(dialect.statement(sql, values)).await?;
    tx.commit().await?;
    Ok(id)
}

/// How far a fan-out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult, Serialize)]
pub struct Progress {
    /// Providers that no scheduler has taken up yet.
    pub waiting: i64,
    /// Runs that are queued or running.
    pub open: i64,
    /// Runs that ended with their feed stored, or found unchanged.
    pub succeeded: i64,
    /// Runs that failed.
    pub failed: i64,
    /// Runs whose provider was paused or removed meanwhile.
    pub cancelled: i64,
    /// Runs that were lost with their worker; another member took over from each, unless its
    /// provider was paused.
    pub lost: i64,
    /// Events that changed: new, changed, gone and returned.
    pub changes: i64,
    /// Events that feeds lack and that are held, see [`crate::commit::Counts::held`].
    pub held: i64,
    /// Whether it is over.
    pub closed: bool,
}

/// Tells how far a fan-out is; `None` if there is none of that id.
///
/// # Errors
/// Whatever the database answers.
pub async fn progress(db: &DatabaseConnection, id: Uuid) -> Result<Option<Progress>, DbErr> {
    let dialect = Dialect::of(db);
    let sql = "SELECT \
         (SELECT count(*) FROM fan_out_request q WHERE q.fan_out_id = f.id) AS waiting, \
         count(CASE WHEN r.state <> 'finished' THEN 1 END) AS open, \
         count(CASE WHEN r.outcome IN ('stored', 'unchanged') THEN 1 END) AS succeeded, \
         count(CASE WHEN r.outcome = 'failed' THEN 1 END) AS failed, \
         count(CASE WHEN r.outcome = 'cancelled' THEN 1 END) AS cancelled, \
         count(CASE WHEN r.outcome = 'lost' THEN 1 END) AS lost, \
         CAST(coalesce(sum(r.events_new + r.events_changed + r.events_gone + r.events_returned), 0) \
              AS bigint) AS changes, \
         CAST(coalesce(sum(r.events_held), 0) AS bigint) AS held, \
         f.closed_at IS NOT NULL AS closed \
         FROM fan_out f \
         LEFT JOIN fan_out_run m ON m.fan_out_id = f.id \
         LEFT JOIN run r ON r.id = m.run_id \
         WHERE f.id = $1 GROUP BY f.id, f.closed_at";
    Progress::find_by_statement(dialect.statement(sql, vec![id.into()]))
        .one(db)
        .await
}

/// A member of a fan-out that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult, Serialize)]
pub struct Failure {
    /// The provider's name.
    pub provider: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// The members that failed, by provider, `limit` at most.
///
/// # Errors
/// Whatever the database answers.
pub async fn failures(
    db: &DatabaseConnection,
    id: Uuid,
    limit: i64,
) -> Result<Vec<Failure>, DbErr> {
    let dialect = Dialect::of(db);
    let sql = "SELECT p.name AS provider, r.error AS error \
         FROM fan_out_run m JOIN run r ON r.id = m.run_id JOIN provider p ON p.id = r.provider_id \
         WHERE m.fan_out_id = $1 AND r.outcome = 'failed' ORDER BY p.name LIMIT $2";
    Failure::find_by_statement(dialect.statement(sql, vec![id.into(), limit.into()]))
        .all(db)
        .await
}

/// Says that a tick has claimed all that it will.
///
/// # Errors
/// Whatever the database answers.
pub async fn seal(db: &Database, id: Uuid) -> Result<(), DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = format!(
        "UPDATE fan_out SET sealed_at = {} WHERE id = $1 AND sealed_at IS NULL",
        dialect.now()
    );
    db.write
        .execute_raw(dialect.statement(sql, vec![id.into()]))
        .await?;
    Ok(())
}

/// A fan-out whose last run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub id: Uuid,
    /// What asked for it.
    pub trigger: Trigger,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// From its beginning until its last run ended, by the database's clock; until it was sealed, if it has
    /// no run.
    pub duration: Duration,
    /// How long ago that was, by the same clock.
    pub ended_ago: Duration,
    /// Its members.
    pub runs: u64,
    /// Those of them that failed.
    pub failed: u64,
}

#[derive(FromQueryResult)]
struct ClosedRow {
    id: Uuid,
    trigger: Trigger,
    traceparent: Option<String>,
    started_at: DateTimeUtc,
    sealed_at: DateTimeUtc,
    closed_at: DateTimeUtc,
    ended_at: Option<DateTimeUtc>,
    runs: i64,
    failed: i64,
}

impl From<ClosedRow> for Closed {
    fn from(row: ClosedRow) -> Self {
        let ended_at = row.ended_at.unwrap_or(row.sealed_at);
        Self {
            id: row.id,
            trigger: row.trigger,
            traceparent: row.traceparent,
            duration: between(row.started_at, ended_at),
            ended_ago: between(ended_at, row.closed_at),
            runs: row.runs.unsigned_abs(),
            failed: row.failed.unsigned_abs(),
        }
    }
}

/// As many fan-outs as one call closes.
const CLOSED_AT_ONCE: u32 = 500;

/// Seals what a scheduler left open when it died `after_ms` ago or more, and requests of which
/// nothing is left to take; then closes sealed fan-outs without an open member, 500 at most. Gives
/// those that it closed: of several callers at once, one has each.
///
/// # Errors
/// Whatever the database answers.
pub async fn close_finished(db: &Database, after_ms: i64) -> Result<Vec<Closed>, DbErr> {
    let dialect = Dialect::of(&db.write);
    let now = dialect.now();
    let sql = format!(
        "UPDATE fan_out SET sealed_at = {now} \
         WHERE sealed_at IS NULL AND closed_at IS NULL \
         AND CASE WHEN trigger = 'tick' THEN started_at < {} \
             ELSE NOT EXISTS (SELECT 1 FROM fan_out_request q WHERE q.fan_out_id = fan_out.id) END",
        dialect.now_plus_ms("-$1")
    );
    db.write
        .execute_raw(dialect.statement(sql, vec![after_ms.into()]))
        .await?;
    let members = "FROM fan_out_run m JOIN run r ON r.id = m.run_id WHERE m.fan_out_id = ";
    let sql = format!(
        "UPDATE fan_out SET closed_at = {now} \
         WHERE closed_at IS NULL AND id IN ( \
             SELECT f.id FROM fan_out f WHERE f.closed_at IS NULL AND f.sealed_at IS NOT NULL \
             AND NOT EXISTS (SELECT 1 {members} f.id AND r.finished_at IS NULL) \
             LIMIT {CLOSED_AT_ONCE}) \
         RETURNING id, trigger, traceparent, started_at, sealed_at, closed_at, \
         (SELECT max(r.finished_at) {members} fan_out.id) AS ended_at, \
         (SELECT count(*) {members} fan_out.id) AS runs, \
         (SELECT count(*) {members} fan_out.id AND r.outcome = 'failed') AS failed"
    );
    let closed = ClosedRow::find_by_statement(dialect.statement(sql, Vec::new()))
        .all(&db.write)
        .await?;
    Ok(closed.into_iter().map(Closed::from).collect())
}

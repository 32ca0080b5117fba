//! Providers: sources of events, their schedule, health and memory of the last feed.

mod access;
mod apply;
mod file;
mod freshness;
mod spec;

use std::time::Duration;

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, DatabaseConnection, FromQueryResult, QueryOrder, QuerySelect};
use serde::Serialize;

use crate::Database;
use crate::dataset;
use crate::dialect::Dialect;
use crate::run::{self, Outcome};

pub use access::{Access, Basic, Reference};
pub use apply::{Applied, Change, apply};
pub use file::{FileError, OWN_HEADERS, Problem, parse};
pub use freshness::{Freshness, freshness};
pub use spec::{DEFAULT_TIMEOUT, Hold, Spec};

/// A provider's row.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "provider")]
#[expect(
    missing_docs,
    reason = "the columns are told where the table is laid out"
)]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub name: String,
    pub url: String,
    pub host: String,
    pub format: String,
    pub interval_ms: i64,
    pub timezone: String,
    pub timeout_ms: i64,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub next_due_at: DateTimeUtc,
    pub late_at: DateTimeUtc,
    pub token: i64,
    pub current_run: Option<Uuid>,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub body_digest: Option<Vec<u8>>,
    pub memory_revision: Option<i64>,
    pub memory_parser: Option<i64>,
    pub transient_failures: i64,
    pub consecutive_failures: i64,
    pub consecutive_crashes: i64,
    pub last_success_at: Option<DateTimeUtc>,
    pub last_error: Option<String>,
    pub paused_at: Option<DateTimeUtc>,
    pub paused_by: Option<String>,
    pub paused_reason: Option<String>,
    pub paused_until: Option<DateTimeUtc>,
    pub retired_at: Option<DateTimeUtc>,
    #[sea_orm(column_type = "JsonBinary")]
    pub access: Access,
    pub max_interval_ms: Option<i64>,
    pub max_body: Option<i64>,
    pub hold_percent: i64,
    pub hold_events: i64,
    pub moved_to: Option<String>,
    pub events_held: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
#[expect(missing_docs, reason = "no relations are followed")]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The time from one visit to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.unsigned_abs())
    }

    /// The longest time to the next visit that the feed's own caching headers can bring about.
    pub fn max_interval(&self) -> Duration {
        self.max_interval_ms.map_or_else(
            || self.interval() * spec::MOST_INTERVALS,
            |ms| Duration::from_millis(ms.unsigned_abs()),
        )
    }

    /// When its feed's vanishing is held.
    pub fn hold(&self) -> Hold {
        Hold {
            percent: self.hold_percent.try_into().unwrap_or(100),
            events: self.hold_events.try_into().unwrap_or(u32::MAX),
        }
    }

    /// The longest that one fetch may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.unsigned_abs())
    }
}

/// A provider as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromQueryResult)]
pub struct Summary {
    /// The stable key.
    pub name: String,
    /// Where its feed is.
    pub url: String,
    /// What its feed is written in.
    pub format: String,
    /// Milliseconds from one visit to the next.
    pub interval_ms: i64,
    /// The zone of the feed's naive times.
    pub timezone: String,
    /// Events that its feed has, or had when it was last read.
    pub events: i64,
    /// Events that have left its feed.
    pub events_gone: i64,
    /// Events that its feed lacks and that are held, see [`crate::commit::Counts::held`].
    pub events_held: i64,
    /// When its feed was last read as a whole, or found unchanged.
    pub last_success_at: Option<DateTimeUtc>,
    /// When it is next due.
    pub next_due_at: DateTimeUtc,
    /// Whether it is being synced, or about to be.
    pub claimed: bool,
    /// Failed runs since the last good one.
    pub consecutive_failures: i64,
    /// What went wrong last, if the last run failed.
    pub last_error: Option<String>,
    /// Why it is paused, if it is.
    pub paused_reason: Option<String>,
    /// Whether its last success is older than twice its interval.
    pub stale: bool,
}

/// All providers that are not retired, by name, with the number of their events.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(db: &DatabaseConnection) -> Result<Vec<Summary>, DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!(
        "SELECT p.name, p.url, p.format, p.interval_ms, p.timezone, \
         coalesce(e.present, 0) AS events, coalesce(e.gone, 0) AS events_gone, p.events_held, \
         p.last_success_at, p.next_due_at, p.current_run IS NOT NULL AS claimed, \
         p.consecutive_failures, p.last_error, p.paused_reason, \
         (p.last_success_at IS NULL OR {} < {}) AS stale \
         FROM provider p LEFT JOIN ( \
             SELECT provider_id, count(CASE WHEN gone_at IS NULL THEN 1 END) AS present, \
                    count(gone_at) AS gone \
             FROM event GROUP BY provider_id) e ON e.provider_id = p.id \
         WHERE p.retired_at IS NULL ORDER BY p.name",
        dialect.plus_ms("p.last_success_at", "2 * p.interval_ms"),
        dialect.now()
    );
    Summary::find_by_statement(dialect.statement(sql, Vec::new()))
        .all(db)
        .await
}

/// The provider of that name, retired or not.
///
/// # Errors
/// Whatever the database answers.
pub async fn by_name(db: &impl ConnectionTrait, name: &str) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Name.eq(name)).one(db).await
}

/// All providers that are not retired, by name.
///
/// # Errors
/// Whatever the database answers.
pub async fn active(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RetiredAt.is_null())
        .order_by_asc(Column::Name)
        .all(db)
        .await
}

/// The last run that stored a provider's feed, as long as it is kept: what it set aside is still what
/// the feed holds, however often the feed was found unchanged since.
///
/// # Errors
/// Whatever the database answers.
pub async fn last_stored(
    db: &DatabaseConnection,
    provider_id: i64,
) -> Result<Option<run::Model>, DbErr> {
    run::Entity::find()
        .filter(run::Column::ProviderId.eq(provider_id))
        .filter(run::Column::Outcome.eq(Outcome::Stored))
        .order_by_desc(run::Column::QueuedAt)
        .limit(1)
        .one(db)
        .await
}

/// Whether anything happened to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is there, and now as asked.
    Yes,
    /// There is no provider of that name, or it is retired.
    No,
}

impl From<u64> for Found {
    fn from(rows: u64) -> Self {
        if rows == 0 { Self::No } else { Self::Yes }
    }
}

/// Who pauses a provider whose syncs crash.
pub(crate) const OURSELVES: &str = "fanfare";

/// Stops syncs of a provider until it is resumed, in the name of `by`; its open run is cancelled and
/// its worker fenced off.
///
/// # Errors
/// Whatever the database answers.
pub async fn pause(db: &Database, name: &str, reason: &str, by: &str) -> Result<Found, DbErr> {
    let tx = db.begin().await?;
    let paused = "paused_at = {now}, paused_reason = $2, paused_by = $3, paused_until = NULL";
    let found = stop(&tx, name, paused, vec![reason.into(), by.into()]).await?;
    tx.commit().await?;
    Ok(found)
}

/// Hides a provider and ends its syncs; its events stay.
///
/// # Errors
/// Whatever the database answers.
pub async fn retire(db: &Database, name: &str) -> Result<Found, DbErr> {
    let tx = db.begin().await?;
    let found = stop(&tx, name, "retired_at = {now}", Vec::new()).await?;
    tx.commit().await?;
    Ok(found)
}

/// Sets `assignments` on an active provider, cancels its open run and raises its token.
async fn stop(
    tx: &impl ConnectionTrait,
    name: &str,
    assignments: &str,
    values: Vec<sea_orm::Value>,
) -> Result<Found, DbErr> {
    let dialect = Dialect::of(tx);
    let now = dialect.now();
    let assignments = assignments.replace("{now}", now);
    // The provider's row comes first, as in every transition: its lock orders them all.
    let sql = format!(
        "UPDATE provider SET {assignments}, token = token + 1, current_run = NULL \
         WHERE name = $1 AND retired_at IS NULL"
    );
    let mut all = vec![name.into()];
    all.extend(values);
    let found: Found = tx
        .execute_raw(dialect.statement(sql, all))
        .await?
        .rows_affected()
        .into();
    if found == Found::Yes {
        let sql = format!(
            "UPDATE run SET state = 'finished', outcome = 'cancelled', finished_at = {now}, \
             lease_until = NULL, next_push_at = NULL \
             WHERE finished_at IS NULL AND provider_id = (SELECT id FROM provider WHERE name = $1)"
        );
        tx.execute_raw(dialect.statement(sql, vec![name.into()]))
            .await?;
    }
    Ok(found)
}

/// Lifts a pause, forgets past failures and makes the provider due at once.
///
/// # Errors
/// Whatever the database answers.
pub async fn resume(db: &Database, name: &str) -> Result<Found, DbErr> {
    let dialect = Dialect::of(&db.write);
    let now = dialect.now();
    let sql = format!(
        "UPDATE provider SET paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_until = NULL, \
         consecutive_failures = 0, consecutive_crashes = 0, transient_failures = 0, \
         next_due_at = {now}, late_at = {} \
         WHERE name = $1 AND retired_at IS NULL",
        dialect.now_plus_ms("interval_ms")
    );
    let resumed = db
        .write
        .execute_raw(dialect.statement(sql, vec![name.into()]))
        .await?;
    Ok(resumed.rows_affected().into())
}

/// Deletes a provider with its events, their history and its runs. If it had events, the dataset gets
/// a new epoch and its version rises.
///
/// # Errors
/// Whatever the database answers. It is then retired at least.
pub async fn purge(db: &Database, name: &str) -> Result<Found, DbErr> {
    // First on its own: from then on no worker can commit events of it, so that none waits for this
    // one while this one waits for it.
    retire(db, name).await?;
    let tx = db.begin().await?;
    let dialect = Dialect::of(&tx);
    let Some(provider) = by_name(&tx, name).await? else {
        tx.rollback().await?;
        return Ok(Found::No);
    };
    let id = || vec![provider.id.into()];
    let sql = "DELETE FROM event_change \
               WHERE event_id IN (SELECT id FROM event WHERE provider_id = $1)";
    tx.execute_raw(dialect.statement(sql, id())).await?;
    let sql = "DELETE FROM event WHERE provider_id = $1";
    let events = tx.execute_raw(dialect.statement(sql, id())).await?;
    let sql = "DELETE FROM provider WHERE id = $1";
    tx.execute_raw(dialect.statement(sql, id())).await?;
    if events.rows_affected() > 0 {
        // The log of changes went with the events, so whoever mirrors them can't learn it from there.
        dataset::renew_epoch(&tx).await?;
        dataset::raise(&tx, Uuid::now_v7()).await?;
    }
    tx.commit().await?;
    Ok(Found::Yes)
}

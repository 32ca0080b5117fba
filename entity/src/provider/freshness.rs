//! How fresh what is known of each provider is. It derives from runs and says nothing of events, so that
//! it costs little however many there are.

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseConnection, DbErr, FromQueryResult};

use crate::dialect::Dialect;

/// A provider and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Freshness {
    /// The stable key.
    pub name: String,
    /// Where its feed is.
    pub url: String,
    /// Of that address.
    pub host: String,
    /// The feed's format.
    pub format: String,
    /// From one visit to the next, in milliseconds.
    pub interval_ms: i64,
    /// Of naive times in its feed.
    pub timezone: String,
    /// When its feed was last read to the end.
    pub last_success_at: Option<DateTime<Utc>>,
    /// When it is visited next.
    pub next_due_at: DateTime<Utc>,
    /// Whether its last success is older than twice its interval.
    pub stale: bool,
    /// Whether its syncs are stopped.
    pub paused: bool,
    /// Why, if they are.
    pub paused_reason: Option<String>,
    /// Failures in a row.
    pub consecutive_failures: i64,
    /// What went wrong last, if the last run failed.
    pub last_error: Option<String>,
}

/// All providers that are not retired, by name.
///
/// # Errors
/// Whatever the database answers.
pub async fn freshness(db: &DatabaseConnection) -> Result<Vec<Freshness>, DbErr> {
    let dialect = Dialect::of(db);
    let now = dialect.now();
    let sql = format!(
        "SELECT name, url, host, format, interval_ms, timezone, last_success_at, next_due_at, \
         (last_success_at IS NULL OR {} < {now}) AS stale, \
         (paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > {now})) AS paused, \
         paused_reason, consecutive_failures, last_error \
         FROM provider WHERE retired_at IS NULL ORDER BY name",
        dialect.plus_ms("last_success_at", "2 * interval_ms"),
    );
    Freshness::find_by_statement(dialect.statement(sql, Vec::new()))
        .all(db)
        .await
}

//! What a scheduler tells of the whole: backlog, workers, and how the providers fare. Counted in two
//! statements that can be asked every few seconds.

use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr, FromQueryResult};

use crate::dialect::Dialect;
use crate::lease::millis;
use crate::{Database, Kind};

/// Failures in a row with which a provider's breaker opens.
pub const BREAKER_OPENS: i64 = 5;

/// Of those whose last success is longest ago, as many are asked since when their breakers are not
/// closed: one look into the runs each, however many fail at once.
const LONGEST_BROKEN: i64 = 100;

/// The whole, at one moment by the database's clock. Retired providers are left out.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Overview {
    /// Of the dataset.
    pub version: i64,
    /// Runs that are queued and may begin. Those that are put off, for their host wants to be left alone
    /// or another run is in the way, are not counted before their time.
    pub queued: i64,
    /// Milliseconds since the claim of the oldest of them.
    pub oldest_queued_ms: Option<i64>,
    /// Runs that are running.
    pub running: i64,
    /// Runs that were begun in the last minute.
    pub begun_lately: i64,
    /// Workers that gave a sign of life within a lease.
    pub workers: i64,
    /// Providers by the age of their last success.
    #[sea_orm(nested)]
    pub staleness: Staleness,
    /// Providers by breaker.
    #[sea_orm(nested)]
    pub breakers: Breakers,
    /// Providers with events that their feed lacks and that are held.
    pub holding: i64,
}

/// How many providers are how stale. Each is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Staleness {
    /// Their last success is at most two intervals ago.
    pub fresh: i64,
    /// Four.
    pub late: i64,
    /// Longer.
    pub stale: i64,
    /// They have not succeeded yet.
    pub never: i64,
    /// Their syncs are stopped, whatever is known of them.
    pub paused: i64,
}

impl Staleness {
    /// All providers.
    #[must_use]
    pub fn providers(&self) -> i64 {
        self.fresh + self.late + self.stale + self.never + self.paused
    }
}

/// How many providers have their breaker in which state; none that is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Breakers {
    /// Fewer than [`BREAKER_OPENS`] failures in a row.
    pub closed: i64,
    /// As many or more, and the next visit is due or on.
    pub half_open: i64,
    /// As many or more, and the next visit is not due yet.
    pub open: i64,
    /// Milliseconds since the fifth failed run after the last success, of the breaker that has not
    /// been closed for longest. As far back as runs are kept.
    pub longest_ms: Option<i64>,
}

/// Counts the whole. A worker is alive if it gave a sign of life within `lease`.
///
/// # Errors
/// Whatever the database answers.
pub async fn overview(db: &Database, lease: Duration) -> Result<Overview, DbErr> {
    let db = pool(db);
    let dialect = Dialect::of(db);
    let lately = dialect.now_plus_ms("-60000");
    let sql = format!(
        "SELECT d.version, r.queued, -({oldest}) AS oldest_queued_ms, r.running, \
         r.begun + (SELECT count(*) FROM run e WHERE e.finished_at > {lately} \
                    AND e.started_at > {lately}) AS begun_lately, \
         (SELECT count(*) FROM worker w WHERE w.seen_at > {alive}) AS workers, \
         p.fresh, p.late, p.stale, p.never, p.paused, p.closed, p.half_open, p.open, p.holding, \
         (SELECT max(-({opened})) FROM ({broken}) b) AS longest_ms \
         FROM dataset d CROSS JOIN ( \
             SELECT count(CASE WHEN {waits} THEN 1 END) AS queued, \
                    min(CASE WHEN {waits} THEN queued_at END) AS oldest, \
                    count(CASE WHEN state = 'running' THEN 1 END) AS running, \
                    count(CASE WHEN state = 'running' AND started_at > {lately} THEN 1 END) AS begun \
             FROM run WHERE finished_at IS NULL) r \
         CROSS JOIN ({providers}) p WHERE d.id = 1",
        oldest = dialect.ms_until("r.oldest"),
        waits = format_args!(
            "state = 'queued' AND (postponed_for IS NULL OR next_push_at <= {})",
            dialect.now()
        ),
        alive = dialect.now_plus_ms("-$1"),
        opened = dialect.ms_until("b.opened"),
        broken = broken(dialect),
        providers = providers(dialect),
    );
    Overview::find_by_statement(dialect.statement(sql, vec![millis(lease).into()]))
        .one(db)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the dataset's row is missing".to_owned()))
}

/// Every provider in one of each kind of count.
fn providers(dialect: Dialect) -> String {
    let now = dialect.now();
    let paused = paused(dialect);
    let since =
        |intervals: &str| dialect.plus_ms("last_success_at", &format!("{intervals} * interval_ms"));
    let (two, four) = (since("2"), since("4"));
    let count = |condition: String| format!("count(CASE WHEN {condition} THEN 1 END)");
    format!(
        "SELECT {} AS fresh, {} AS late, {} AS stale, {} AS never, {} AS paused, \
         {} AS closed, {} AS half_open, {} AS open, {} AS holding \
         FROM provider WHERE retired_at IS NULL",
        count(format!("NOT {paused} AND {two} >= {now}")),
        count(format!(
            "NOT {paused} AND {two} < {now} AND {four} >= {now}"
        )),
        count(format!("NOT {paused} AND {four} < {now}")),
        count(format!("NOT {paused} AND last_success_at IS NULL")),
        count(paused.clone()),
        count(format!(
            "NOT {paused} AND consecutive_failures < {BREAKER_OPENS}"
        )),
        count(format!(
            "NOT {paused} AND consecutive_failures >= {BREAKER_OPENS} \
             AND (current_run IS NOT NULL OR next_due_at <= {now})"
        )),
        count(format!(
            "NOT {paused} AND consecutive_failures >= {BREAKER_OPENS} \
             AND current_run IS NULL AND next_due_at > {now}"
        )),
        count("events_held > 0".to_owned()),
    )
}

fn paused(dialect: Dialect) -> String {
    let now = dialect.now();
    format!("(paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > {now}))")
}

/// When breakers opened that are not closed. It is looked for from the last success on, where the
/// index leads within a few rows, for the failures since then may be very many.
fn broken(dialect: Dialect) -> String {
    format!(
        "SELECT coalesce((SELECT r.finished_at FROM run r \
              WHERE r.provider_id = f.id AND r.queued_at >= f.since AND r.outcome = 'failed' \
              ORDER BY r.queued_at LIMIT 1 OFFSET {}), f.since) AS opened \
         FROM (SELECT id, coalesce(last_success_at, created_at) AS since FROM provider \
               WHERE retired_at IS NULL AND NOT {} AND consecutive_failures >= {BREAKER_OPENS} \
               ORDER BY coalesce(last_success_at, created_at) LIMIT {LONGEST_BROKEN}) f",
        BREAKER_OPENS - 1,
        paused(dialect)
    )
}

/// How long ago a provider succeeded.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Age {
    /// The provider's name.
    pub provider: String,
    /// Milliseconds since its last success.
    pub ms: i64,
}

/// The ages of the last successes, by name, `limit` at most. Left out are providers that are paused
/// or retired, and those that have not succeeded yet.
///
/// # Errors
/// Whatever the database answers.
pub async fn ages(db: &Database, limit: i64) -> Result<Vec<Age>, DbErr> {
    let db = pool(db);
    let dialect = Dialect::of(db);
    let sql = format!(
        "SELECT name AS provider, -({}) AS ms FROM provider \
         WHERE retired_at IS NULL AND last_success_at IS NOT NULL AND NOT {} \
         ORDER BY name LIMIT $1",
        dialect.ms_until("last_success_at"),
        paused(dialect)
    );
    Age::find_by_statement(dialect.statement(sql, vec![limit.into()]))
        .all(db)
        .await
}

/// Where a look is not in the way: the embedded database has one connection that writes. A replica may
/// be behind.
fn pool(db: &Database) -> &DatabaseConnection {
    match db.kind() {
        Kind::Postgres => &db.write,
        Kind::Sqlite => &db.read,
    }
}

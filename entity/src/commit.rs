//! The end of a run: its events, its outcome and its provider's next visit, in one transaction that
//! holds only if the run is still its worker's own.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sea_orm::{ActiveEnum, ConnectionTrait, DatabaseTransaction, DbErr};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::Database;
use crate::claim::MOST_CRASHES;
use crate::dataset;
use crate::dialect::Dialect;
use crate::event::{Content, DIGEST_BYTES};
use crate::event_change::Kind;
use crate::lease::{Held, millis};
use crate::provider::OURSELVES;
use crate::run::Outcome;
use crate::write;

/// An event to insert or to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upsert {
    /// See [`crate::event::id`].
    pub id: Uuid,
    /// What the feed says.
    pub content: Content,
    /// Of the content.
    pub digest: [u8; DIGEST_BYTES],
}

impl Upsert {
    pub(crate) fn zones_json(&self) -> String {
        serde_json::to_string(&self.content.zones).expect("zones are strings and numbers")
    }
}

/// What happened to one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// To which.
    pub event: Uuid,
    /// What.
    pub kind: Kind,
    /// What differs, see [`crate::event_change::changes`]; only where something was known before.
    pub changes: Option<Map<String, Value>>,
}

/// An item that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Ordinal among the feed's items, from 1.
    pub position: u64,
    /// Where it stands in the document.
    pub path: String,
    /// Why.
    pub reason: String,
    /// Base id and event id, where they can be read.
    pub identity: Option<(String, String)>,
    /// How it begins.
    pub snippet: String,
}

/// What a run does to the events of its provider. Lists in the order of their ids, so that no two
/// transactions wait for each other in a circle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// New, changed, and returned with other content.
    pub upserts: Vec<Upsert>,
    /// In their feed again with the content that is stored.
    pub returned: Vec<Uuid>,
    /// No longer in their feed.
    pub gone: Vec<Uuid>,
    /// One for each of the above.
    pub log: Vec<Change>,
    /// What could not be taken.
    pub set_aside: Vec<SetAside>,
}

/// How many events a run found in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the docs")]
pub struct Counts {
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub gone: u64,
    pub returned: u64,
    pub held: u64,
    pub set_aside: u64,
    pub warnings: u64,
}

/// How long the stages of a run took; how long storing took, the commit knows by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the docs")]
pub struct Durations {
    pub fetch: Option<Duration>,
    pub parse: Option<Duration>,
    pub compare: Option<Duration>,
}

/// What is remembered of a feed, so that the next visit can find it unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// The validator `ETag`, as sent.
    pub etag: Option<String>,
    /// The validator `Last-Modified`, as sent.
    pub last_modified: Option<String>,
    /// Of the decoded body.
    pub body_digest: Vec<u8>,
    /// The parser's revision that read it.
    pub parser: i64,
}

/// What becomes of a provider's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remember {
    /// It stands.
    Keep,
    /// This replaces it.
    Replace(Memory),
}

/// A run's outcome and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<String>,
    /// Of the last response, if there was one.
    pub http_status: Option<u16>,
    /// Of the body, decompressed.
    pub bytes: Option<u64>,
    /// Of events.
    pub counts: Counts,
    /// Of stages.
    pub durations: Durations,
    /// When the provider is due again.
    pub next_due_at: DateTime<Utc>,
    /// Failures in a row that are not counted yet.
    pub transient_failures: i64,
    /// Failures in a row.
    pub consecutive_failures: i64,
    /// Of the feed.
    pub remember: Remember,
    /// The provider's revision that the run worked with.
    pub revision: i64,
    /// Whether the sync panicked: it counts like a worker's death, and enough of them in a row pause
    /// the provider.
    pub crashed: bool,
    /// How long the provider's host asks to be left alone: for its worker to see to, with
    /// [`crate::host::leave_alone`].
    pub left_alone: Option<Duration>,
}

/// Whether a commit held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It did; with the new dataset version, if events changed.
    Yes(Option<i64>),
    /// The run is no longer its worker's; nothing was written.
    Fenced,
}

/// Commits a run: events in the order of their ids, then the provider's row, by which the run is
/// checked to be still its worker's, then the run's row, and last the dataset version, whose lock
/// everyone shares.
///
/// # Errors
/// Whatever the database answers; nothing is written then.
pub async fn commit(
    db: &Database,
    held: &Held,
    finish: &Finish,
    changes: &Changes,
) -> Result<Committed, DbErr> {
    let started = Instant::now();
    let tx = db.begin().await?;
    write::upsert(&tx, held.provider_id, &changes.upserts).await?;
    write::mark_present(&tx, &changes.returned).await?;
    write::mark_gone(&tx, &changes.gone).await?;
    if !(finish_provider(&tx, held, finish).await?
        && finish_run(&tx, held, finish, started).await?)
    {
        tx.rollback().await?;
        return Ok(Committed::Fenced);
    }
    write::set_aside(&tx, held.run, &changes.set_aside).await?;
    write::changes(&tx, held.run, &changes.log).await?;
    let version = if changes.log.is_empty() {
        None
    } else {
        Some(dataset::raise(&tx, held.run).await?)
    };
    tx.commit().await?;
    Ok(Committed::Yes(version))
}

/// Frees the provider and sets its next visit; false if the run is not its current one under this
/// token. Settings that changed while the run was on make it due at once.
async fn finish_provider(
    tx: &DatabaseTransaction,
    held: &Held,
    finish: &Finish,
) -> Result<bool, DbErr> {
    let dialect = Dialect::of(tx);
    let now = dialect.now();
    let succeeded = matches!(finish.outcome, Outcome::Stored | Outcome::Unchanged);
    let due = format!("CASE WHEN revision = $4 THEN $5 ELSE {now} END");
    let due = match dialect {
        Dialect::Postgres => format!("CAST({due} AS timestamptz)"),
        Dialect::Sqlite => due,
    };
    let mut values: Vec<sea_orm::Value> = vec![
        held.provider_id.into(),
        held.run.into(),
        held.token.into(),
        finish.revision.into(),
        finish.next_due_at.into(),
        finish.transient_failures.into(),
        finish.consecutive_failures.into(),
        finish.error.clone().into(),
    ];
    let success = if succeeded {
        format!(
            "last_success_at = {now}, paused_at = NULL, paused_by = NULL, paused_reason = NULL, paused_until = NULL,"
        )
    } else {
        String::new()
    };
    let crashes = if finish.crashed {
        crash_assignments(now)
    } else {
        "consecutive_crashes = 0,".to_owned()
    };
    let memory = match &finish.remember {
        Remember::Keep => "",
        Remember::Replace(memory) => {
            values.extend([
                memory.etag.clone().into(),
                memory.last_modified.clone().into(),
                memory.body_digest.clone().into(),
                memory.parser.into(),
            ]);
            "etag = $9, last_modified = $10, body_digest = $11, memory_parser = $12, \
             memory_revision = $4,"
        }
    };
    let sql = format!(
        "UPDATE provider SET {success} {memory} {crashes} current_run = NULL, next_due_at = {due}, \
         late_at = {late}, transient_failures = $6, consecutive_failures = $7, last_error = $8 \
         WHERE id = $1 AND current_run = $2 AND token = $3",
        late = dialect.plus_ms(&due, "interval_ms")
    );
    let updated = tx.execute_raw(dialect.statement(sql, values)).await?;
    Ok(updated.rows_affected() == 1)
}

/// Counts a crash, and pauses the provider with the last of them.
fn crash_assignments(now: &str) -> String {
    let last = format!("consecutive_crashes + 1 >= {MOST_CRASHES}");
    format!(
        "consecutive_crashes = consecutive_crashes + 1, \
         paused_at = CASE WHEN {last} THEN {now} ELSE paused_at END, \
         paused_by = CASE WHEN {last} THEN '{OURSELVES}' ELSE paused_by END, \
         paused_until = CASE WHEN {last} THEN NULL ELSE paused_until END, \
         paused_reason = CASE WHEN {last} \
             THEN 'its sync crashed {MOST_CRASHES} times in a row' ELSE paused_reason END,"
    )
}

/// Ends the run; false if it is not running under this worker and token.
async fn finish_run(
    tx: &DatabaseTransaction,
    held: &Held,
    finish: &Finish,
    started: Instant,
) -> Result<bool, DbErr> {
    let dialect = Dialect::of(tx);
    let sql = format!(
        "UPDATE run SET state = 'finished', outcome = $4, finished_at = {}, lease_until = NULL, \
         http_status = $5, bytes = $6, events_new = $7, events_changed = $8, \
         events_unchanged = $9, events_gone = $10, events_returned = $11, events_held = $12, \
         set_aside = $13, warnings = $14, fetch_ms = $15, parse_ms = $16, compare_ms = $17, \
         store_ms = $18, error = $19 \
         WHERE id = $1 AND state = 'running' AND worker = $2 AND token = $3",
        // The transaction began before the events were written.
        dialect.clock()
    );
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = finish.counts;
    let durations = finish.durations;
    let values: Vec<sea_orm::Value> = vec![
        held.run.into(),
        held.worker.clone().into(),
        held.token.into(),
        finish.outcome.to_value().into(),
        finish.http_status.map(i64::from).into(),
        finish.bytes.map(number).into(),
        number(counts.new).into(),
        number(counts.changed).into(),
        number(counts.unchanged).into(),
        number(counts.gone).into(),
        number(counts.returned).into(),
        number(counts.held).into(),
        number(counts.set_aside).into(),
        number(counts.warnings).into(),
        durations.fetch.map(millis).into(),
        durations.parse.map(millis).into(),
        durations.compare.map(millis).into(),
        millis(started.elapsed()).into(),
        finish.error.clone().into(),
    ];
    let updated = tx.execute_raw(dialect.statement(sql, values)).await?;
    Ok(updated.rows_affected() == 1)
}

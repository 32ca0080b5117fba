//! The end of a run: its events, its outcome and its provider's next visit, in one transaction that
//! holds only if the run is still its worker's own.

mod source;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sea_orm::sqlx;
use sea_orm::{ActiveEnum, ConnectionTrait, DatabaseTransaction, DbErr, RuntimeErr};
use uuid::Uuid;

use crate::Database;
use crate::claim::MOST_CRASHES;
use crate::dataset;
use crate::dialect::Dialect;
use crate::event_change::Kind;
use crate::lease::{Held, millis};
use crate::provider::OURSELVES;
use crate::run::Outcome;
use crate::write::{self, Log};

pub use source::{Chunks, Source, Upsert, Upserts};

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
/// transactions wait for each other in a circle. All but `missing` and `found` are visible to readers
/// and logged, see [`Kind`].
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// New, changed, and returned with other content.
    pub upserts: Upserts,
    /// Gone before and in their feed again with the content that is stored.
    pub returned: Vec<Uuid>,
    /// No longer in their feed.
    pub gone: Vec<Uuid>,
    /// No longer in their feed, but held.
    pub missing: Vec<Uuid>,
    /// Held before and in their feed again with the content that is stored.
    pub found: Vec<Uuid>,
    /// What could not be taken.
    pub set_aside: Vec<SetAside>,
}

/// How many events a run found in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the docs")]
pub struct Counts {
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub gone: u64,
    pub returned: u64,
    /// Events that the feed lacks and that stay nevertheless, until someone confirms that they are
    /// gone or a feed has most of them again.
    pub held: u64,
    pub set_aside: u64,
    /// The same by reason.
    pub set_aside_reasons: Reasons,
    pub warnings: u64,
    /// The same by reason.
    pub warning_reasons: Reasons,
}

/// How often there was which reason, by its slug.
pub type Reasons = BTreeMap<String, u64>;

/// How long the stages of a run took; how long storing took, the commit knows by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the docs")]
pub struct Durations {
    pub fetch: Option<Duration>,
    pub parse: Option<Duration>,
    pub compare: Option<Duration>,
    /// Known once the commit is over; the run's row has what it took up to the row itself.
    pub store: Option<Duration>,
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
    /// It is given up, so that the next visit reads the feed whatever it looks like.
    Forget,
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
    /// Of the body, on the wire.
    pub wire_bytes: Option<u64>,
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
    /// Where the feed has moved for good, if a good answer said so.
    pub moved_to: Option<String>,
    /// The provider's revision that the run worked with.
    pub revision: i64,
    /// Whether the sync panicked: it counts like a worker's death, and enough of them in a row pause
    /// the provider.
    pub crashed: bool,
    /// How long the provider's host asks to be left alone: for its worker to see to, with
    /// [`crate::host::leave_alone`].
    pub left_alone: Option<Duration>,
}

impl Finish {
    /// An end with nothing to tell besides.
    pub fn new(outcome: Outcome, next_due_at: DateTime<Utc>, revision: i64) -> Self {
        Self {
            outcome,
            error: None,
            http_status: None,
            bytes: None,
            wire_bytes: None,
            counts: Counts::default(),
            durations: Durations::default(),
            next_due_at,
            transient_failures: 0,
            consecutive_failures: 0,
            remember: Remember::Keep,
            moved_to: None,
            revision,
            crashed: false,
            left_alone: None,
        }
    }

    fn succeeded(&self) -> bool {
        matches!(self.outcome, Outcome::Stored | Outcome::Unchanged)
    }
}

/// Whether a commit held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It did; with the new dataset version, if events changed.
    Yes(Option<i64>),
    /// The run is no longer its worker's; nothing was written.
    Fenced,
}

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] DbErr),
    /// What is to be stored could not be read back.
    #[error("can't read back what is to be stored")]
    Source(#[source] std::io::Error),
}

/// How often a commit is tried again that stood in another's way.
const MOST_RETRIES: u32 = 5;
/// The wait before the first of them; it doubles.
const FIRST_RETRY: Duration = Duration::from_millis(20);

/// Commits a run: events in the order of their ids, then the provider's row, by which the run is
/// checked to be still its worker's, then the run's row, and last the dataset version, whose lock
/// everyone shares. A transaction that the database ends for the sake of another one, as it does
/// with a deadlock, is tried again.
///
/// # Errors
/// See [`CommitError`]; nothing is written then.
pub async fn commit(
    db: &Database,
    held: &Held,
    finish: &Finish,
    changes: &Changes,
) -> Result<Committed, CommitError> {
    let mut retries = 0;
    loop {
        match try_commit(db, held, finish, changes).await {
            Err(CommitError::Database(error)) if retries < MOST_RETRIES && in_the_way(&error) => {
                tracing::debug!(%error, run = %held.run, retries, "commit stood in another's way and is tried again");
                tokio::time::sleep(FIRST_RETRY * 2_u32.pow(retries)).await;
                retries += 1;
            }
            committed => return committed,
        }
    }
}

/// Whether the same transaction may well hold if it comes again: a serialization failure, a deadlock
/// (PostgreSQL, appendix A, class 40), or SQLite's `BUSY` in all its kinds.
fn in_the_way(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    let sqlx::Error::Database(error) = &**error else {
        return false;
    };
    match error.code().as_deref() {
        Some("40001" | "40P01") => true,
        Some(code) => code.parse::<u32>().is_ok_and(|code| code & 0xff == 5) && code.len() < 5,
        None => false,
    }
}

async fn try_commit(
    db: &Database,
    held: &Held,
    finish: &Finish,
    changes: &Changes,
) -> Result<Committed, CommitError> {
    let started = Instant::now();
    let tx = db.begin().await?;
    let mut log = Log::new(held.run);
    let mut chunks = changes.upserts.chunks();
    while let Some(chunk) = chunks.try_next().await.map_err(CommitError::Source)? {
        write::store(&tx, held.provider_id, &chunk, &mut log).await?;
    }
    write::mark_returned(&tx, &changes.returned).await?;
    log.write(&tx, &changes.returned, Kind::Returned).await?;
    write::mark_gone(&tx, &changes.gone).await?;
    log.write(&tx, &changes.gone, Kind::Gone).await?;
    write::mark_missing(&tx, &changes.missing).await?;
    write::mark_found(&tx, &changes.found).await?;
    if !(finish_provider(&tx, held, finish).await?
        && finish_run(&tx, held, finish, started).await?)
    {
        tx.rollback().await?;
        return Ok(Committed::Fenced);
    }
    write::set_aside(&tx, held.run, &changes.set_aside).await?;
    let version = if log.is_empty() {
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
    let mut bind = |value: sea_orm::Value| {
        values.push(value);
        values.len()
    };
    let success = if finish.succeeded() {
        let moved_to = bind(finish.moved_to.clone().into());
        format!(
            "last_success_at = {now}, paused_at = NULL, paused_by = NULL, paused_reason = NULL, \
             paused_until = NULL, moved_to = CASE WHEN revision = $4 THEN ${moved_to} END,"
        )
    } else {
        String::new()
    };
    let held_events = if finish.outcome == Outcome::Stored {
        format!(
            "events_held = ${},",
            bind(number(finish.counts.held).into())
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
        Remember::Keep => String::new(),
        Remember::Forget => {
            "etag = NULL, last_modified = NULL, body_digest = NULL, memory_parser = NULL, \
             memory_revision = NULL,"
                .to_owned()
        }
        Remember::Replace(memory) => format!(
            "etag = ${}, last_modified = ${}, body_digest = ${}, memory_parser = ${}, \
             memory_revision = $4,",
            bind(memory.etag.clone().into()),
            bind(memory.last_modified.clone().into()),
            bind(memory.body_digest.clone().into()),
            bind(memory.parser.into()),
        ),
    };
    let sql = format!(
        "UPDATE provider SET {success} {held_events} {memory} {crashes} current_run = NULL, next_due_at = {due}, \
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
         store_ms = $18, error = $19, wire_bytes = $20, set_aside_reasons = {}, \
         warning_reasons = {} \
         WHERE id = $1 AND state = 'running' AND worker = $2 AND token = $3",
        // The transaction began before the events were written.
        dialect.clock(),
        dialect.as_json("$21"),
        dialect.as_json("$22"),
    );
    let counts = &finish.counts;
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
        finish.wire_bytes.map(number).into(),
        reasons(&counts.set_aside_reasons).into(),
        reasons(&counts.warning_reasons).into(),
    ];
    let updated = tx.execute_raw(dialect.statement(sql, values)).await?;
    Ok(updated.rows_affected() == 1)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn reasons(counts: &Reasons) -> Option<String> {
    let json = || serde_json::to_string(counts).expect("names and numbers have a JSON form");
    (!counts.is_empty()).then(json)
}

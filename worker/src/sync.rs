//! One sync, from the fetch to the commit: a pipe of steps that needs no queue.

mod check;
mod compare;
mod read;
mod report;
mod spill;

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Instant;

use entity::commit::{Changes, CommitError, Committed, Finish, Memory, Remember, Upserts, commit};
use entity::lease::Begun;
use entity::run::Outcome;
use entity::{Database, DbErr, known, provider};
use jiff::tz::TimeZone;
use tracing::{Instrument, Span};

use self::read::{Read, ReadError, Reading, Source};
use self::report::Report;
use crate::fetch::{self, Answer, Feed, FetchError, Fetched, Fetcher};
use crate::format::{self, Format, PARSER_REVISION, UnknownFormat};
use crate::trace;

pub use check::{Changed, Check, CheckError, Checked, Subject, check};

/// What every sync of a process shares.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Where events live.
    pub db: Database,
    /// How feeds are fetched.
    pub http: Fetcher,
    /// What a feed may ask of the parser.
    pub format: format::Limits,
}

/// How a sync ended for its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synced {
    /// The run is recorded so.
    Recorded(Box<Finish>),
    /// It was no longer this worker's, and nothing was written.
    Fenced,
}

/// Why a feed could not be stored.
#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Format(#[from] UnknownFormat),
    #[error("there is no time zone `{name}`")]
    TimeZone {
        name: String,
        #[source]
        source: jiff::Error,
    },
    #[error("the database failed")]
    Database(#[from] DbErr),
    #[error("can't read back what is to be stored: {0}")]
    ReadBack(#[source] std::io::Error),
}

impl SyncError {
    /// The failure in one of few words, for spans.
    fn kind(&self) -> Cow<'static, str> {
        match self {
            Self::Fetch(error) => error.kind(),
            Self::Read(error) => error.kind().into(),
            Self::Format(_) => "unknown_format".into(),
            Self::TimeZone { .. } => "unknown_time_zone".into(),
            Self::Database(_) => "database".into(),
            Self::ReadBack(_) => "spool".into(),
        }
    }
}

/// Syncs the provider of a run that has begun, and records the outcome.
///
/// # Errors
/// Only what the database answers: the run is then as it was, and the caller hands it back.
pub async fn sync_provider(tools: &Tools, begun: &Begun) -> Result<Synced, DbErr> {
    let started = Instant::now();
    let mut report = Report::new(&begun.provider);
    let changes = match attempt(tools, begun, &mut report).await {
        Ok(changes) => changes,
        Err(SyncError::Database(error)) => return Err(error),
        Err(error) => {
            telemetry::fail(&Span::current(), &error.kind());
            report.fail(&error);
            Changes::default()
        }
    };
    let finish = report
        .clone()
        .finish(&begun.provider, begun.at + started.elapsed());
    match record(tools, begun, finish, &changes).await {
        Ok(synced) => Ok(synced),
        Err(CommitError::Database(error)) => Err(error),
        Err(CommitError::Source(error)) => {
            let error = SyncError::ReadBack(error);
            telemetry::fail(&Span::current(), &error.kind());
            report.fail(&error);
            let finish = report.finish(&begun.provider, begun.at + started.elapsed());
            record_failure(tools, begun, finish).await
        }
    }
}

/// Records a run whose sync panicked as failed.
///
/// # Errors
/// What the database answers.
pub async fn record_panic(tools: &Tools, begun: &Begun, message: &str) -> Result<Synced, DbErr> {
    let mut report = Report::new(&begun.provider);
    report.panicked(message);
    record_failure(tools, begun, report.finish(&begun.provider, begun.at)).await
}

async fn record_failure(tools: &Tools, begun: &Begun, finish: Finish) -> Result<Synced, DbErr> {
    let recorded = record(tools, begun, finish, &Changes::default()).await;
    recorded.map_err(|error| match error {
        CommitError::Database(error) => error,
        // There was nothing to read.
        CommitError::Source(error) => DbErr::Custom(error.to_string()),
    })
}

async fn record(
    tools: &Tools,
    begun: &Begun,
    mut finish: Finish,
    changes: &Changes,
) -> Result<Synced, CommitError> {
    let started = Instant::now();
    let counts = &finish.counts;
    let rows = counts.new + counts.changed + counts.gone + counts.returned;
    let span = trace::store(tools.db.kind(), rows);
    let committed = commit(&tools.db, &begun.held, &finish, changes)
        .instrument(span.clone())
        .await
        .inspect_err(|error| {
            let kind = match error {
                CommitError::Database(_) => "database",
                CommitError::Source(_) => "spool",
            };
            telemetry::fail(&span, kind);
        })?;
    finish.durations.store = Some(started.elapsed());
    Ok(match committed {
        Committed::Yes(_) => Synced::Recorded(Box::new(finish)),
        Committed::Fenced => Synced::Fenced,
    })
}

/// Fetch, compare with the last body, parse and compare with the known events. Writes nothing.
async fn attempt(tools: &Tools, begun: &Begun, report: &mut Report) -> Result<Changes, SyncError> {
    let provider = &begun.provider;
    let format = Format::from_str(&provider.format)?;
    let timezone = timezone_of(provider)?;
    let remembered = remembered(provider) && !begun.accept_gone;
    let started = Instant::now();
    let fetched = fetch(tools, provider, remembered).await;
    report.durations.fetch = Some(started.elapsed());
    let fetched = fetched?;
    report.answered(&fetched);
    let Answer::Feed(feed) = fetched.answer else {
        return Ok(Changes::default());
    };
    report.bytes = Some(feed.body.len());
    let same = remembered && provider.body_digest.as_deref() == Some(&feed.digest[..]);
    report.remember = Remember::Replace(memory(&feed));
    if same {
        return Ok(Changes::default());
    }
    report.outcome = Outcome::Stored;
    let source = Source {
        provider: provider.name.clone(),
        format,
        timezone,
        body: feed.body,
        limits: tools.format.clone(),
        hold: (!begun.accept_gone).then(|| provider.hold()),
        spools: tools.http.spools().clone(),
    };
    let read = compare(tools, provider, source).await?;
    report.read(&read);
    Ok(changes(read))
}

/// Parses while what is known is looked up, and compares.
async fn compare(
    tools: &Tools,
    provider: &provider::Model,
    source: Source,
) -> Result<Read, SyncError> {
    let span = trace::parse(source.body.len());
    let reading = span.in_scope(|| Reading::start(source));
    drop(span);
    async {
        let known = known::of_provider(&tools.db, provider.id).await?;
        let span = Span::current();
        span.record("fanfare.known", telemetry::number(known.len() as u64));
        let read = reading.finish(known).await?;
        span.record(
            "fanfare.different",
            telemetry::number(read.compared.differing.len() as u64),
        );
        Ok(read)
    }
    .instrument(trace::compare())
    .await
}

fn timezone_of(provider: &provider::Model) -> Result<TimeZone, SyncError> {
    TimeZone::get(&provider.timezone).map_err(|source| SyncError::TimeZone {
        name: provider.timezone.clone(),
        source,
    })
}

/// Whether what is remembered of the last feed may be compared with: it was read under the same
/// settings and by the same parser.
fn remembered(provider: &provider::Model) -> bool {
    provider.memory_revision == Some(provider.revision)
        && provider.memory_parser == Some(PARSER_REVISION.into())
}

async fn fetch(
    tools: &Tools,
    provider: &provider::Model,
    remembered: bool,
) -> Result<Fetched, FetchError> {
    let request = fetch::Request {
        url: &provider.url,
        timeout: provider.timeout(),
        max_body: provider.max_body.map(i64::unsigned_abs),
        access: &provider.access,
        etag: provider.etag.as_deref().filter(|_| remembered),
        last_modified: provider.last_modified.as_deref().filter(|_| remembered),
    };
    let span = trace::fetch(&provider.host);
    let fetched = tools.http.fetch(&request).instrument(span.clone()).await;
    match &fetched {
        Ok(fetched) => {
            span.record("fanfare.wire_bytes", telemetry::number(fetched.wire));
            if let Answer::Feed(feed) = &fetched.answer {
                span.record("fanfare.bytes", telemetry::number(feed.body.len()));
            }
        }
        Err(error) => telemetry::fail(&span, &error.kind()),
    }
    fetched
}

fn memory(feed: &Feed) -> Memory {
    Memory {
        etag: feed.etag.clone(),
        last_modified: feed.last_modified.clone(),
        body_digest: feed.digest.to_vec(),
        parser: PARSER_REVISION.into(),
    }
}

fn changes(read: Read) -> Changes {
    let compared = read.compared;
    Changes {
        upserts: Upserts::new(compared.differing),
        returned: compared.returned,
        gone: compared.gone,
        missing: compared.missing,
        found: compared.found,
        set_aside: read.set_aside,
    }
}

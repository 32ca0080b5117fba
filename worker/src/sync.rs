//! One sync, from the fetch to the commit: a pipe of steps that needs no queue.

pub mod compare;
mod read;

use std::str::FromStr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use entity::commit::{
    Change, Changes, Committed, Counts, Durations, Finish, Memory, Remember, Upsert, commit,
};
use entity::event_change::{self, Kind};
use entity::lease::Begun;
use entity::run::Outcome;
use entity::{Database, DbErr, event, known, provider};
use jiff::tz::TimeZone;
use tracing::Instrument;

use self::compare::Compared;
use self::read::{Read, ReadError, Source, read};
use crate::fetch::{self, Answer, Feed, FetchError, Fetched, Fetcher};
use crate::format::{self, Format, PARSER_REVISION, UnknownFormat};
use crate::visit::{self, Ended};

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
            report.fail(&error);
            Changes::default()
        }
    };
    let finish = report.finish(&begun.provider, begun.at + started.elapsed());
    record(tools, begun, finish, &changes).await
}

/// Records a run whose sync panicked as failed.
///
/// # Errors
/// What the database answers.
pub async fn record_panic(tools: &Tools, begun: &Begun, message: &str) -> Result<Synced, DbErr> {
    let mut report = Report::new(&begun.provider);
    report.outcome = Outcome::Failed;
    report.error = Some(format!(
        "the sync panicked: {message}; this is a fault of ours, please report it"
    ));
    report.ended = Ended::Badly;
    report.crashed = true;
    let finish = report.finish(&begun.provider, begun.at);
    record(tools, begun, finish, &Changes::default()).await
}

async fn record(
    tools: &Tools,
    begun: &Begun,
    finish: Finish,
    changes: &Changes,
) -> Result<Synced, DbErr> {
    let span = tracing::info_span!("store", fanfare.rows = changes.log.len());
    let committed = commit(&tools.db, &begun.held, &finish, changes)
        .instrument(span)
        .await?;
    Ok(match committed {
        Committed::Yes(_) => Synced::Recorded(Box::new(finish)),
        Committed::Fenced => Synced::Fenced,
    })
}

/// Fetch, compare with the last body, parse and compare with the known events. Writes nothing.
async fn attempt(tools: &Tools, begun: &Begun, report: &mut Report) -> Result<Changes, SyncError> {
    let provider = &begun.provider;
    let format = Format::from_str(&provider.format)?;
    let timezone = TimeZone::get(&provider.timezone).map_err(|source| SyncError::TimeZone {
        name: provider.timezone.clone(),
        source,
    })?;
    let started = Instant::now();
    let fetched = fetch(tools, provider).await;
    report.durations.fetch = Some(started.elapsed());
    let fetched = fetched?;
    report.http_status = Some(fetched.status);
    let feed = match fetched.answer {
        Answer::NotModified => return Ok(Changes::default()),
        Answer::Feed(feed) => feed,
    };
    report.bytes = Some(feed.body.len());
    let memory = memory(&feed);
    let same = remembered(provider) && provider.body_digest.as_ref() == Some(&memory.body_digest);
    report.remember = Remember::Replace(memory);
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
    };
    let span = tracing::info_span!("parse", fanfare.bytes = source.body.len());
    let known_from = Instant::now();
    let known = known::of_provider(&tools.db, provider.id).await?;
    let knowing = known_from.elapsed();
    let read = read(source, known).instrument(span).await?;
    let span = tracing::info_span!("compare", fanfare.different = read.compared.different.len());
    changes(tools, read, knowing, report).instrument(span).await
}

/// Whether what is remembered of the last feed may be compared with: it was read under the same
/// settings and by the same parser.
fn remembered(provider: &provider::Model) -> bool {
    provider.memory_revision == Some(provider.revision)
        && provider.memory_parser == Some(PARSER_REVISION.into())
}

async fn fetch(tools: &Tools, provider: &provider::Model) -> Result<Fetched, FetchError> {
    let remembered = remembered(provider);
    let request = fetch::Request {
        url: &provider.url,
        timeout: provider.timeout(),
        max_body: None,
        access: &provider::Access::default(),
        etag: provider.etag.as_deref().filter(|_| remembered),
        last_modified: provider.last_modified.as_deref().filter(|_| remembered),
    };
    let span = tracing::info_span!("fetch", server.address = provider.host);
    tools.http.fetch(&request).instrument(span).await
}

fn memory(feed: &Feed) -> Memory {
    Memory {
        etag: feed.etag.clone(),
        last_modified: feed.last_modified.clone(),
        body_digest: feed.digest.to_vec(),
        parser: PARSER_REVISION.into(),
    }
}

/// Turns the comparison into writes, with what differs for each event that was known before.
async fn changes(
    tools: &Tools,
    read: Read,
    knowing: Duration,
    report: &mut Report,
) -> Result<Changes, SyncError> {
    let started = Instant::now();
    let Compared {
        different,
        returned,
        gone,
        unchanged,
        doubled: _,
    } = read.compared;
    let mut before = before(tools, &different).await?;
    let mut changes = Changes {
        set_aside: read.set_aside,
        ..Changes::default()
    };
    let mut counts = Counts {
        unchanged,
        gone: gone.len() as u64,
        returned: returned.len() as u64,
        set_aside: read.set_aside_count,
        warnings: read.warnings,
        ..Counts::default()
    };
    for event in different {
        let row = before.remove(&event.id);
        let kind = match &row {
            None => Kind::Created,
            Some(row) if row.gone_at.is_some() || row.missing_since.is_some() => Kind::Returned,
            Some(_) => Kind::Updated,
        };
        match kind {
            Kind::Created => counts.new += 1,
            Kind::Returned => counts.returned += 1,
            _ => counts.changed += 1,
        }
        changes.log.push(Change {
            event: event.id,
            kind,
            changes: row.map(|row| event_change::changes(&row, &event.content)),
        });
        changes.upserts.push(Upsert {
            id: event.id,
            content: event.content,
            digest: event.digest,
        });
    }
    let log = |event, kind| Change {
        event,
        kind,
        changes: None,
    };
    changes
        .log
        .extend(returned.iter().map(|id| log(*id, Kind::Returned)));
    changes
        .log
        .extend(gone.iter().map(|id| log(*id, Kind::Gone)));
    changes.returned = returned;
    changes.gone = gone;
    report.counts = counts;
    report.durations.parse = Some(read.parse);
    report.durations.compare = Some(read.compare + knowing + started.elapsed());
    Ok(changes)
}

/// The stored rows of the events that differ.
async fn before(
    tools: &Tools,
    different: &[compare::Different],
) -> Result<std::collections::HashMap<uuid::Uuid, event::Model>, DbErr> {
    const AT_ONCE: usize = 2_000;
    let ids: Vec<_> = different
        .iter()
        .filter(|event| event.known.is_some())
        .map(|event| event.id)
        .collect();
    let mut rows = std::collections::HashMap::with_capacity(ids.len());
    for ids in ids.chunks(AT_ONCE) {
        let found = event::by_ids(&tools.db.write, ids).await?;
        rows.extend(found.into_iter().map(|row| (row.id, row)));
    }
    Ok(rows)
}

/// What is going to be recorded of a run.
struct Report {
    outcome: Outcome,
    ended: Ended,
    error: Option<String>,
    http_status: Option<u16>,
    bytes: Option<u64>,
    counts: Counts,
    durations: Durations,
    remember: Remember,
    revision: i64,
    crashed: bool,
}

impl Report {
    fn new(provider: &provider::Model) -> Self {
        Self {
            outcome: Outcome::Unchanged,
            ended: Ended::Well,
            error: None,
            http_status: None,
            bytes: None,
            counts: Counts::default(),
            durations: Durations::default(),
            remember: Remember::Keep,
            revision: provider.revision,
            crashed: false,
        }
    }

    fn fail(&mut self, error: &SyncError) {
        self.outcome = Outcome::Failed;
        self.ended = classify(error);
        self.remember = Remember::Keep;
        if let SyncError::Fetch(error) = error {
            self.http_status = error.status();
        }
        self.crashed = matches!(error, SyncError::Read(ReadError::Panic(_)));
        self.error = Some(told(error));
    }

    fn finish(self, provider: &provider::Model, now: DateTime<Utc>) -> Finish {
        let health = visit::Provider {
            name: &provider.name,
            interval: provider.interval(),
            transient_failures: provider.transient_failures,
            consecutive_failures: provider.consecutive_failures,
        };
        let visit = visit::next(now, &health, self.ended, rand::random());
        Finish {
            outcome: self.outcome,
            error: self.error,
            http_status: self.http_status,
            bytes: self.bytes,
            counts: self.counts,
            durations: self.durations,
            next_due_at: visit.at,
            transient_failures: visit.transient_failures,
            consecutive_failures: visit.consecutive_failures,
            remember: self.remember,
            revision: self.revision,
            crashed: self.crashed,
            left_alone: match self.ended {
                Ended::AskedToWait(wait) => Some(wait.min(visit::MOST_RETRY_AFTER)),
                _ => None,
            },
        }
    }
}

/// The message of an error, for people who see nothing else of it: of a document with the rule that
/// it breaks.
fn told(error: &SyncError) -> String {
    match error {
        SyncError::Read(_) => telemetry::Chain(error).to_string(),
        _ => error.to_string(),
    }
}

/// What a failure says about the next visit.
fn classify(error: &SyncError) -> Ended {
    match error {
        SyncError::Fetch(error) if error.is_unreachable() => Ended::Unreachable,
        SyncError::Fetch(FetchError::Status {
            status: 429 | 503,
            retry_after: Some(wait),
        }) => Ended::AskedToWait(*wait),
        _ => Ended::Badly,
    }
}

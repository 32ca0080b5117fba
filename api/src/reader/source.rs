//! Reading an answer from the database: the replica if there is one and it keeps up, the primary
//! otherwise.

use std::sync::Arc;

use axum::http::StatusCode;
use entity::dataset::Version;
use entity::search::Search;
use entity::{Reader, changes, history, search};
use futures::TryStreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use super::large::{self, Large};
use crate::cache::Asked;
use crate::change::{self, ChangePage};
use crate::cursor;
use crate::entry::Reply;
use crate::error::ErrorEnvelope;
use crate::event::EventDetails;
use crate::history::EventHistory;
use crate::query::{Changes, History};
use crate::question::Question;
use crate::render::{Envelope, SearchBody};
use crate::standing::{Source, Standing};
use crate::{Context, Error};

/// What reading led to.
pub(super) enum Read {
    /// The whole answer.
    Reply(Reply),
    /// One that is still being read.
    Large(Large),
}

/// A place among those who read, held until the reading ends.
type Place = Arc<OwnedSemaphorePermit>;

/// Reads the answer to a question, no older than `standing`, by `deadline`.
///
/// # Errors
/// The last database that was tried is not there, too slow or behind; or the question has no answer.
pub(super) async fn read(
    context: &Context,
    standing: &Standing,
    asked: &Asked,
    place: OwnedSemaphorePermit,
    deadline: Instant,
) -> Result<Read, Error> {
    let place = Arc::new(place);
    of_standing(context, standing, deadline, |db, primary| {
        let reading = Reading {
            context: context.clone(),
            db,
            standing: standing.clone(),
            primary,
            _place: Arc::clone(&place),
        };
        reading.answer(asked)
    })
    .await
}

/// What `reading` gives, of the database that is to be read now; the flag tells whether that is the
/// primary.
///
/// # Errors
/// What it fails with at the last database that was tried, or that it took too long.
pub(crate) async fn of_standing<T, F>(
    context: &Context,
    standing: &Standing,
    deadline: Instant,
    reading: impl Fn(Reader, bool) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let limit = context.config().database_timeout;
    let silent = |_| Err(Error::DatabaseSilent { limit });
    let db = context.db();
    let system = db.kind().system_name();
    if standing.source == Source::Primary || !db.has_replica() {
        let db = match standing.source {
            Source::Primary => db.primary_reader().clone(),
            Source::Read => db.reader().clone(),
        };
        return traced(system, async {
            let read = timeout_at(deadline, reading(db, true)).await;
            read.unwrap_or_else(silent)
        })
        .await;
    }
    // The primary needs the rest of the time.
    let now = Instant::now();
    let half = now + deadline.saturating_duration_since(now) / 2;
    let first = traced(system, async {
        let read = timeout_at(half, reading(db.reader().clone(), false)).await;
        read.unwrap_or_else(silent)
    })
    .await;
    match first {
        Err(error) if error.is_outage() => {
            tracing::debug!(
                error = %telemetry::Chain(&error),
                "the replica can't answer, so the primary is asked"
            );
            context.poke();
            traced(system, async {
                let db = db.primary_reader().clone();
                let read = timeout_at(deadline, reading(db, true)).await;
                read.unwrap_or_else(silent)
            })
            .await
        }
        first => first,
    }
}

/// One attempt within its span; [`check`] tells it the version.
async fn traced<T>(
    system: &'static str,
    read: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let span = info_span!(
        "read",
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = system,
        db.operation.name = "SELECT",
        fanfare.dataset.version = Empty,
        "error.type" = Empty,
    );
    let read = read.instrument(span.clone()).await;
    if let Err(error) = &read
        && let Some(kind) = error.read_failure()
    {
        telemetry::fail(&span, kind);
    }
    read
}

/// Refuses what is older than what was promised when the request came.
///
/// # Errors
/// [`Error::Behind`].
pub(crate) fn check(standing: &Standing, version: Version, primary: bool) -> Result<(), Error> {
    Span::current().record("fanfare.dataset.version", version.number);
    let promised = standing.version;
    let behind = if version.epoch == promised.epoch {
        version.number < promised.number
    } else {
        // A primary's other epoch is a new one; a replica's may be the last one.
        !primary
    };
    if behind {
        Err(Error::Behind { promised, version })
    } else {
        Ok(())
    }
}

/// One attempt at one database.
pub(super) struct Reading {
    pub(super) context: Context,
    pub(super) db: Reader,
    pub(super) standing: Standing,
    /// Whether nothing can be newer than what it has.
    pub(super) primary: bool,
    /// Given back when this is dropped.
    _place: Place,
}

impl Reading {
    async fn answer(self, asked: &Asked) -> Result<Read, Error> {
        let reply = match &asked.question {
            Question::Search(search) => match search.limit {
                Some(limit) => self.page(search, limit).await?,
                None => return large::read(self, search.clone()).await,
            },
            Question::Event(id) => {
                let (version, event) = search::event(&self.db, *id).await?;
                self.check(version)?;
                let found = event.map(EventDetails::from);
                one(
                    version,
                    *id,
                    found.map(|event| Envelope::new(event).to_json()),
                )
            }
            Question::Changes(changes) => self.changes(changes).await?,
            Question::History(id, history) => self.history(*id, history).await?,
        };
        Ok(Read::Reply(reply))
    }

    /// See [`check`].
    pub(super) fn check(&self, version: Version) -> Result<(), Error> {
        check(&self.standing, version, self.primary)
    }

    async fn page(&self, search: &Search, limit: u64) -> Result<Reply, Error> {
        // One more than asked for tells whether there is another page.
        let more = Search {
            limit: Some(limit + 1),
            ..search.clone()
        };
        let (version, mut rows) = search::find(&self.db, &more).await?;
        self.check(version)?;
        if search.after.is_some() && version.epoch != self.standing.version.epoch {
            return Err(Error::Ended { version });
        }
        let mut body = SearchBody::new();
        let mut last = None;
        let mut next = None;
        while let Some(found) = rows.try_next().await? {
            if body.events() == limit {
                next = last
                    .map(|last| cursor::seal(last, search, version.epoch, &self.standing.secret));
                break;
            }
            last = Some(found.position());
            body.push(&found);
        }
        // What was broken off is at most one row.
        let _ = rows.try_next().await;
        Ok(Reply {
            version,
            status: StatusCode::OK,
            link: next
                .as_deref()
                .map(|cursor| crate::search::next_link(search, cursor)),
            body: body.finish_page(next.as_deref()).into(),
        })
    }

    async fn changes(&self, wanted: &Changes) -> Result<Reply, Error> {
        let page = changes::page(&self.db, wanted.since, wanted.limit).await?;
        let version = page.version;
        self.check(version)?;
        if version.epoch != wanted.epoch {
            return Err(Error::Ended { version });
        }
        if wanted.since.version > version.number {
            if !self.primary {
                let promised = Version {
                    number: wanted.since.version,
                    ..version
                };
                return Err(Error::Behind { promised, version });
            }
            return Err(crate::query::Invalid::FutureVersion.into());
        }
        if !page.reaches_back(wanted.since) {
            return Err(Error::Pruned { version });
        }
        let page = ChangePage::new(page);
        Ok(Reply {
            version,
            status: StatusCode::OK,
            link: Some(change::next_link(&page.next, wanted.limit)),
            body: page.to_json().into(),
        })
    }

    async fn history(&self, id: uuid::Uuid, wanted: &History) -> Result<Reply, Error> {
        let (version, history) =
            history::of_event(self.db.db(), id, wanted.before, wanted.limit).await?;
        self.check(version)?;
        let found = history.map(EventHistory::from);
        Ok(one(version, id, found.map(|history| history.to_json())))
    }
}

/// The answer about one event, or that there is no such event in that version.
fn one(version: Version, id: uuid::Uuid, found: Option<Vec<u8>>) -> Reply {
    let (status, body) = match found {
        Some(json) => (StatusCode::OK, json),
        None => {
            let missing = Error::NoSuchEvent { id };
            (StatusCode::NOT_FOUND, ErrorEnvelope::of(&missing).to_json())
        }
    };
    Reply {
        version,
        status,
        link: None,
        body: body.into(),
    }
}

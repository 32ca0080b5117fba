//! Windows of any size: read at the database's speed, kept in memory while they are small and in a
//! spool past that, so that a slow client holds neither a connection nor a snapshot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::http::StatusCode;
use entity::dataset::Version;
use entity::search::{self, Search};
use futures::TryStreamExt;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use super::source::{Read, Reading};
use crate::Error;
use crate::entry::Reply;
use crate::render::SearchBody;
use crate::spool::{Spool, SpoolError};
use crate::standing::Standing;

/// Largest answer that is kept for others. Past it, it goes through a spool.
const KEPT: usize = 2 * 1024 * 1024;

/// Bytes that are passed to the spool at once.
const CHUNK: usize = 256 * 1024;

/// An answer on its way from the database. When the last one who reads it has left, the rest is
/// not read.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) version: Version,
    pub(crate) spool: Spool,
    _reading: DropGuard,
}

/// Large answers that someone is reading, for others who ask for the same.
#[derive(Debug, Default)]
pub(crate) struct Larges(Mutex<HashMap<String, Weak<Large>>>);

impl Larges {
    /// One that is as new as `standing` wants it and has not failed.
    pub(crate) fn get(&self, canonical: &str, standing: &Standing) -> Option<Arc<Large>> {
        let larges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        larges
            .get(canonical)
            .and_then(Weak::upgrade)
            .filter(|large| standing.accepts(large.version) && !large.spool.is_broken())
    }

    /// Notes one, and forgets those that nobody reads any more.
    pub(crate) fn note(&self, canonical: &str, large: &Arc<Large>) {
        let mut larges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        larges.retain(|_, large| large.strong_count() > 0);
        larges.insert(canonical.to_owned(), Arc::downgrade(large));
    }
}

/// Reads a whole window. It comes back with all of it, or as soon as it turns out to be large.
pub(super) async fn read(reading: Reading, search: Search) -> Result<Read, Error> {
    let (first, answer) = oneshot::channel();
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    let work = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = read_all(&reading, &search, first) => {}
        }
    };
    tokio::spawn(work.in_current_span());
    match answer.await {
        Ok(First::Whole(reply)) => Ok(Read::Reply(reply)),
        Ok(First::Large(version, spool)) => Ok(Read::Large(Large {
            version,
            spool,
            _reading: guard,
        })),
        Ok(First::Failed(error)) => Err(error),
        // It ends without an answer only if it panicked.
        Err(_) => Err(Error::Panicked("reading a window".to_owned())),
    }
}

/// What is known first.
enum First {
    Whole(Reply),
    Large(Version, Spool),
    Failed(Error),
}

async fn read_all(reading: &Reading, search: &Search, first: oneshot::Sender<First>) {
    let mut first = Some(first);
    let read = read_rows(reading, search, &mut first).await;
    let told = match read {
        Ok(Some(reply)) => First::Whole(reply),
        Ok(None) => return,
        Err(error) if first.is_some() => First::Failed(error),
        Err(error) => {
            // The clients' connections break: what they have is no whole answer.
            tracing::warn!(
                error = %telemetry::Chain(&error),
                "a large answer was broken off"
            );
            return;
        }
    };
    if let Some(first) = first {
        // Those who have left need not hear of it.
        let _ = first.send(told);
    }
}

/// The whole reply, unless it has gone through a spool.
async fn read_rows(
    reading: &Reading,
    search: &Search,
    first: &mut Option<oneshot::Sender<First>>,
) -> Result<Option<Reply>, Error> {
    let (version, mut rows) = search::find(&reading.db, search).await?;
    reading.check(version)?;
    // Whoever waited for the beginning waits no longer for what follows.
    let limit = reading.context.config().database_timeout;
    let silent = |_| Error::DatabaseSilent { limit };
    let mut body = SearchBody::new();
    let mut writer = None;
    while let Some(found) = timeout(limit, rows.try_next()).await.map_err(silent)?? {
        body.push(&found);
        match &mut writer {
            None if body.bytes() > KEPT => {
                let (mut begun, spool) = reading.context.spools().create();
                begun.write(&body.take()).await?;
                writer = Some(begun);
                if let Some(first) = first.take()
                    && first.send(First::Large(version, spool)).is_err()
                {
                    return Ok(None);
                }
            }
            Some(writer) if body.bytes() > CHUNK => writer.write(&body.take()).await?,
            _ => {}
        }
    }
    match writer {
        None => Ok(Some(Reply {
            version,
            status: StatusCode::OK,
            link: None,
            body: body.finish().into(),
        })),
        Some(mut writer) => {
            writer.write(&body.finish()).await?;
            writer.finish().await?;
            Ok(None)
        }
    }
}

impl From<SpoolError> for Error {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

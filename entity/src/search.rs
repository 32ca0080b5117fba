//! What the API reads: events in a window of time, and single ones.
//!
//! An answer and the dataset version that it belongs to come from one statement, so that no commit
//! can stand between them.

mod counts;
mod find;
mod single;
mod statements;

use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, StreamTrait};
use uuid::Uuid;

use crate::Database;
use crate::dataset::Version;
use crate::dialect::Dialect;
use crate::event;

pub use counts::{ProviderCounts, counts};
pub use find::{Found, Gone, Position, Search, find, statement};
pub use single::{WithProvider, event_of};
pub(crate) use statements::plannable;

/// The time that one asks about; an open end has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Events that start at this instant or later.
    pub starts_at: Option<DateTime<Utc>>,
    /// Events that end at this instant or earlier; one without an end is judged by its start.
    pub ends_at: Option<DateTime<Utc>>,
}

/// The events in `window` that were ever sold online, gone ones included, by start and then id,
/// with the dataset version that they belong to.
///
/// # Errors
/// Whatever the database answers.
pub async fn events(db: &Database, window: Window) -> Result<(Version, Vec<Found>), DbErr> {
    let (version, events) = stream(db, window).await?;
    Ok((version, events.try_collect().await?))
}

/// What [`events`] gives, one by one: it resolves as soon as the database has answered, with the
/// first event at hand, and holds a connection until the stream is dropped.
///
/// # Errors
/// Whatever the database answers, here or in the midst of the stream.
pub async fn stream(
    db: &Database,
    window: Window,
) -> Result<(Version, BoxStream<'_, Result<Found, DbErr>>), DbErr> {
    let dialect = Dialect::of(&db.read);
    let (condition, values) = condition(window);
    let found = format!(
        "SELECT (SELECT version FROM dataset), (SELECT epoch FROM dataset), \
         id, title, starts_at, starts_local, ends_local, min_price, max_price \
         FROM event WHERE {condition} ORDER BY starts_at, id"
    );
    let empty = format!(
        "SELECT version, epoch FROM dataset WHERE NOT EXISTS (SELECT 1 FROM event WHERE {condition})"
    );
    loop {
        let statement = dialect.statement(&found, values.clone());
        let mut rows = db.read.stream_raw(statement).await?;
        if let Some(row) = rows.try_next().await? {
            let version = find::read_version(&row)?;
            let first = stream::iter([find::read(&row, false)]);
            let others = rows.map(|row| find::read(&row?, false));
            return Ok((version, first.chain(others).boxed()));
        }
        drop(rows);
        // Nothing there: ask for the version in which nothing is there. If something has come
        // meanwhile there is none, and the search starts over.
        let statement = dialect.statement(&empty, values.clone());
        if let Some(row) = db.read.query_one_raw(statement).await? {
            return Ok((find::read_version(&row)?, stream::empty().boxed()));
        }
    }
}

fn condition(window: Window) -> (String, Vec<sea_orm::Value>) {
    let mut condition = "ever_online".to_owned();
    let mut values = Vec::new();
    if let Some(starts_at) = window.starts_at {
        values.push(starts_at.into());
        condition += &format!(" AND starts_at >= ${}", values.len());
    }
    if let Some(ends_at) = window.ends_at {
        values.push(ends_at.into());
        let end = values.len();
        // The first half follows from the second and gives the index its upper bound.
        condition +=
            &format!(" AND starts_at <= ${end} AND coalesce(ends_at, starts_at) <= ${end}");
    }
    (condition, values)
}

/// One event with its provider's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event.
    pub event: event::Model,
    /// Its provider's name.
    pub provider: String,
    /// When its feed last had it: when it went, or the provider's last success.
    pub last_seen_at: Option<DateTime<Utc>>,
}

#[derive(FromQueryResult)]
struct Context {
    version: i64,
    epoch: Uuid,
    provider: Option<String>,
    last_success_at: Option<DateTime<Utc>>,
}

/// The event of that id, whether it was ever sold online or not, with the version that the answer
/// belongs to.
///
/// # Errors
/// Whatever the database answers.
pub async fn event(db: &Database, id: Uuid) -> Result<(Version, Option<Event>), DbErr> {
    let dialect = Dialect::of(&db.read);
    let sql = "SELECT d.version, d.epoch, p.name AS provider, p.last_success_at, e.* \
               FROM dataset d LEFT JOIN event e ON e.id = $1 \
               LEFT JOIN provider p ON p.id = e.provider_id";
    let row = db
        .read
        .query_one_raw(dialect.statement(sql, vec![id.into()]))
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the dataset's row is missing".to_owned()))?;
    let context = Context::from_query_result(&row, "")?;
    let version = Version {
        number: context.version,
        epoch: context.epoch,
    };
    let Some(provider) = context.provider else {
        return Ok((version, None));
    };
    let event = event::Model::from_query_result(&row, "")?;
    let last_seen_at = event.gone_at.or(context.last_success_at);
    let event = Event {
        event,
        provider,
        last_seen_at,
    };
    Ok((version, Some(event)))
}

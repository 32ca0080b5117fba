//! The search: filters, and pages by the position of what was found last.

use chrono::{DateTime, NaiveDateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use sea_orm::{DatabaseConnection, DbErr, QueryResult, Statement, StreamTrait};
use uuid::Uuid;

use super::statements::Statements;
use crate::Reader;
use crate::dataset::Version;
use crate::dialect::Dialect;
use crate::event::Zones;

/// What one looks for. What is not set does not matter; by default all that was ever sold online is
/// found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Events that start at this instant or later.
    pub starts_at: Option<DateTime<Utc>>,
    /// Events that end at this instant or earlier; one without an end is judged by its start.
    pub ends_at: Option<DateTime<Utc>>,
    /// Whether to find what is on at any time between the two instead: what ends at the first or
    /// later, and starts at the second or earlier.
    pub overlaps: bool,
    /// Events of the provider of that name; nothing, if there is none.
    pub provider: Option<String>,
    /// Events whose greatest price is this one or more, in ten-thousandths; none without a price.
    pub min_price: Option<i64>,
    /// Events whose least price is this one or less, in ten-thousandths; none without a price.
    pub max_price: Option<i64>,
    /// Events that are not sold out, or those that are.
    pub available: Option<bool>,
    /// Whether those that have left their feed count.
    pub gone: Gone,
    /// Events that were changed at this instant or later.
    pub updated_since: Option<DateTime<Utc>>,
    /// Whether to tell the zones of each as well.
    pub zones: bool,
    /// Only what comes after that position.
    pub after: Option<Position>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// What becomes of events that have left their feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Gone {
    /// They are found like any other.
    #[default]
    Include,
    /// They are not found.
    Exclude,
    /// Nothing else is found.
    Only,
}

/// Where something stands in the order of every answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// When it starts.
    pub starts_at: DateTime<Utc>,
    /// Which it is among those that start then.
    pub id: Uuid,
}

/// An event as a search shows it. Local times are those at the event, prices in ten-thousandths.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the columns are told where the table is laid out"
)]
pub struct Found {
    pub id: Uuid,
    pub title: String,
    pub starts_at: DateTime<Utc>,
    pub starts_local: NaiveDateTime,
    pub ends_local: Option<NaiveDateTime>,
    pub min_price: Option<i64>,
    pub max_price: Option<i64>,
    /// If they were asked for.
    pub zones: Option<Zones>,
}

impl Found {
    /// Where it stands.
    pub fn position(&self) -> Position {
        Position {
            starts_at: self.starts_at,
            id: self.id,
        }
    }
}

/// A page that is so short is read at once, which spares the stream and gives the connection back
/// before anything is made of the rows.
const AT_ONCE: u64 = 200;

/// The events that `search` finds by start and then id, with the dataset version that they belong to.
///
/// It resolves as soon as the database has answered. Long answers come as they are read, and hold
/// their connection until the stream is dropped.
///
/// # Errors
/// Whatever the database answers, here or in the midst of the stream.
pub async fn find<'a>(
    reader: &'a Reader,
    search: &Search,
) -> Result<(Version, BoxStream<'a, Result<Found, DbErr>>), DbErr> {
    let dialect = reader.dialect();
    let zones = search.zones;
    let Statements {
        found,
        empty,
        values,
    } = Statements::of(search, dialect);
    loop {
        let statement = dialect.statement(&found, values.clone());
        if search.limit.is_some_and(|limit| limit <= AT_ONCE) {
            let rows = reader.all(statement).await?;
            if let Some(row) = rows.first() {
                let version = read_version(row)?;
                let rows = rows.into_iter().map(move |row| read(&row, zones));
                return Ok((version, stream::iter(rows).boxed()));
            }
        } else {
            let mut rows = reader.db().stream_raw(statement).await?;
            if let Some(row) = rows.try_next().await? {
                let version = read_version(&row)?;
                let first = stream::iter([read(&row, zones)]);
                let others = rows.map(move |row| read(&row?, zones));
                return Ok((version, first.chain(others).boxed()));
            }
        }
        // Nothing there: ask for the version in which nothing is there. If something has come
        // meanwhile there is none, and the search starts over.
        let statement = dialect.statement(&empty, values.clone());
        if let Some(row) = reader.one(statement).await? {
            return Ok((read_version(&row)?, stream::empty().boxed()));
        }
    }
}

/// What [`find`] asks, for whoever wants to know how a database goes about it.
pub fn statement(db: &DatabaseConnection, search: &Search) -> Statement {
    let dialect = Dialect::of(db);
    let statements = Statements::of(search, dialect);
    dialect.statement(statements.found, statements.values)
}

/// What [`find`] gives, all at once.
///
/// # Errors
/// Whatever the database answers.
pub async fn all(reader: &Reader, search: &Search) -> Result<(Version, Vec<Found>), DbErr> {
    let (version, found) = find(reader, search).await?;
    Ok((version, found.try_collect().await?))
}

fn read_version(row: &QueryResult) -> Result<Version, DbErr> {
    Ok(Version {
        number: row.try_get_by_index(0)?,
        epoch: row.try_get_by_index(1)?,
    })
}

fn read(row: &QueryResult, zones: bool) -> Result<Found, DbErr> {
    Ok(Found {
        id: row.try_get_by_index(2)?,
        title: row.try_get_by_index(3)?,
        starts_at: row.try_get_by_index(4)?,
        starts_local: row.try_get_by_index(5)?,
        ends_local: row.try_get_by_index(6)?,
        min_price: row.try_get_by_index(7)?,
        max_price: row.try_get_by_index(8)?,
        zones: if zones {
            Some(row.try_get_by_index(9)?)
        } else {
            None
        },
    })
}

//! The public log of changes, page by page.
//!
//! Versions are given out under the lock of the dataset's row, which is held until the commit: whoever
//! sees a version sees all lower ones. So nothing ever appears before what was read already, and who
//! goes on from where the last page ended misses nothing.

use chrono::{DateTime, Utc};
use sea_orm::prelude::Json;
use sea_orm::{DatabaseConnection, DbErr, FromQueryResult, QueryResult, Statement};
use uuid::Uuid;

use crate::Reader;
use crate::dataset::Version;
use crate::dialect::{Dialect, columns};
use crate::event;
use crate::event_change::Kind;
use crate::search::{self, plannable};

/// How far someone has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct At {
    /// All lower versions are read.
    pub version: i64,
    /// The last one of this version that is read; all of it, if there is none.
    pub position: Option<i64>,
}

impl At {
    /// In the order of the log.
    fn key(self) -> (i64, i64) {
        (self.version, self.position.unwrap_or(i64::MAX))
    }
}

/// Some of the log in its order, and how far it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The dataset's, and that of every event on this page.
    pub version: Version,
    /// The lowest version that is still in the log.
    pub oldest: Option<i64>,
    /// What happened, in strictly rising order of version and position.
    pub changes: Vec<Change>,
    /// Where the next page begins: never before this one. What the public may not see is passed over.
    pub next: At,
    /// Whether there may be more at once.
    pub more: bool,
}

/// What happened to one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Of the commit.
    pub version: i64,
    /// Within the commit.
    pub position: i64,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// Which event.
    pub event_id: Uuid,
    /// What happened, as seen by the public: what it sees for the first time is created.
    pub kind: Kind,
    /// What differs, see [`crate::event_change::changes`]; nothing for what is created, gone, or back
    /// as it was.
    pub changed: Option<Json>,
    /// The event as it is in the page's version, which may be later than this change.
    pub event: Option<search::Event>,
}

impl Page {
    /// Whether everything after `after` is still in the log. If not, what happened there can't be told
    /// any more, and one has to start over from a search.
    pub fn reaches_back(&self, after: At) -> bool {
        let needed = match after.position {
            Some(_) => after.version,
            None => after.version.saturating_add(1),
        };
        // Nothing has been committed since; also when this is a replica that lags behind.
        needed > self.version.number || self.oldest.is_some_and(|oldest| oldest <= needed)
    }
}

#[derive(FromQueryResult)]
struct Context {
    now_version: i64,
    now_epoch: Uuid,
    oldest: Option<i64>,
    log_version: Option<i64>,
}

#[derive(FromQueryResult)]
struct Logged {
    log_version: i64,
    log_position: i64,
    log_committed_at: DateTime<Utc>,
    log_event: Uuid,
    log_kind: Kind,
    log_revealed: bool,
    log_changes: Option<Json>,
    provider: Option<String>,
}

/// What happened after `after`, at most `limit` changes of it, with every event as it is now. All is
/// of one snapshot.
///
/// # Errors
/// Whatever the database answers.
pub async fn page(reader: &Reader, after: At, limit: u64) -> Result<Page, DbErr> {
    let rows = reader.all(statement(reader.pool(), after, limit)).await?;
    let first = rows
        .first()
        .ok_or_else(|| DbErr::RecordNotFound("the dataset's row is missing".to_owned()))?;
    let context = Context::from_query_result(first, "")?;
    let version = Version {
        number: context.now_version,
        epoch: context.now_epoch,
    };
    let changes: Vec<Change> = match context.log_version {
        Some(_) => rows.iter().map(change).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let more = changes.len() as u64 >= limit;
    let reached = match changes.last() {
        Some(last) if more => At {
            version: last.version,
            position: Some(last.position),
        },
        None if more => after,
        _ => At {
            version: version.number,
            position: None,
        },
    };
    Ok(Page {
        version,
        oldest: context.oldest,
        changes,
        next: std::cmp::max_by_key(after, reached, |at| at.key()),
        more,
    })
}

/// What [`page`] asks, for whoever wants to know how a database goes about it.
pub fn statement(db: &DatabaseConnection, after: At, limit: u64) -> Statement {
    let dialect = Dialect::of(db);
    let values = vec![
        after.version.into(),
        after.position.unwrap_or(i64::MAX).into(),
        i64::try_from(limit).unwrap_or(i64::MAX).into(),
    ];
    dialect.statement(sql(dialect, limit), values)
}

/// Each commit's changes are read in their order, and as few of them as can be on the page: one commit
/// can hold a million.
fn sql(dialect: Dialect, limit: u64) -> String {
    const LOGGED: &str = "d.version AS log_version, c.position AS log_position, \
         d.committed_at AS log_committed_at, c.event_id AS log_event, c.kind AS log_kind, \
         c.revealed AS log_revealed, c.changes AS log_changes";
    // The last condition is for what the release before this one has logged: it hides nothing.
    const OF_COMMIT: &str = "c.run_id = d.run_id \
         AND c.position > CASE WHEN d.version = $1 THEN CAST($2 AS bigint) ELSE -1 END \
         AND NOT c.hidden \
         AND coalesce((SELECT x.ever_online FROM event x WHERE x.id = c.event_id), true)";
    let most = plannable(limit);
    let logged = match dialect {
        Dialect::Postgres => format!(
            "SELECT {LOGGED} FROM dataset_commit d CROSS JOIN LATERAL \
             (SELECT * FROM event_change c WHERE {OF_COMMIT} ORDER BY c.position {most}) c"
        ),
        Dialect::Sqlite => format!(
            "SELECT {LOGGED} FROM dataset_commit d CROSS JOIN event_change c ON c.rowid IN \
             (SELECT c.rowid FROM event_change c WHERE {OF_COMMIT} ORDER BY c.position {most})"
        ),
    };
    let event = columns::<event::Column>("e");
    format!(
        "SELECT s.version AS now_version, s.epoch AS now_epoch, \
         (SELECT min(version) FROM dataset_commit) AS oldest, l.*, p.name AS provider, {event} \
         FROM (SELECT version, epoch FROM dataset LIMIT 1) s \
         LEFT JOIN (SELECT * FROM ({logged} WHERE d.version >= $1 \
                                   ORDER BY d.version, c.position {most}) AS few \
                    ORDER BY log_version, log_position LIMIT $3) l ON true \
         LEFT JOIN event e ON e.id = l.log_event \
         LEFT JOIN provider p ON p.id = e.provider_id \
         ORDER BY l.log_version, l.log_position"
    )
}

fn change(row: &QueryResult) -> Result<Change, DbErr> {
    let logged = Logged::from_query_result(row, "")?;
    let event = match logged.provider {
        Some(provider) => Some(search::Event {
            event: event::Model::from_query_result(row, "")?,
            provider,
        }),
        None => None,
    };
    let (kind, changed) = match logged.log_revealed {
        true => (Kind::Created, None),
        false => (logged.log_kind, logged.log_changes),
    };
    Ok(Change {
        version: logged.log_version,
        position: logged.log_position,
        committed_at: logged.log_committed_at,
        event_id: logged.log_event,
        kind,
        changed,
        event,
    })
}

//! What became of an event, version by version: told from its row by undoing what was logged.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sea_orm::prelude::Json;
use sea_orm::{DatabaseConnection, DbErr, FromQueryResult, Statement, StreamTrait};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::dataset::Version;
use crate::dialect::{Dialect, columns};
use crate::event::{self, Content};
use crate::event_change::Kind;
use crate::search;

/// Changes that are undone at most, from the newest on: what lies before them is not told. Pages further
/// back cost more, since all that is newer has to be undone for them.
pub const MOST_UNDONE: u64 = 5_000;

/// An event, and a page of what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// As it is now.
    pub event: search::Event,
    /// What it was after each logged change, newest first.
    pub versions: Vec<Past>,
    /// Ask for what lies before this version to go on; nothing, if this was all.
    pub before: Option<i64>,
}

/// What an event was after one change, until the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Of the commit.
    pub version: i64,
    /// Within the commit.
    pub position: i64,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// The run that did it.
    pub run: Uuid,
    /// What happened.
    pub kind: Kind,
    /// Whether the event had never been sold online after this.
    pub hidden: bool,
    /// What differs from the version before, see [`crate::event_change::changes`].
    pub changed: Option<Json>,
    /// All of its content after this.
    pub content: Content,
    /// Since when it had left its feed, if it had.
    pub gone_at: Option<DateTime<Utc>>,
    /// Whether it had been sold online by then.
    pub ever_online: bool,
}

#[derive(FromQueryResult)]
struct Context {
    now_version: i64,
    now_epoch: Uuid,
    provider: Option<String>,
    log_version: Option<i64>,
}

#[derive(FromQueryResult)]
struct Logged {
    log_version: i64,
    log_position: i64,
    log_committed_at: DateTime<Utc>,
    log_run: Uuid,
    log_kind: Kind,
    log_hidden: bool,
    log_revealed: bool,
    log_changes: Option<Json>,
}

/// What the event of that id was, newest first, at most `limit` versions of it that are lower than
/// `before`. How far it goes back depends on how long the log is kept, and on [`MOST_UNDONE`]. All is
/// of one snapshot.
///
/// # Errors
/// Whatever the database answers, or a log that does not fit the event.
pub async fn of_event(
    db: &DatabaseConnection,
    id: Uuid,
    before: Option<i64>,
    limit: u64,
) -> Result<(Version, Option<History>), DbErr> {
    let mut rows = db.stream_raw(statement(db, id)).await?;
    let first = rows
        .try_next()
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the dataset's row is missing".to_owned()))?;
    let context = Context::from_query_result(&first, "")?;
    let version = Version {
        number: context.now_version,
        epoch: context.now_epoch,
    };
    let Some(provider) = context.provider else {
        return Ok((version, None));
    };
    let event = event::Model::from_query_result(&first, "")?;
    let mut state = State::of(&event)?;
    let mut history = History {
        event: search::Event { event, provider },
        versions: Vec::new(),
        before: None,
    };
    // An event of which nothing is logged any more comes in one row as well.
    let mut row = context.log_version.map(|_| first);
    while let Some(logged) = row {
        let logged = Logged::from_query_result(&logged, "")?;
        if before.is_none_or(|before| logged.log_version < before) {
            if history.versions.len() as u64 >= limit {
                history.before = history.versions.last().map(|past| past.version);
                break;
            }
            history.versions.push(state.after(&logged)?);
        }
        state.undo(logged);
        row = rows.try_next().await?;
    }
    Ok((version, Some(history)))
}

/// What [`of_event`] asks, for whoever wants to know how a database goes about it. The event's row comes
/// with its newest change only, for it can be large.
pub fn statement(db: &DatabaseConnection, id: Uuid) -> Statement {
    let event = columns::<event::Column>("e");
    let sql = format!(
        "SELECT s.version AS now_version, s.epoch AS now_epoch, l.*, p.name AS provider, {event} \
         FROM (SELECT version, epoch FROM dataset LIMIT 1) s \
         LEFT JOIN (SELECT d.version AS log_version, c.position AS log_position, \
                           d.committed_at AS log_committed_at, c.run_id AS log_run, \
                           c.kind AS log_kind, c.hidden AS log_hidden, \
                           c.revealed AS log_revealed, c.changes AS log_changes, \
                           row_number() OVER (ORDER BY d.version DESC) AS log_nth \
                    FROM event_change c JOIN dataset_commit d ON d.run_id = c.run_id \
                    WHERE c.event_id = $1 ORDER BY d.version DESC LIMIT {MOST_UNDONE}) l ON true \
         LEFT JOIN event e ON e.id = $1 AND coalesce(l.log_nth, 1) = 1 \
         LEFT JOIN provider p ON p.id = e.provider_id \
         ORDER BY l.log_version DESC"
    );
    Dialect::of(db).statement(sql, vec![id.into()])
}

/// What is told of the event at the point in the log that has been reached.
struct State {
    /// As [`crate::event_change::changes`] writes it.
    content: Map<String, Value>,
    ever_online: bool,
    /// Of the event's row, until the first change has been told.
    gone_at: Option<DateTime<Utc>>,
}

impl State {
    fn of(event: &event::Model) -> Result<Self, DbErr> {
        let content = serde_json::to_value(event.clone().into_content()).map_err(unfit)?;
        let Value::Object(content) = content else {
            return Err(DbErr::Json("an event's content is no object".to_owned()));
        };
        Ok(Self {
            content,
            ever_online: event.ever_online,
            gone_at: event.gone_at,
        })
    }

    /// What it was after a change of which all later ones are undone.
    fn after(&self, logged: &Logged) -> Result<Past, DbErr> {
        let content = Value::Object(self.content.clone());
        Ok(Past {
            version: logged.log_version,
            position: logged.log_position,
            committed_at: logged.log_committed_at,
            run: logged.log_run,
            kind: logged.log_kind,
            hidden: logged.log_hidden,
            changed: logged.log_changes.clone(),
            content: serde_json::from_value(content).map_err(unfit)?,
            gone_at: (logged.log_kind == Kind::Gone)
                .then(|| self.gone_at.unwrap_or(logged.log_committed_at)),
            ever_online: self.ever_online && !logged.log_hidden,
        })
    }

    fn undo(&mut self, logged: Logged) {
        if let Some(Value::Object(changes)) = logged.log_changes {
            for (field, mut values) in changes {
                if let Some(before) = values.get_mut(0) {
                    self.content.insert(field, before.take());
                }
            }
        }
        self.gone_at = None;
        self.ever_online &= !logged.log_hidden && !logged.log_revealed;
    }
}

fn unfit(error: serde_json::Error) -> DbErr {
    DbErr::Json(error.to_string())
}

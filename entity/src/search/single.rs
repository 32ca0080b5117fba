//! One event by its id.

use sea_orm::{DbErr, FromQueryResult};
use uuid::Uuid;

use crate::Reader;
use crate::dataset::Version;
use crate::dialect::columns;
use crate::event;

/// An event with its provider's name: what is as old as the dataset's version, and nothing of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event.
    pub event: event::Model,
    /// Its provider's name.
    pub provider: String,
}

#[derive(FromQueryResult)]
struct Context {
    version: i64,
    epoch: Uuid,
    provider: Option<String>,
}

/// The event of that id, whether it was ever sold online or not, with the version that the answer
/// belongs to.
///
/// # Errors
/// Whatever the database answers.
pub async fn event(reader: &Reader, id: Uuid) -> Result<(Version, Option<Event>), DbErr> {
    let sql = format!(
        "SELECT d.version, d.epoch, p.name AS provider, {} \
         FROM dataset d LEFT JOIN event e ON e.id = $1 \
         LEFT JOIN provider p ON p.id = e.provider_id",
        columns::<event::Column>("e")
    );
    let row = reader
        .one(reader.dialect().statement(sql, vec![id.into()]))
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
    Ok((version, Some(Event { event, provider })))
}

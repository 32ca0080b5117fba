//! What is known of a provider's events: just enough to tell what a feed changes.

use std::collections::HashMap;

use futures::TryStreamExt;
use sea_orm::{DbErr, StreamTrait};
use uuid::Uuid;

use crate::Database;
use crate::dialect::Dialect;
use crate::event::DIGEST_BYTES;

/// What is known of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Of its stored content.
    pub digest: [u8; DIGEST_BYTES],
    /// Whether it has left its feed.
    pub gone: bool,
    /// Whether it has stopped being in its feed and is held.
    pub missing: bool,
}

/// All events of a provider, gone ones included, by id.
///
/// # Errors
/// Whatever the database answers.
pub async fn of_provider(db: &Database, provider_id: i64) -> Result<HashMap<Uuid, Known>, DbErr> {
    let dialect = Dialect::of(&db.write);
    let sql = "SELECT id, digest, gone_at IS NOT NULL, missing_since IS NOT NULL \
               FROM event WHERE provider_id = $1";
    let mut rows = db
        .write
        .stream_raw(dialect.statement(sql, vec![provider_id.into()]))
        .await?;
    let mut known = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        let digest: Vec<u8> = row.try_get_by_index(1)?;
        let digest = digest
            .try_into()
            .map_err(|_| DbErr::Type("an event's digest has the wrong length".to_owned()))?;
        known.insert(
            row.try_get_by_index(0)?,
            Known {
                digest,
                gone: row.try_get_by_index(2)?,
                missing: row.try_get_by_index(3)?,
            },
        );
    }
    Ok(known)
}

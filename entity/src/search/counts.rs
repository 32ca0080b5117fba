//! How many events each provider has.

use sea_orm::{DatabaseConnection, DbErr, FromQueryResult};
use uuid::Uuid;

use crate::dataset::Version;
use crate::dialect::Dialect;

/// Events of one provider, whether they were ever sold online or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderCounts {
    /// The provider's name.
    pub provider: String,
    /// Those that are in its feed.
    pub events: i64,
    /// Those that have left it.
    pub events_gone: i64,
}

#[derive(FromQueryResult)]
struct Row {
    version: i64,
    epoch: Uuid,
    provider: Option<String>,
    events: i64,
    events_gone: i64,
}

/// The counts of all providers, by name, with the version that they belong to. Retired ones are among
/// them, for one that comes back brings no new version.
/// It reads the whole of an index.
///
/// # Errors
/// Whatever the database answers.
pub async fn counts(db: &DatabaseConnection) -> Result<(Version, Vec<ProviderCounts>), DbErr> {
    let sql = "SELECT d.version, d.epoch, p.name AS provider, \
               coalesce(c.events, 0) AS events, coalesce(c.events_gone, 0) AS events_gone \
               FROM dataset d LEFT JOIN provider p ON true \
               LEFT JOIN (SELECT provider_id, count(*) - count(gone_at) AS events, \
                                 count(gone_at) AS events_gone \
                          FROM event GROUP BY provider_id) c ON c.provider_id = p.id \
               ORDER BY p.name";
    let rows = Row::find_by_statement(Dialect::of(db).statement(sql, Vec::new()))
        .all(db)
        .await?;
    let first = rows
        .first()
        .ok_or_else(|| DbErr::RecordNotFound("the dataset's row is missing".to_owned()))?;
    let version = Version {
        number: first.version,
        epoch: first.epoch,
    };
    let counts = rows.into_iter().filter_map(|row| {
        Some(ProviderCounts {
            provider: row.provider?,
            events: row.events,
            events_gone: row.events_gone,
        })
    });
    Ok((version, counts.collect()))
}

//! The database's clock.

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseConnection, DbErr, FromQueryResult};

use crate::dialect::Dialect;

#[derive(FromQueryResult)]
struct Moment {
    now: DateTime<Utc>,
}

/// The present, as the database has it.
///
/// # Errors
/// Whatever the database answers.
pub async fn now(db: &DatabaseConnection) -> Result<DateTime<Utc>, DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!("SELECT {} AS now", dialect.now());
    let moment = Moment::find_by_statement(dialect.statement(sql, Vec::new()))
        .one(db)
        .await?;
    moment
        .map(|moment| moment.now)
        .ok_or_else(|| DbErr::RecordNotFound("the database tells no time".to_owned()))
}

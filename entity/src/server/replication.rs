//! Who follows whom.

use sea_orm::{DatabaseConnection, DbErr, FromQueryResult};

use super::Slot;
use super::postgres::one;
use crate::dialect::Dialect;

/// How a replica follows its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Following {
    /// Whether it is a replica at all.
    pub in_recovery: bool,
    /// Whether something of the primary's log arrives.
    pub streaming: bool,
    /// Whether somebody has told it to show nothing more.
    pub paused: bool,
    /// Whether it shows all that the primary had at the position asked for.
    pub caught_up: bool,
    /// Milliseconds since the commit of what it showed last.
    pub shown_ms: Option<i64>,
}

/// Looks how a replica follows; `position` is the primary's, from a moment ago.
///
/// # Errors
/// Whatever the database answers.
pub async fn following(db: &DatabaseConnection, position: &str) -> Result<Following, DbErr> {
    let sql = "SELECT pg_is_in_recovery() AS in_recovery, \
               EXISTS (SELECT 1 FROM pg_stat_wal_receiver) AS streaming, \
               CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused, \
               coalesce(pg_last_wal_replay_lsn() >= CAST(CAST($1 AS text) AS pg_lsn), false) AS caught_up, \
               CAST(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 AS bigint) \
                 AS shown_ms";
    Following::find_by_statement(Dialect::Postgres.statement(sql, vec![position.into()]))
        .one(db)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the server tells nothing".to_owned()))
}

/// How far the primary's log goes.
///
/// # Errors
/// Whatever the database answers; a replica refuses.
pub async fn position(db: &DatabaseConnection) -> Result<String, DbErr> {
    text(db, "SELECT CAST(pg_current_wal_lsn() AS text)").await
}

/// What a server and its replicas have in common, and no other.
///
/// # Errors
/// Whatever the database answers; some services allow it to nobody.
pub async fn system(db: &DatabaseConnection) -> Result<String, DbErr> {
    let sql = "SELECT CAST(system_identifier AS text) FROM pg_control_system()";
    text(db, sql).await
}

/// The slots of a primary for which it keeps something.
///
/// # Errors
/// Whatever the database answers; a replica refuses.
pub async fn slots(db: &DatabaseConnection) -> Result<Vec<Slot>, DbErr> {
    let sql = "SELECT CAST(slot_name AS text) AS name, active, \
               CAST(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS bigint) AS kept_bytes \
               FROM pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY slot_name";
    Slot::find_by_statement(Dialect::Postgres.statement(sql, Vec::new()))
        .all(db)
        .await
}

#[derive(FromQueryResult)]
struct Text {
    text: String,
}

async fn text(db: &DatabaseConnection, sql: &str) -> Result<String, DbErr> {
    let text: Text = one(db, &format!("SELECT ({sql}) AS text")).await?;
    Ok(text.text)
}

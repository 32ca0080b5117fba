//! PostgreSQL as one of our sessions sees it.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, FromQueryResult};

use super::TABLES;
use crate::dialect::Dialect;

const POSTGRES: Dialect = Dialect::Postgres;

/// Who we are there, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Identity {
    /// As the server tells it, such as `15.10 (Debian 15.10-0+deb12u1)`.
    pub version: String,
    /// The same as a number: 150010.
    pub version_number: i64,
    /// As whom our statements run.
    pub user: String,
    /// The database.
    pub database: String,
    /// Where our tables are looked for and made; `None` if the search path leads nowhere.
    pub schema: Option<String>,
    /// Whether tables may be made there.
    pub may_create: bool,
    /// Of the database's text.
    pub encoding: String,
    /// Whether it is a replica, or replays its log after a crash.
    pub in_recovery: bool,
    /// Whether transactions refuse to write.
    pub read_only: bool,
    /// Whether what we say is encrypted; `None` if the server does not tell.
    pub encrypted: Option<bool>,
    /// Whether the server sees us come from its own machine.
    pub local: bool,
}

/// Asks who we are there.
///
/// # Errors
/// Whatever the database answers.
pub async fn identity(db: &DatabaseConnection) -> Result<Identity, DbErr> {
    let sql = "SELECT current_setting('server_version') AS version, \
               CAST(current_setting('server_version_num') AS bigint) AS version_number, \
               CAST(current_user AS text) AS user, CAST(d.datname AS text) AS database, \
               CAST(current_schema() AS text) AS schema, \
               coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create, \
               CAST(pg_encoding_to_char(d.encoding) AS text) AS encoding, \
               pg_is_in_recovery() AS in_recovery, \
               current_setting('transaction_read_only') = 'on' AS read_only, \
               (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted, \
               coalesce(inet_server_addr() = inet_client_addr(), true) AS local \
               FROM pg_database d WHERE d.datname = current_database()";
    one(db, sql).await
}

/// What these settings are in our session, as `SHOW` has them; those that the server does not know are
/// left out.
///
/// # Errors
/// Whatever the database answers.
pub async fn settings(
    db: &DatabaseConnection,
    names: &[&str],
) -> Result<BTreeMap<String, String>, DbErr> {
    let names = names.iter().map(ToString::to_string).collect();
    let sql = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1::text[])";
    let statement = POSTGRES.statement(sql, vec![POSTGRES.texts(names)]);
    let rows = db.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect()
}

/// Connections, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Sessions {
    /// To the whole server, ours included.
    pub used: i64,
    /// `max_connections`.
    pub most: i64,
    /// Kept for superusers and the like.
    pub reserved: i64,
    /// Of our user.
    pub of_user: i64,
    /// At most; negative: no limit.
    pub of_user_most: i64,
    /// To our database.
    pub of_database: i64,
    /// At most; negative: no limit.
    pub of_database_most: i64,
}

/// Counts the connections.
///
/// # Errors
/// Whatever the database answers.
pub async fn sessions(db: &DatabaseConnection) -> Result<Sessions, DbErr> {
    let sql = "SELECT count(*) AS used, \
               CAST(current_setting('max_connections') AS bigint) AS most, \
               CAST(current_setting('superuser_reserved_connections') AS bigint) \
                 + coalesce(CAST(current_setting('reserved_connections', true) AS bigint), 0) AS reserved, \
               count(*) FILTER (WHERE usename = current_user) AS of_user, \
               (SELECT CAST(rolconnlimit AS bigint) FROM pg_roles WHERE rolname = current_user) AS of_user_most, \
               count(*) FILTER (WHERE datname = current_database()) AS of_database, \
               (SELECT CAST(datconnlimit AS bigint) FROM pg_database WHERE datname = current_database()) \
                 AS of_database_most \
               FROM pg_stat_activity WHERE datid IS NOT NULL";
    one(db, sql).await
}

/// One of our tables, and what we may do with it.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub found: bool,
    /// The privileges that we have: of `SELECT`, `INSERT`, `UPDATE` and `DELETE`, with commas.
    pub privileges: String,
    /// Whether policies hide rows from us.
    pub hides_rows: bool,
}

/// Looks at each of our tables.
///
/// # Errors
/// Whatever the database answers.
pub async fn tables(db: &DatabaseConnection) -> Result<Vec<Table>, DbErr> {
    let sql = "SELECT t.name, c.oid IS NOT NULL AS found, \
               coalesce((SELECT string_agg(p.name, ',' ORDER BY p.at) \
                   FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS p (name, at) \
                   WHERE has_table_privilege(c.oid, p.name)), '') AS privileges, \
               coalesce(row_security_active(c.oid), false) AS hides_rows \
               FROM unnest($1::text[]) AS t (name) \
               LEFT JOIN pg_class c ON c.oid = to_regclass(quote_ident(t.name)) ORDER BY t.name";
    let names = TABLES.map(str::to_owned).to_vec();
    Table::find_by_statement(POSTGRES.statement(sql, vec![POSTGRES.texts(names)]))
        .all(db)
        .await
}

/// Indexes that are not used, for they were not finished.
///
/// # Errors
/// Whatever the database answers.
pub async fn invalid_indexes(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let sql = "SELECT CAST(CAST(i.indexrelid AS regclass) AS text) FROM pg_index i \
               JOIN pg_class c ON c.oid = i.indrelid \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE NOT i.indisvalid AND n.nspname = current_schema() ORDER BY 1";
    let rows = db
        .query_all_raw(POSTGRES.statement(sql, Vec::new()))
        .await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// What is left undone, or goes on for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Upkeep {
    /// Transactions since the oldest row that was not frozen; at two thousand million nothing is
    /// written any more.
    pub transaction_age: i64,
    /// Milliseconds for which the oldest transaction in our database has been open, as far as we may
    /// see it.
    pub oldest_transaction_ms: Option<i64>,
}

/// Looks for what is left undone.
///
/// # Errors
/// Whatever the database answers.
pub async fn upkeep(db: &DatabaseConnection) -> Result<Upkeep, DbErr> {
    let sql = "SELECT CAST(age(d.datfrozenxid) AS bigint) AS transaction_age, \
               (SELECT CAST(extract(epoch FROM max(clock_timestamp() - a.xact_start)) * 1000 AS bigint) \
                FROM pg_stat_activity a WHERE a.datname = d.datname AND a.pid <> pg_backend_pid() \
                  AND a.backend_type = 'client backend') AS oldest_transaction_ms \
               FROM pg_database d WHERE d.datname = current_database()";
    one(db, sql).await
}

/// A replication slot with what the server keeps for it.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody reads from it.
    pub active: bool,
    /// Bytes of the log that are kept for it.
    pub kept_bytes: i64,
}

pub(super) async fn one<R: FromQueryResult>(
    db: &DatabaseConnection,
    sql: &str,
) -> Result<R, DbErr> {
    R::find_by_statement(POSTGRES.statement(sql, Vec::new()))
        .one(db)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the server tells nothing".to_owned()))
}

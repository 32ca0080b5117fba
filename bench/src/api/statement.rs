//! The statement by which the API reads a page, as the database has seen it.

use anyhow::{Context, bail};
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

use super::served::APPLICATION;

/// What the API sent last, with its two parameters.
pub(super) struct Statement {
    sql: String,
    start: usize,
    rows: usize,
}

impl Statement {
    /// A page must have been read, and nothing else after it by the same session.
    pub(super) async fn of_the_api(url: &str) -> anyhow::Result<Self> {
        let mut db = PgConnection::connect(url).await?;
        let sql: Option<String> = sqlx::query_scalar(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name = $1 AND query LIKE '%FROM event%LIMIT $%' \
             ORDER BY query_start DESC LIMIT 1",
        )
        .bind(APPLICATION)
        .fetch_optional(&mut db)
        .await?;
        let sql = sql.context("the database does not tell how the API reads a page")?;
        db.execute(AssertSqlSafe(format!("PREPARE page AS {sql}")))
            .await?;
        let types: Vec<String> = sqlx::query_scalar(
            "SELECT unnest(parameter_types)::text FROM pg_prepared_statements WHERE name = 'page'",
        )
        .fetch_all(&mut db)
        .await?;
        db.close().await?;
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let (start, rows) = match types[..] {
            ["timestamp with time zone", "bigint"] => (1, 2),
            ["bigint", "timestamp with time zone"] => (2, 1),
            _ => bail!("the API reads a page by other parameters, {types:?}: {sql}"),
        };
        Ok(Self { sql, start, rows })
    }

    /// With expressions instead of the parameters.
    pub(super) fn with(&self, start: &str, rows: &str) -> String {
        self.sql
            .replace(&format!("${}", self.start), start)
            .replace(&format!("${}", self.rows), rows)
    }

    pub(super) fn text(&self) -> &str {
        self.sql.trim()
    }

    /// The events that it finds from a second on.
    pub(super) async fn ids(
        &self,
        url: &str,
        second: i64,
        rows: usize,
    ) -> anyhow::Result<Vec<Uuid>> {
        let mut db = PgConnection::connect(url).await?;
        let sql = self.with(&format!("to_timestamp({second})"), &rows.to_string());
        let found = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut db).await?;
        db.close().await?;
        found
            .iter()
            .map(|row| Ok(row.try_get("id")?))
            .collect::<anyhow::Result<_>>()
    }
}

//! The limit of a first sync: the same rows by `COPY` into a staging table, and from there by one
//! statement each into the same tables.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::TryStreamExt;
use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::sqlx::{self, Connection, Executor, PgConnection};

/// The rows of a synced database, in PostgreSQL's text form.
pub(super) async fn export(url: &str) -> anyhow::Result<Vec<u8>> {
    let mut db = PgConnection::connect(url).await?;
    let mut rows = Vec::new();
    {
        let mut copy = db.copy_out_raw("COPY event TO STDOUT").await?;
        while let Some(piece) = copy.try_next().await? {
            rows.extend_from_slice(&piece);
        }
    }
    db.close().await?;
    Ok(rows)
}

/// Copies and merges them into the tables of a database that knows the provider and has no event.
pub(super) async fn merge(url: &str, rows: &[u8]) -> anyhow::Result<Duration> {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
    let mut db = pool.acquire().await?;
    let started = Instant::now();
    db.execute("BEGIN").await?;
    db.execute("CREATE TEMP TABLE staging (LIKE event) ON COMMIT DROP")
        .await?;
    let mut copy = db.copy_in_raw("COPY staging FROM STDIN").await?;
    for piece in rows.chunks(256 << 10) {
        copy.send(piece).await?;
    }
    copy.finish().await?;
    db.execute(MERGE_EVENTS).await?;
    db.execute(LOG_CHANGES).await?;
    db.execute("UPDATE dataset SET version = version + 1")
        .await?;
    db.execute("COMMIT").await?;
    let took = started.elapsed();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM event_change")
        .fetch_one(&mut *db)
        .await?;
    (count > 0).then_some(()).context("nothing was merged")?;
    drop(db);
    pool.close().await;
    Ok(took)
}

const MERGE_EVENTS: &str = "INSERT INTO event SELECT * FROM staging ORDER BY id \
    ON CONFLICT (id) DO UPDATE SET title = excluded.title, starts_at = excluded.starts_at, \
    ends_at = excluded.ends_at, starts_local = excluded.starts_local, \
    ends_local = excluded.ends_local, sell_from = excluded.sell_from, \
    sell_to = excluded.sell_to, sold_out = excluded.sold_out, sell_mode = excluded.sell_mode, \
    ever_online = event.ever_online OR excluded.ever_online, \
    organizer_company_id = excluded.organizer_company_id, min_price = excluded.min_price, \
    max_price = excluded.max_price, zones = excluded.zones, digest = excluded.digest, \
    changed_at = excluded.changed_at, gone_at = NULL, missing_since = NULL";

const LOG_CHANGES: &str = "INSERT INTO event_change (run_id, position, event_id, kind) \
    SELECT '00000000-0000-7000-8000-000000000000', row_number() OVER (ORDER BY id) - 1, id, \
    'created' FROM staging";

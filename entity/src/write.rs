//! Bulk writes of event rows, change rows and set-aside rows.
//!
//! PostgreSQL takes whole columns as array parameters, so that the cost of a statement does not
//! grow with its rows; SQLite takes rows, as many as its limit on parameters allows.

use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{ActiveEnum, ConnectionTrait, DbErr, ExprTrait, Value};
use uuid::Uuid;

use crate::commit::{Change, SetAside, Upsert};
use crate::dialect::{Dialect, NO_NUMBER, no_instant};

/// Rows in one statement: bounds a statement's memory on both sides.
const ROWS: usize = 5_000;
/// SQLite allows 32,766 parameters a statement.
const SQLITE_ROWS: usize = 1_000;

/// Inserts or replaces events, in the order given.
pub(crate) async fn upsert(
    db: &impl ConnectionTrait,
    provider_id: i64,
    events: &[Upsert],
) -> Result<(), DbErr> {
    let dialect = Dialect::of(db);
    match dialect {
        Dialect::Postgres => {
            for rows in events.chunks(ROWS) {
                let values = columns(provider_id, rows);
                db.execute_raw(dialect.statement(UPSERT_POSTGRES, values))
                    .await?;
            }
        }
        Dialect::Sqlite => {
            for rows in events.chunks(SQLITE_ROWS) {
                upsert_sqlite(db, provider_id, rows).await?;
            }
        }
    }
    Ok(())
}

const UPSERT_POSTGRES: &str = "\
    INSERT INTO event (id, provider_id, base_id, event_id, title, starts_at, ends_at, \
        starts_local, ends_local, sell_from, sell_to, sold_out, sell_mode, ever_online, \
        organizer_company_id, min_price, max_price, zones, digest, first_seen_at, changed_at) \
    SELECT t.id, $1, t.base_id, t.event_id, t.title, t.starts_at, nullif(t.ends_at, $2), \
        t.starts_local, nullif(t.ends_local, $3), nullif(t.sell_from, $2), \
        nullif(t.sell_to, $2), t.sold_out, t.sell_mode, t.sell_mode = 'online', \
        nullif(t.organizer, ''), nullif(t.min_price, $4), nullif(t.max_price, $4), \
        t.zones::jsonb, t.digest, now(), now() \
    FROM unnest($5::uuid[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], \
        $10::timestamptz[], $11::timestamp[], $12::timestamp[], $13::timestamptz[], \
        $14::timestamptz[], $15::boolean[], $16::text[], $17::text[], $18::bigint[], \
        $19::bigint[], $20::text[], $21::bytea[]) \
        AS t (id, base_id, event_id, title, starts_at, ends_at, starts_local, ends_local, \
        sell_from, sell_to, sold_out, sell_mode, organizer, min_price, max_price, zones, digest) \
    ON CONFLICT (id) DO UPDATE SET title = excluded.title, starts_at = excluded.starts_at, \
        ends_at = excluded.ends_at, starts_local = excluded.starts_local, \
        ends_local = excluded.ends_local, sell_from = excluded.sell_from, \
        sell_to = excluded.sell_to, sold_out = excluded.sold_out, \
        sell_mode = excluded.sell_mode, \
        ever_online = event.ever_online OR excluded.ever_online, \
        organizer_company_id = excluded.organizer_company_id, \
        min_price = excluded.min_price, max_price = excluded.max_price, \
        zones = excluded.zones, digest = excluded.digest, changed_at = excluded.changed_at, \
        gone_at = NULL, missing_since = NULL";

fn columns(provider_id: i64, rows: &[Upsert]) -> Vec<Value> {
    fn column<T>(rows: &[Upsert], value: impl Fn(&Upsert) -> T) -> Value
    where
        Vec<T>: Into<Value>,
    {
        rows.iter().map(value).collect::<Vec<_>>().into()
    }
    let no_instant = no_instant();
    let no_local = no_instant.naive_utc();
    vec![
        provider_id.into(),
        no_instant.into(),
        no_local.into(),
        NO_NUMBER.into(),
        column(rows, |row| row.id),
        column(rows, |row| row.content.base_id.clone()),
        column(rows, |row| row.content.event_id.clone()),
        column(rows, |row| row.content.title.clone()),
        column(rows, |row| row.content.starts_at),
        column(rows, |row| row.content.ends_at.unwrap_or(no_instant)),
        column(rows, |row| row.content.starts_local),
        column(rows, |row| row.content.ends_local.unwrap_or(no_local)),
        column(rows, |row| row.content.sell_from.unwrap_or(no_instant)),
        column(rows, |row| row.content.sell_to.unwrap_or(no_instant)),
        column(rows, |row| row.content.sold_out),
        column(rows, |row| row.content.sell_mode.to_value()),
        column(rows, |row| {
            row.content.organizer_company_id.clone().unwrap_or_default()
        }),
        column(rows, |row| row.content.min_price.unwrap_or(NO_NUMBER)),
        column(rows, |row| row.content.max_price.unwrap_or(NO_NUMBER)),
        column(rows, Upsert::zones_json),
        column(rows, |row| row.digest.to_vec()),
    ]
}

const UPDATED: [&str; 14] = [
    "title",
    "starts_at",
    "ends_at",
    "starts_local",
    "ends_local",
    "sell_from",
    "sell_to",
    "sold_out",
    "sell_mode",
    "organizer_company_id",
    "min_price",
    "max_price",
    "zones",
    "digest",
];

async fn upsert_sqlite(
    db: &impl ConnectionTrait,
    provider_id: i64,
    rows: &[Upsert],
) -> Result<(), DbErr> {
    use sea_orm::sea_query::Expr;
    let now = || Expr::cust(Dialect::Sqlite.now());
    let mut insert = Query::insert();
    insert.into_table("event").columns(
        ["id", "provider_id", "base_id", "event_id"]
            .into_iter()
            .chain(UPDATED)
            .chain(["ever_online", "first_seen_at", "changed_at"]),
    );
    for row in rows {
        let content = &row.content;
        let values: [Expr; 18] = [
            row.id.into(),
            provider_id.into(),
            content.base_id.clone().into(),
            content.event_id.clone().into(),
            content.title.clone().into(),
            content.starts_at.into(),
            content.ends_at.into(),
            content.starts_local.into(),
            content.ends_local.into(),
            content.sell_from.into(),
            content.sell_to.into(),
            content.sold_out.into(),
            content.sell_mode.to_value().into(),
            content.organizer_company_id.clone().into(),
            content.min_price.into(),
            content.max_price.into(),
            row.zones_json().into(),
            row.digest.to_vec().into(),
        ];
        let online = content.sell_mode == crate::event::SellMode::Online;
        let rest = [online.into(), now(), now()];
        insert.values_panic(values.into_iter().chain(rest));
    }
    let either = Expr::col(("event", "ever_online")).or(Expr::col(("excluded", "ever_online")));
    insert.on_conflict(
        OnConflict::column("id")
            .update_columns(UPDATED.into_iter().chain(["changed_at"]))
            .value("ever_online", either)
            .value("gone_at", Option::<String>::None)
            .value("missing_since", Option::<String>::None)
            .to_owned(),
    );
    db.execute(&insert).await?;
    Ok(())
}

/// Marks events as gone from their feed.
pub(crate) async fn mark_gone(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!(
        "UPDATE event SET gone_at = {now}, changed_at = {now}, missing_since = NULL WHERE id {}",
        dialect.in_ids("$1"),
        now = dialect.now()
    );
    for ids in ids.chunks(ROWS) {
        db.execute_raw(dialect.statement(&sql, vec![dialect.ids(ids)]))
            .await?;
    }
    Ok(())
}

/// Clears the marks of events that are in their feed again with the same content.
pub(crate) async fn mark_present(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!(
        "UPDATE event SET gone_at = NULL, missing_since = NULL, changed_at = {} WHERE id {}",
        dialect.now(),
        dialect.in_ids("$1")
    );
    for ids in ids.chunks(ROWS) {
        db.execute_raw(dialect.statement(&sql, vec![dialect.ids(ids)]))
            .await?;
    }
    Ok(())
}

/// Writes the run's changes, in order from position 0.
pub(crate) async fn changes(
    db: &impl ConnectionTrait,
    run: Uuid,
    changes: &[Change],
) -> Result<(), DbErr> {
    let dialect = Dialect::of(db);
    for (chunk, rows) in changes.chunks(ROWS.min(SQLITE_ROWS * 5)).enumerate() {
        let first = chunk * ROWS;
        let text = |row: &Change| {
            row.changes
                .as_ref()
                .map(|changes| serde_json::Value::Object(changes.clone()).to_string())
        };
        match dialect {
            Dialect::Postgres => {
                let sql = "INSERT INTO event_change (run_id, position, event_id, kind, changes) \
                    SELECT $1, $2 + t.n, t.event_id, t.kind, nullif(t.changes, '')::jsonb \
                    FROM unnest($3::uuid[], $4::text[], $5::text[]) WITH ORDINALITY \
                    AS t (event_id, kind, changes, n)";
                let values = vec![
                    run.into(),
                    (i64::try_from(first).unwrap_or(i64::MAX) - 1).into(),
                    rows.iter().map(|row| row.event).collect::<Vec<_>>().into(),
                    rows.iter()
                        .map(|row| row.kind.to_value())
                        .collect::<Vec<_>>()
                        .into(),
                    rows.iter()
                        .map(|row| text(row).unwrap_or_default())
                        .collect::<Vec<_>>()
                        .into(),
                ];
                db.execute_raw(dialect.statement(sql, values)).await?;
            }
            Dialect::Sqlite => {
                let mut insert = Query::insert();
                insert
                    .into_table("event_change")
                    .columns(["run_id", "position", "event_id", "kind", "changes"]);
                for (offset, row) in rows.iter().enumerate() {
                    let position = i64::try_from(first + offset).unwrap_or(i64::MAX);
                    insert.values_panic([
                        run.into(),
                        position.into(),
                        row.event.into(),
                        row.kind.to_value().into(),
                        text(row).into(),
                    ]);
                }
                db.execute(&insert).await?;
            }
        }
    }
    Ok(())
}

/// Writes the run's set-aside items; their number is bounded by the run.
pub(crate) async fn set_aside(
    db: &impl ConnectionTrait,
    run: Uuid,
    items: &[SetAside],
) -> Result<(), DbErr> {
    for (chunk, rows) in items.chunks(SQLITE_ROWS).enumerate() {
        let mut insert = Query::insert();
        insert.into_table("set_aside").columns([
            "run_id", "ordinal", "position", "path", "reason", "base_id", "event_id", "snippet",
        ]);
        for (offset, item) in rows.iter().enumerate() {
            let (base_id, event_id) = item.identity.clone().unzip();
            insert.values_panic([
                run.into(),
                i64::try_from(chunk * SQLITE_ROWS + offset)
                    .unwrap_or(i64::MAX)
                    .into(),
                i64::try_from(item.position).unwrap_or(i64::MAX).into(),
                item.path.clone().into(),
                item.reason.clone().into(),
                base_id.into(),
                event_id.into(),
                item.snippet.clone().into(),
            ]);
        }
        db.execute(&insert).await?;
    }
    Ok(())
}

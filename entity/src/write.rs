//! Bulk writes of event rows, change rows and set-aside rows.
//!
//! PostgreSQL takes whole columns as array parameters, so that the cost of a statement does not
//! grow with its rows; SQLite takes rows, as many as its limit on parameters allows.

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{ActiveEnum, ConnectionTrait, DbErr, ExprTrait, Value};
use uuid::Uuid;

use crate::commit::{SetAside, Upsert};
use crate::dialect::{Dialect, NO_NUMBER, no_instant};
use crate::event::{self, SellMode};
use crate::event_change::{self, Kind};

/// Rows in one statement: bounds a statement's memory on both sides.
const ROWS: usize = 5_000;
/// Zones in one statement, for an event can have thousands.
const ZONES: usize = 20_000;
/// SQLite allows 32,766 parameters a statement.
const SQLITE_ROWS: usize = 1_000;

/// Inserts or replaces events, in the order given, and logs what becomes of each.
pub(crate) async fn store(
    db: &impl ConnectionTrait,
    provider_id: i64,
    events: &[Upsert],
    log: &mut Log,
) -> Result<(), DbErr> {
    let dialect = Dialect::of(db);
    let most = match dialect {
        Dialect::Postgres => ROWS,
        Dialect::Sqlite => SQLITE_ROWS,
    };
    for rows in portions(events, most) {
        let before = before(db, rows).await?;
        let changes: Vec<Change> = rows
            .iter()
            .map(|row| Change::of(row, before.get(&row.id)))
            .collect();
        drop(before);
        match dialect {
            Dialect::Postgres => {
                let values = columns(provider_id, rows);
                db.execute_raw(dialect.statement(UPSERT_POSTGRES, values))
                    .await?;
            }
            Dialect::Sqlite => upsert_sqlite(db, provider_id, rows).await?,
        }
        log.append(db, &changes, Visibility::Told).await?;
    }
    Ok(())
}

/// Splits events so that no portion has more than so many of them, or too many zones.
fn portions(mut events: &[Upsert], most: usize) -> impl Iterator<Item = &[Upsert]> {
    std::iter::from_fn(move || {
        let mut zones = 0;
        let fit = events
            .iter()
            .take(most)
            .take_while(|event| {
                zones += event.content.zones.len();
                zones <= ZONES
            })
            .count();
        let (portion, rest) = events.split_at(fit.max(1).min(events.len()));
        events = rest;
        (!portion.is_empty()).then_some(portion)
    })
}

/// The stored rows of those that are known.
async fn before(
    db: &impl ConnectionTrait,
    rows: &[Upsert],
) -> Result<HashMap<Uuid, event::Model>, DbErr> {
    let known: Vec<Uuid> = rows
        .iter()
        .filter(|row| row.known)
        .map(|row| row.id)
        .collect();
    if known.is_empty() {
        return Ok(HashMap::new());
    }
    let found = event::by_ids(db, &known).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}

/// What happened to one event.
struct Change {
    event: Uuid,
    kind: Kind,
    /// What differs as JSON, see [`event_change::changes`]; only where something was known before.
    changes: Option<String>,
    /// Whether it had never been sold online after this.
    hidden: bool,
    /// Whether with this it was so for the first time, although it was known before.
    revealed: bool,
}

impl Change {
    fn of(row: &Upsert, before: Option<&event::Model>) -> Self {
        let kind = match before {
            None => Kind::Created,
            Some(before) if before.gone_at.is_some() => Kind::Returned,
            Some(_) => Kind::Updated,
        };
        let changes = before.map(|before| {
            serde_json::Value::Object(event_change::changes(before, &row.content)).to_string()
        });
        let online = row.content.sell_mode == SellMode::Online;
        let was_online = before.is_some_and(|before| before.ever_online);
        Self {
            event: row.id,
            kind,
            changes,
            hidden: !online && !was_online,
            revealed: online && !was_online && before.is_some(),
        }
    }
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

fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Value
where
    Vec<T>: Into<Value>,
{
    rows.iter().map(value).collect::<Vec<_>>().into()
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
        let online = content.sell_mode == SellMode::Online;
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

/// Clears the marks of gone events that are in their feed again with the same content.
pub(crate) async fn mark_returned(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), DbErr> {
    let now = Dialect::of(db).now();
    let marks = format!("gone_at = NULL, missing_since = NULL, changed_at = {now}");
    mark(db, ids, &marks).await
}

/// Marks events as gone from their feed.
pub(crate) async fn mark_gone(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), DbErr> {
    let now = Dialect::of(db).now();
    let marks = format!("gone_at = {now}, changed_at = {now}, missing_since = NULL");
    mark(db, ids, &marks).await
}

/// Marks events as missing from their feed and held; nothing of it is visible to readers.
pub(crate) async fn mark_missing(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), DbErr> {
    let now = Dialect::of(db).now();
    mark(
        db,
        ids,
        &format!("missing_since = coalesce(missing_since, {now})"),
    )
    .await
}

/// Clears that mark.
pub(crate) async fn mark_found(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), DbErr> {
    mark(db, ids, "missing_since = NULL").await
}

async fn mark(db: &impl ConnectionTrait, ids: &[Uuid], marks: &str) -> Result<(), DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!("UPDATE event SET {marks} WHERE id {}", dialect.in_ids("$1"));
    for ids in ids.chunks(ROWS) {
        db.execute_raw(dialect.statement(&sql, vec![dialect.ids(ids)]))
            .await?;
    }
    Ok(())
}

/// The log of a run's changes, in order from position 0. A position that is taken is left alone: the
/// run has been committed before, by whoever it was handed to as well, and this commit will not hold.
pub(crate) struct Log {
    run: Uuid,
    next: i64,
}

/// Whence it is known whether a change is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visibility {
    /// The change tells it.
    Told,
    /// The event's row does, as written just now; what has no row is hidden.
    Stored,
}

const HIDDEN_AS_STORED: &str =
    "NOT coalesce((SELECT e.ever_online FROM event e WHERE e.id = {id}), false)";

impl Log {
    pub(crate) fn new(run: Uuid) -> Self {
        Self { run, next: 0 }
    }

    /// Whether nothing has been logged.
    pub(crate) fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// Logs that the same happened to many events.
    pub(crate) async fn write(
        &mut self,
        db: &impl ConnectionTrait,
        events: &[Uuid],
        kind: Kind,
    ) -> Result<(), DbErr> {
        for events in events.chunks(ROWS) {
            let changes: Vec<Change> = events
                .iter()
                .map(|event| Change {
                    event: *event,
                    kind,
                    changes: None,
                    hidden: false,
                    revealed: false,
                })
                .collect();
            self.append(db, &changes, Visibility::Stored).await?;
        }
        Ok(())
    }

    async fn append(
        &mut self,
        db: &impl ConnectionTrait,
        rows: &[Change],
        visibility: Visibility,
    ) -> Result<(), DbErr> {
        match Dialect::of(db) {
            Dialect::Postgres => self.append_postgres(db, rows, visibility).await?,
            Dialect::Sqlite => self.append_sqlite(db, rows, visibility).await?,
        }
        self.next += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        Ok(())
    }

    async fn append_postgres(
        &self,
        db: &impl ConnectionTrait,
        rows: &[Change],
        visibility: Visibility,
    ) -> Result<(), DbErr> {
        let hidden = match visibility {
            Visibility::Told => "t.hidden".to_owned(),
            Visibility::Stored => HIDDEN_AS_STORED.replace("{id}", "t.event_id"),
        };
        let sql = format!(
            "INSERT INTO event_change \
                (run_id, position, event_id, kind, changes, hidden, revealed) \
            SELECT $1, $2 + t.n - 1, t.event_id, t.kind, nullif(t.changes, '')::jsonb, {hidden}, \
                t.revealed \
            FROM unnest($3::uuid[], $4::text[], $5::text[], $6::boolean[], $7::boolean[]) \
                WITH ORDINALITY AS t (event_id, kind, changes, hidden, revealed, n) \
            ON CONFLICT (run_id, position) DO NOTHING"
        );
        let values = vec![
            self.run.into(),
            self.next.into(),
            column(rows, |row| row.event),
            column(rows, |row| row.kind.to_value()),
            column(rows, |row| row.changes.clone().unwrap_or_default()),
            column(rows, |row| row.hidden),
            column(rows, |row| row.revealed),
        ];
        let statement = Dialect::Postgres.statement(sql, values);
        db.execute_raw(statement).await?;
        Ok(())
    }

    async fn append_sqlite(
        &self,
        db: &impl ConnectionTrait,
        rows: &[Change],
        visibility: Visibility,
    ) -> Result<(), DbErr> {
        let mut position = self.next;
        for rows in rows.chunks(SQLITE_ROWS) {
            let mut insert = Query::insert();
            insert.into_table("event_change").columns([
                "run_id", "position", "event_id", "kind", "changes", "hidden", "revealed",
            ]);
            for row in rows {
                let hidden = match visibility {
                    Visibility::Told => row.hidden.into(),
                    Visibility::Stored => {
                        Expr::cust_with_values(HIDDEN_AS_STORED.replace("{id}", "?"), [row.event])
                    }
                };
                insert.values_panic([
                    self.run.into(),
                    position.into(),
                    row.event.into(),
                    row.kind.to_value().into(),
                    row.changes.clone().into(),
                    hidden,
                    row.revealed.into(),
                ]);
                position += 1;
            }
            let mut taken = OnConflict::columns(["run_id", "position"]);
            insert.on_conflict(taken.do_nothing().to_owned());
            db.execute(&insert).await?;
        }
        Ok(())
    }
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

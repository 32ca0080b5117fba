//! How PostgreSQL goes about what the API asks of a million events: the plans of the very statements,
//! those that know their values and those that are kept for any.

use chrono::{DateTime, TimeDelta, Utc};
use entity::changes::{self, At};
use entity::search::{self, Gone, Position, Search};
use entity::{Config, Session, history};
use futures::TryStreamExt;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::Value;
use uuid::Uuid;

use crate::world::World;

const EVENTS: i64 = 1_000_000;
/// What a plan may touch of tables and indexes, in pages of 8 KiB.
const A_PAGE_OF_ROWS: i64 = 200;
/// As many changed events as are sorted lie on so many.
const FEW_CHANGED: i64 = 2_500;

fn start() -> DateTime<Utc> {
    "2025-01-01T00:00:00Z".parse().unwrap()
}

/// Three years of 200 providers' events: 5 % last for days, some for months; 10 % are gone, 20 % sold
/// out, 10 % have no end and 5 % no price; 1 % were changed within the last hour. All but the primary
/// key's index are made when the rows are there.
async fn fill(world: &World) {
    let db = &world.db.write;
    let sql = "INSERT INTO provider (name, url, host, format, interval_ms, timezone, timeout_ms, \
               created_at, next_due_at, late_at) \
               SELECT 'provider-' || n, 'http://127.0.0.1:9/', 'host', 'plan-list', 900000, 'UTC', \
               30000, now(), now(), now() FROM generate_series(1, 200) n";
    world.execute(sql, vec![]).await;
    let indexes = "SELECT indexname, indexdef FROM pg_indexes \
                   WHERE tablename = 'event' AND indexname <> 'event_pkey'";
    let indexes = db.query_all_raw(world.statement(indexes, vec![])).await;
    let indexes: Vec<(String, String)> = indexes
        .unwrap()
        .iter()
        .map(|row| {
            (
                row.try_get_by_index(0).unwrap(),
                row.try_get_by_index(1).unwrap(),
            )
        })
        .collect();
    for (name, _) in &indexes {
        db.execute_unprepared(&format!("DROP INDEX {name}"))
            .await
            .unwrap();
    }
    for sql in ["ALTER TABLE event SET UNLOGGED", "SELECT setseed(0.42)"] {
        db.execute_unprepared(sql).await.unwrap();
    }
    let insert = format!(
        "INSERT INTO event (id, provider_id, base_id, event_id, title, starts_at, ends_at, \
         starts_local, sold_out, sell_mode, ever_online, min_price, max_price, zones, digest, \
         first_seen_at, changed_at, gone_at) \
         SELECT CAST(lpad(to_hex(n), 8, '0') || '-0000-5000-8000-000000000000' AS uuid), \
         (SELECT min(id) FROM provider) + n % 200, '1', n, 'A title of middling length', starts, \
         CASE WHEN long < 0.05 THEN starts + interval '25 hours' + power(long * 20, 4) * interval '90 days' \
              WHEN long < 0.95 THEN starts + interval '2 hours' END, \
         starts, random() < 0.2, 'online', true, \
         CASE WHEN price > 50000 THEN price END, CASE WHEN price > 50000 THEN price + 100000 END, \
         '[{{\"id\":\"40\",\"name\":\"Platea\",\"price\":200000}}]', '\\x00', now(), \
         now() - CASE WHEN n % 100 = 0 THEN random() * interval '1 hour' \
                      ELSE interval '2 hours' + random() * interval '300 days' END, \
         CASE WHEN random() < 0.1 THEN now() END \
         FROM (SELECT n, timestamptz '{}' + CAST(random() * 1096 * 1440 AS int) * interval '1 minute' \
                      AS starts, random() AS long, CAST(random() * 1000000 AS bigint) AS price \
               FROM generate_series(1, {EVENTS}) n) AS drawn",
        start().to_rfc3339()
    );
    world.execute(&insert, vec![]).await;
    for (_, definition) in &indexes {
        db.execute_unprepared(definition).await.unwrap();
    }
    db.execute_unprepared("VACUUM ANALYZE event").await.unwrap();
}

/// A thousand commits of 300 changes each, and one of 200,000, a tenth of which is hidden. The first
/// event has changed with every commit.
async fn log(world: &World) {
    let run = "CAST(lpad(to_hex(v), 8, '0') || '-0000-7000-8000-000000000000' AS uuid)";
    let event = "CAST(lpad(to_hex(n), 8, '0') || '-0000-5000-8000-000000000000' AS uuid)";
    let of = |versions: &str, changes: &str| {
        format!(
            "INSERT INTO event_change (run_id, position, event_id, kind, changes, hidden) \
             SELECT {run}, p, {event}, 'updated', '{{\"title\": [\"before\", \"after\"]}}', p % 10 = 9 \
             FROM (SELECT v, p, CASE WHEN p = 0 THEN 1 ELSE 1 + (v * 7919 + p) % {EVENTS} END AS n \
                   FROM generate_series({versions}) v, generate_series(0, {changes}) p) AS drawn"
        )
    };
    let commits = format!(
        "INSERT INTO dataset_commit (version, run_id, committed_at) \
         SELECT v, {run}, now() FROM generate_series(1, 1001) v"
    );
    for sql in [
        of("1, 1000", "299"),
        of("1001, 1001", "199999"),
        commits,
        "UPDATE dataset SET version = 1001".to_owned(),
    ] {
        world.execute(&sql, vec![]).await;
    }
    for table in ["event_change", "dataset_commit"] {
        let sql = format!("VACUUM ANALYZE {table}");
        world.db.write.execute_unprepared(&sql).await.unwrap();
    }
}

/// One connection, for plans are kept by each, and no limits.
async fn patient() -> World {
    let mut world = World::postgres().await;
    let mut config = Config::new(world.database.url().parse().unwrap());
    config.max_connections = 1;
    config.session = Session::default();
    world.db = entity::connect(&config).await.unwrap();
    world
}

/// The plans of a statement as it went, both of one that knows its values and of a kept one.
async fn plans(world: &World, statement: &Statement) -> Vec<Value> {
    let db = &world.db.write;
    let prepare = format!("PREPARE asked AS {}", statement.sql);
    db.execute_unprepared(&prepare).await.unwrap();
    let values = statement.values.clone().unwrap();
    let parameters: Vec<String> = (1..=values.0.len()).map(|n| format!("${n}")).collect();
    let explain = format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({})",
        parameters.join(", ")
    )
    .replace(" ()", "");
    // With the values in its text.
    let explain = Statement::from_sql_and_values(statement.db_backend, explain, values).to_string();
    let mut plans = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let set = format!("SET plan_cache_mode = {mode}");
        db.execute_unprepared(&set).await.unwrap();
        let row = db.query_one_raw(world.statement(&explain, vec![])).await;
        let mut plan: Value = row.unwrap().unwrap().try_get_by_index(0).unwrap();
        plans.push(plan[0]["Plan"].take());
    }
    db.execute_unprepared("DEALLOCATE asked; RESET plan_cache_mode")
        .await
        .unwrap();
    plans
}

fn nodes<'a>(plan: &'a Value, all: &mut Vec<&'a Value>) {
    all.push(plan);
    for child in plan["Plans"].as_array().into_iter().flatten() {
        nodes(child, all);
    }
}

/// Holds that no large table is read as a whole, that at most so many rows are sorted, and at most so
/// many pages touched.
async fn claim(world: &World, what: &str, statement: &Statement, sorted: i64, pages: i64) {
    for plan in plans(world, statement).await {
        let mut all = Vec::new();
        nodes(&plan, &mut all);
        for node in all {
            let kind = node["Node Type"].as_str().unwrap();
            let relation = node["Relation Name"].as_str().unwrap_or_default();
            let whole = kind == "Seq Scan" && relation.starts_with("event");
            assert!(!whole, "{what} reads all of {relation}:\n{plan:#}");
            if kind.contains("Sort") {
                let input = &node["Plans"][0];
                let rows = input["Actual Rows"].as_i64().unwrap();
                let rows = rows * input["Actual Loops"].as_i64().unwrap();
                assert!(rows <= sorted, "{what} sorts {rows} rows:\n{plan:#}");
            }
        }
        let count = |key: &str| plan[key].as_i64().unwrap();
        let touched = count("Shared Hit Blocks") + count("Shared Read Blocks");
        assert!(
            touched <= pages,
            "{what} touches {touched} pages:\n{plan:#}"
        );
    }
}

/// A search by what it narrows, and the pages that it may touch.
type Narrowed = (&'static str, fn(&mut Search), i64);

fn midst() -> DateTime<Utc> {
    start() + TimeDelta::days(700)
}

const SEARCHES: [Narrowed; 19] = [
    ("everything", |_| {}, A_PAGE_OF_ROWS),
    ("a start", |it| it.starts_at = Some(midst()), A_PAGE_OF_ROWS),
    ("an end", |it| it.ends_at = Some(midst()), A_PAGE_OF_ROWS),
    (
        "a window",
        |it| (it.starts_at, it.ends_at) = (Some(midst()), Some(midst() + TimeDelta::days(30))),
        A_PAGE_OF_ROWS,
    ),
    (
        "what is on in a window",
        |it| {
            (it.starts_at, it.ends_at) = (Some(midst()), Some(midst() + TimeDelta::days(30)));
            it.overlaps = true;
        },
        600,
    ),
    (
        "what is on from the end on",
        |it| (it.starts_at, it.overlaps) = (Some(start() + TimeDelta::days(1095)), true),
        600,
    ),
    (
        "a provider",
        |it| it.provider = Some("provider-7".to_owned()),
        A_PAGE_OF_ROWS,
    ),
    (
        "no provider",
        |it| it.provider = Some("nobody".to_owned()),
        A_PAGE_OF_ROWS,
    ),
    (
        "a provider from a start on",
        |it| (it.provider, it.starts_at) = (Some("provider-7".to_owned()), Some(midst())),
        A_PAGE_OF_ROWS,
    ),
    (
        "a least price",
        |it| it.min_price = Some(1_000_000),
        A_PAGE_OF_ROWS,
    ),
    (
        "a greatest price",
        |it| it.max_price = Some(100_000),
        A_PAGE_OF_ROWS,
    ),
    (
        "what is sold out",
        |it| it.available = Some(false),
        A_PAGE_OF_ROWS,
    ),
    (
        "what is available",
        |it| it.available = Some(true),
        A_PAGE_OF_ROWS,
    ),
    ("what is gone", |it| it.gone = Gone::Only, A_PAGE_OF_ROWS),
    (
        "what is there",
        |it| it.gone = Gone::Exclude,
        A_PAGE_OF_ROWS,
    ),
    (
        "what was changed within the hour",
        |it| it.updated_since = Some(Utc::now() - TimeDelta::minutes(65)),
        FEW_CHANGED,
    ),
    (
        "what was changed within a minute",
        |it| it.updated_since = Some(Utc::now() - TimeDelta::minutes(1)),
        FEW_CHANGED,
    ),
    (
        "what was changed just now",
        |it| it.updated_since = Some(Utc::now() + TimeDelta::hours(1)),
        A_PAGE_OF_ROWS,
    ),
    (
        "all at once",
        |it| {
            (it.starts_at, it.ends_at) = (Some(midst()), Some(midst() + TimeDelta::days(90)));
            (it.min_price, it.max_price) = (Some(200_000), Some(900_000));
            (it.available, it.gone, it.zones) = (Some(true), Gone::Exclude, true);
        },
        A_PAGE_OF_ROWS,
    ),
];

async fn searches(world: &World) {
    let db = &world.db.read;
    for (what, narrow, pages) in SEARCHES {
        let mut search = Search {
            limit: Some(20),
            ..Search::default()
        };
        narrow(&mut search);
        let statement = search::statement(db, &search);
        let sorted = if search.updated_since.is_some() {
            1_000
        } else {
            0
        };
        claim(world, what, &statement, sorted, pages).await;
        search.after = Some(Position {
            starts_at: midst() + TimeDelta::hours(30),
            id: Uuid::nil(),
        });
        let statement = search::statement(db, &search);
        claim(
            world,
            &format!("{what}, going on"),
            &statement,
            sorted,
            pages,
        )
        .await;
    }
    // By the connection's own choice, which falls once a statement has come several times.
    for (what, narrow, _) in SEARCHES {
        let mut search = Search {
            limit: Some(20),
            ..Search::default()
        };
        narrow(&mut search);
        for _ in 0..7 {
            let (_, found) = search::find(world.db.reader(), &search).await.unwrap();
            let found: Vec<_> = found.try_collect().await.unwrap();
            assert!(found.len() == 20 || what.contains("no provider") || what.contains("just now"));
        }
    }
}

async fn logs(world: &World) {
    let db = &world.db.read;
    let at = |version, position| At { version, position };
    for (what, after) in [
        ("the log from its beginning", at(0, None)),
        ("the log from its midst", at(500, Some(7))),
        ("the log amid a large commit", at(1001, Some(100_000))),
        ("the log's end", at(1001, None)),
    ] {
        let statement = changes::statement(db, after, 100);
        claim(world, what, &statement, 256, 3_000).await;
    }
    let often = Uuid::parse_str("00000001-0000-5000-8000-000000000000").unwrap();
    let statement = history::statement(db, often);
    claim(world, "a long history", &statement, 1_010, 10_000).await;
    let seldom = Uuid::parse_str("00000007-0000-5000-8000-000000000000").unwrap();
    let statement = history::statement(db, seldom);
    claim(world, "a history", &statement, 10, 100).await;
}

#[tokio::test]
async fn what_the_api_asks_of_a_million_events_touches_few_pages() {
    let world = patient().await;
    fill(&world).await;
    searches(&world).await;
    log(&world).await;
    logs(&world).await;
}

/// An embedded database has no numbers to go by: its plans follow from the statements alone.
#[tokio::test]
async fn an_embedded_database_reads_in_the_order_of_the_answer() {
    let world = World::sqlite().await;
    let db = &world.db.read;
    for (what, narrow, _) in SEARCHES {
        let mut search = Search {
            limit: Some(20),
            ..Search::default()
        };
        narrow(&mut search);
        let mut statement = search::statement(db, &search);
        statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
        let rows = db.query_all_raw(statement).await.unwrap();
        let steps: Vec<String> = rows
            .iter()
            .map(|row| row.try_get("", "detail").unwrap())
            .collect();
        let count = |step: &str| steps.iter().filter(|it| it.contains(step)).count();
        let updated = usize::from(search.updated_since.is_some());
        // What was changed lately is sorted, and the few rows of each of two that are merged.
        let sorts = count("CO-ROUTINE b") + updated;
        assert_eq!(count("TEMP B-TREE"), sorts, "{what}: {steps:#?}");
        let whole = steps.iter().filter(|it| *it == "SCAN e").count();
        assert_eq!(whole, updated, "{what}: {steps:#?}");
    }
}

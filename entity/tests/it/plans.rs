//! What a scheduler's statements read among a million providers, by the database's own count.

use entity::{Config, Session, claim};
use uuid::Uuid;

use crate::world::World;

const PROVIDERS: i64 = 1_000_000;
/// Rows and index entries that one tick may read. A scan or a sort of everything is far beyond it.
const FEW: i64 = 20_000;

/// One connection, for the database counts what a connection reads only once that is at rest; and
/// without limits, for a busy machine may take its time to make a million rows.
async fn patient() -> World {
    let mut world = World::postgres().await;
    let mut config = Config::new(world.database.url().parse().unwrap());
    config.max_connections = 1;
    config.session = Session::default();
    world.db = entity::connect(&config).await.unwrap();
    world
}

/// A million providers, due as an SQL expression over their number `n` says.
async fn world(due: &str) -> World {
    let world = patient().await;
    let insert = format!(
        "INSERT INTO provider (name, url, host, format, interval_ms, timezone, timeout_ms, \
         created_at, next_due_at, late_at) \
         SELECT 'provider-' || n, 'http://127.0.0.1:9/', 'host-' || n, 'plan-list', 900000, 'UTC', \
         30000, now(), {due}, {due} + interval '15 minutes' FROM generate_series(1, {PROVIDERS}) n"
    );
    world.execute(&insert, vec![]).await;
    world
        .execute("INSERT INTO host (name) SELECT host FROM provider", vec![])
        .await;
    analyze(&world).await;
    world
}

async fn analyze(world: &World) {
    use sea_orm::ConnectionTrait;
    let db = &world.db.write;
    db.execute_unprepared("VACUUM ANALYZE provider")
        .await
        .unwrap();
    db.execute_unprepared("VACUUM ANALYZE run").await.unwrap();
}

/// Rows and index entries read from providers and runs so far, rows of whole scans included.
async fn read(world: &World) -> i64 {
    use sea_orm::ConnectionTrait;
    let flush = "SELECT pg_stat_force_next_flush()";
    world.db.write.execute_unprepared(flush).await.unwrap();
    world.db.write.execute_unprepared("SELECT 1").await.unwrap();
    world
        .number(
            "SELECT CAST(sum(seq_tup_read) + sum(coalesce(idx_tup_fetch, 0)) \
             + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes \
                WHERE relname IN ('provider', 'run')) AS bigint) \
             FROM pg_stat_user_tables WHERE relname IN ('provider', 'run')",
        )
        .await
}

async fn reads_few(world: &World, what: &str, statement: impl Future<Output = ()>) {
    let before = read(world).await;
    statement.await;
    let read = read(world).await - before;
    assert!(read < FEW, "{what} reads {read} rows and index entries");
}

async fn claims(world: &World, expected: usize) {
    assert!(claim::anything_due(&world.db).await.unwrap());
    let claimed = claim::claim_due(&world.db, Uuid::now_v7(), None, 500).await;
    assert_eq!(claimed.unwrap().unwrap().len(), expected);
}

#[tokio::test]
async fn a_claim_reads_little_of_a_million_providers_when_few_are_due() {
    // The others are due so much later that it takes no part in the database's estimate how long the
    // rows were in the making.
    let world =
        world("now() + make_interval(secs => CASE WHEN n <= 100 THEN -1 ELSE n % 900 + 7200 END)")
            .await;
    reads_few(&world, "the claim of a hundred", claims(&world, 100)).await;
    reads_few(&world, "a look that finds nothing", async {
        assert!(!claim::anything_due(&world.db).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_claim_and_the_reaper_read_little_of_a_million_providers_when_all_are_due() {
    let world = world("now() - make_interval(secs => n % 900 + 1)").await;
    // More often than it takes for a kept plan to become the plan.
    for _ in 0..8 {
        reads_few(&world, "a claim of five hundred", claims(&world, 500)).await;
    }
    reads_few(&world, "the look for overdue pushes", async {
        claim::push_overdue(&world.db, 500).await.unwrap();
    })
    .await;
    world
        .execute(
            "UPDATE run SET state = 'running', worker = 'w', lease_until = now() - interval '1 s' \
             WHERE id IN (SELECT id FROM run LIMIT 100)",
            vec![],
        )
        .await;
    reads_few(&world, "the reaper", async {
        assert_eq!(claim::reap(&world.db, 500).await.unwrap().lost.len(), 100);
    })
    .await;
}

/// The very plan of the very statement. Whoever has a large part of all events may be read by going
/// through the table; nobody else is.
#[tokio::test]
async fn what_is_known_of_a_provider_is_read_by_an_index_of_its_own_events() {
    use sea_orm::ConnectionTrait;
    let world = patient().await;
    world.add(&["large", "small", "rest"]).await;
    let insert = "INSERT INTO event (id, provider_id, base_id, event_id, title, starts_at, \
         starts_local, sold_out, sell_mode, ever_online, zones, digest, first_seen_at, changed_at) \
         SELECT gen_random_uuid(), p.id, '1', n, 'title', now(), now(), false, 'online', false, \
         '[]', decode(md5(n::text), 'hex'), now(), now() \
         FROM generate_series(1, 1000000) n JOIN provider p ON p.name = \
         CASE WHEN n % 5 = 0 THEN 'large' WHEN n < 100 THEN 'small' ELSE 'rest' END";
    world.execute(insert, vec![]).await;
    let db = &world.db.write;
    db.execute_unprepared("VACUUM ANALYZE event").await.unwrap();
    let large = world.known("large").await;
    assert_eq!(large.len(), 200_000);
    assert_eq!(world.known("small").await.len(), 80);
    let rest = world.known("rest").await;
    assert_eq!(rest.len(), 799_920);
    assert!(rest.iter().map(|event| event.id).is_sorted());

    let name = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%FROM event%'";
    let row = db.query_one_raw(world.statement(name, vec![])).await;
    let name: String = row.unwrap().unwrap().try_get_by_index(0).unwrap();
    let id = world.provider("small").await.id;
    let explain = format!("EXPLAIN EXECUTE {name} ({id})");
    let rows = db.query_all_raw(world.statement(&explain, vec![])).await;
    let lines: Vec<String> = rows
        .unwrap()
        .iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect();
    let plan = lines.join("\n");
    assert!(plan.contains("event_by_provider"), "{plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
}

/// Beside many runs that are over, a look at the whole reads the providers, the open runs and those
/// of the last minute.
#[tokio::test]
async fn a_look_at_the_whole_reads_no_run_that_is_long_over() {
    let world = patient().await;
    let insert = "INSERT INTO provider (name, url, host, format, interval_ms, timezone, timeout_ms, \
         created_at, next_due_at, late_at, last_success_at, consecutive_failures) \
         SELECT 'provider-' || n, 'http://127.0.0.1:9/', 'host', 'plan-list', 900000, 'UTC', 30000, \
         now(), now(), now(), now() - make_interval(secs => n), n % 10 \
         FROM generate_series(1, 10000) n";
    world.execute(insert, vec![]).await;
    let over = "INSERT INTO run (id, provider_id, token, state, outcome, queued_at, started_at, \
         finished_at, worker) \
         SELECT gen_random_uuid(), 1 + n % 10000, 1, 'finished', 'failed', at, at, at, 'w' \
         FROM (SELECT n, now() - make_interval(secs => 100 + n) AS at \
               FROM generate_series(1, 300000) n) r";
    world.execute(over, vec![]).await;
    let open = "INSERT INTO run (id, provider_id, token, state, queued_at, next_push_at) \
         SELECT gen_random_uuid(), id, 2, 'queued', now(), now() FROM provider";
    world.execute(open, vec![]).await;
    analyze(&world).await;
    let lease = std::time::Duration::from_secs(20);
    let begun = std::time::Instant::now();
    let before = read(&world).await;
    let seen = entity::overview::overview(&world.db, lease).await.unwrap();
    let took = begun.elapsed();
    let rows = read(&world).await - before;
    assert_eq!((seen.queued, seen.staleness.providers()), (10_000, 10_000));
    assert_eq!(seen.breakers.half_open, 5_000);
    // Each provider and each open run, by row and by index entry, and a few runs of the broken ones.
    assert!(rows < 60_000, "{rows} rows and index entries, {took:?}");
}

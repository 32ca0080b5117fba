//! Two releases at once: jobs that another one queued, and a schema that the next one has widened under
//! processes which run, and under ones that start.

use redis::aio::MultiplexedConnection;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::Value;
use testkit::{Signal, eventually};

use crate::feed::{Feeds, upcoming};
use crate::world::{PATIENCE, Serving, World, stop};

/// What release 0.1.0 leaves in Redis for one run, and what a later one may.
const JOBS: [&str; 2] = [
    include_str!("../../../queue/tests/it/fixtures/0.1.0/queued.redis"),
    include_str!("../../../queue/tests/it/fixtures/0.1.0/next.redis"),
];
const RUN: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f8091a2b3";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// What a scheduler has written before it pushes the job.
const CLAIMED: &str = "UPDATE provider SET token = 1, current_run = '{run}'; \
    INSERT INTO run (id, provider_id, token, state, queued_at, next_push_at, push_count, traceparent) \
    SELECT '{run}', id, 1, 'queued', now(), now() + interval '1 day', 1, \
    '00-{trace}-b7ad6b7169203331-01' FROM provider";

async fn execute(world: &World, sql: &str) {
    let db = world.db().await;
    db.write.execute_unprepared(sql).await.unwrap();
    db.close().await;
}

async fn redis(world: &World) -> (MultiplexedConnection, String) {
    let command = world.command(&[]);
    let value = |wanted: &str| {
        let mut found = command.get_envs().filter(|(name, _)| *name == wanted);
        found
            .next()
            .unwrap()
            .1
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let client = redis::Client::open(value("FANFARE_REDIS_URL")).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    (connection, value("FANFARE_QUEUE"))
}

#[tokio::test]
async fn a_job_that_the_release_before_queued_is_synced_and_stored() {
    a_raw_job_is_stored(JOBS[0]).await;
}

#[tokio::test]
async fn a_job_that_a_later_release_queued_is_synced_and_stored() {
    a_raw_job_is_stored(JOBS[1]).await;
}

async fn a_raw_job_is_stored(commands: &str) {
    let world = World::distributed().await;
    let feeds = Feeds::start();
    feeds.set("north", upcoming(3, "A show"));
    world.apply(&[("north", &feeds.url("north"))]).await;
    execute(
        &world,
        &CLAIMED.replace("{run}", RUN).replace("{trace}", TRACE),
    )
    .await;
    let (mut redis, queue) = redis(&world).await;
    for line in commands.lines().filter(|line| !line.starts_with('#')) {
        let line = line.replacen("{fanfare}", &format!("{{{queue}}}"), 1);
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query_async::<()>(&mut redis).await.unwrap();
    }

    let worker = world.start_ready(&["worker"]).await;
    let run = eventually(PATIENCE, "the run's end", async || {
        let run = world.run(&["run", "show", RUN, "--json"]).await.json();
        (run["state"] == "finished").then_some(run)
    })
    .await;
    assert_eq!(
        (&run["outcome"], &run["events_new"]),
        (&"stored".into(), &3.into()),
        "{run}"
    );
    assert_eq!(run["trace_id"], TRACE);
    eventually(PATIENCE, "nothing is left in Redis", async || {
        let mut keys = redis::cmd("KEYS");
        keys.arg(format!("*{queue}*"));
        keys.query_async::<Vec<String>>(&mut redis)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    stop(&worker, Signal::TERM).await;
}

/// What the next release does to every table.
const EVERY_TABLE: &str = "ALTER TABLE {table} ADD COLUMN next_text text, \
    ADD COLUMN next_number bigint NOT NULL DEFAULT 7";

/// And besides: some columns by names that statements of this release give to others, and a new table.
const BESIDES: [&str; 4] = [
    "ALTER TABLE event ADD COLUMN provider bigint NOT NULL DEFAULT -1, \
     ADD COLUMN now_version text NOT NULL DEFAULT 'none', ADD COLUMN log_version text",
    "ALTER TABLE run ADD COLUMN provider bigint NOT NULL DEFAULT -1",
    "CREATE TABLE venue (id bigint PRIMARY KEY, name text NOT NULL UNIQUE)",
    "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_next', 0)",
];

/// Widens the schema, one table at a time: to hold several would be to wait for each other.
async fn widen(world: &World) {
    let db = world.db().await;
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' \
        AND tablename <> 'seaql_migrations'";
    let tables = Statement::from_string(DbBackend::Postgres, tables);
    let rows = db.write.query_all_raw(tables).await.unwrap();
    let alter = |row: &sea_orm::QueryResult| {
        EVERY_TABLE.replace("{table}", &row.try_get_by_index::<String>(0).unwrap())
    };
    let all: Vec<_> = rows.iter().map(alter).collect();
    assert!(all.len() > 10);
    for sql in all.iter().map(String::as_str).chain(BESIDES) {
        db.write.execute_unprepared(sql).await.unwrap();
    }
    db.close().await;
}

/// Everything that the API tells of events, each more often than a process has connections.
async fn read(serving: &Serving, events: usize) {
    for _ in 0..4 {
        assert_eq!(serving.api.search("").await.len(), events);
        let id = serving.api.search("?limit=1").await[0].id;
        let event = serving.api.event(id).await;
        assert_eq!(event.provider, "north");
        let answer = |path: String| async move {
            let answer = serving.api.get(&path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            serde_json::from_str::<Value>(&answer.body).unwrap()
        };
        let history = answer(format!("/v1/events/{id}/history")).await;
        assert!(!history["data"]["versions"].as_array().unwrap().is_empty());
        let health = answer("/v1/health".to_owned()).await;
        let epoch = health["data"]["dataset"]["epoch"].as_str().unwrap();
        let changes = answer(format!("/v1/changes?since={epoch}-0")).await;
        assert!(changes["data"]["changes"].as_array().unwrap().len() >= events);
        answer("/v1/providers".to_owned()).await;
        answer("/v1/events/search?include=zones".to_owned()).await;
    }
}

/// Everything that commands tell.
async fn ask(world: &World) {
    let runs = world.run(&["run", "list", "--json"]).await.json();
    let run = &runs[0];
    assert_eq!(run["provider"], "north", "{run}");
    let id = run["id"].as_str().unwrap().to_owned();
    for arguments in [
        &["run", "show", &id][..],
        &["provider", "list"],
        &["provider", "show", "north"],
        &["why", "north"],
        &["worker", "list"],
        &["check", "north"],
        &["migrate", "--check"],
    ] {
        world.run(arguments).await.well();
    }
    let told = world.run(&["migrate"]).await.well();
    assert_eq!(told, "the schema is up to date\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_the_next_release_has_widened_troubles_nobody() {
    // Few connections, so that each has prepared every statement, and no lease that ends on a busy machine.
    let world = World::distributed()
        .await
        .with("FANFARE_DATABASE_CONNECTIONS", "2")
        .with("FANFARE_LEASE", "120s");
    let feeds = Feeds::start();
    feeds.set("north", upcoming(3, "A show"));
    world.apply(&[("north", &feeds.url("north"))]).await;
    let scheduler = world.start_ready(&["scheduler"]).await;
    let worker = world.start_ready(&["worker"]).await;
    let serving = world.serve(&["api"]).await;
    let mut events = 3;
    // Events that are new, changed, gone and back.
    let sync = async |title: &str, number: usize| {
        feeds.set("north", upcoming(number, title));
        world.sync("north").await;
    };
    for round in 0..4 {
        sync(&format!("Before, {round}"), 3 + round % 2).await;
        events = events.max(3 + round % 2);
        read(&serving, events).await;
    }

    widen(&world).await;
    for round in 0..4 {
        sync(&format!("After, {round}"), 4 + round % 2).await;
        events = events.max(4 + round % 2);
        read(&serving, events).await;
    }
    ask(&world).await;

    let started = [
        world.start_ready(&["scheduler"]).await,
        world.start_ready(&["worker"]).await,
    ];
    let another = world.serve(&["api"]).await;
    for process in [&scheduler, &worker, &serving.process] {
        stop(process, Signal::TERM).await;
    }
    sync("Later", 6).await;
    read(&another, 6).await;
    for process in started.iter().chain([&another.process]) {
        stop(process, Signal::TERM).await;
    }
    let all = [scheduler, worker, serving.process, another.process]
        .into_iter()
        .chain(started);
    for process in all {
        let lines = process.lines();
        assert_eq!(lines.iter().find(|line| tells_of_trouble(line)), None);
    }
    let runs = world.run(&["run", "list", "--json"]).await.json();
    let outcomes = runs
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["outcome"].as_str().unwrap());
    assert!(
        outcomes.clone().all(|outcome| outcome == "stored"),
        "{runs}"
    );
    whole(&world).await;
}

/// Whether a line of a log tells of trouble with the schema, or of what nobody can go on from. That
/// a database took its time, which is a warning as well, is this machine's affair.
fn tells_of_trouble(line: &str) -> bool {
    const OF_A_SCHEMA: [&str; 8] = [
        "cached plan",
        "column",
        "decode",
        "decoding",
        "does not exist",
        "mismatched",
        "prepared statement",
        "relation",
    ];
    let is_about_it = || OF_A_SCHEMA.iter().any(|words| line.contains(words));
    line.contains(r#""ERROR""#) || (line.contains(r#""WARN""#) && is_about_it())
}

async fn whole(world: &World) {
    let db = world.db().await;
    assert_eq!(entity::invariants::violations(&db).await.unwrap(), []);
    let untouched = "SELECT count(*) FROM run WHERE next_number <> 7 OR next_text IS NOT NULL";
    let statement = Statement::from_string(DbBackend::Postgres, untouched);
    let row = db.write.query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0);
    db.close().await;
}

//! `deploy/backup/`: a fleet's database is copied while it is in use, and what is restored goes on.

mod embedded;
mod refused;
mod scripts;

use serde_json::Value;
use simulator::Simulator;
use testkit::{Database, Signal};
use tokio_util::sync::CancellationToken;

use crate::dump::dump;
use crate::feed::{Feeds, HELD, base, plan_list};
use crate::http::Api;
use crate::world::{Serving, World, announced, stop};
use scripts::{backup, query, restore};

/// Another database on the same server, and a queue of its own.
async fn empty() -> World {
    World::over(Database::postgres_empty().await)
        .with_redis()
        .await
}

/// What the API says of the dataset: its epoch and its version.
async fn dataset(api: &Api) -> (String, i64) {
    let health: Value = serde_json::from_str(&api.get("/v1/health").await.body).unwrap();
    let dataset = &health["data"]["dataset"];
    let epoch = dataset["epoch"].as_str().unwrap().to_owned();
    (epoch, dataset["version"].as_i64().unwrap())
}

/// An answer's status, entity tag and body.
async fn ask(serving: &Serving, path: &str, tag: Option<&str>) -> (u16, String, String) {
    let url = format!("{}{path}", announced(&serving.process).await);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(url);
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let response = request.send().await.unwrap();
    let tag = response.headers().get("etag");
    let tag = tag.map_or_else(String::new, |tag| tag.to_str().unwrap().to_owned());
    (
        response.status().as_u16(),
        tag,
        response.text().await.unwrap(),
    )
}

fn feed(titles: &[&str]) -> String {
    let base = |(id, title): (usize, &&str)| {
        base(
            &id.to_string(),
            "online",
            title,
            &["2130-05-01T20:00:00", "2130-05-02T20:00:00"],
        )
    };
    plan_list(&titles.iter().enumerate().map(base).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_is_the_backup_under_a_new_epoch_and_goes_on() {
    let world = World::distributed().await;
    let feeds = Feeds::start();
    feeds.set("north", feed(&["A show", "A play"]));
    world.apply(&[("north", &feeds.url("north"))]).await;
    let scheduler = world.start_ready(&["scheduler"]).await;
    let worker = world.start_ready(&["worker"]).await;
    let serving = world.serve(&["api"]).await;
    world.sync("north").await;
    let known = serving.api.search("").await;
    assert_eq!(known.len(), 4);
    let (_, tag, answer) = ask(&serving, "/v1/events/search", None).await;
    let page: Value =
        serde_json::from_str(&ask(&serving, "/v1/events/search?limit=1", None).await.2).unwrap();
    let cursor = page["meta"]["next_cursor"].as_str().unwrap().to_owned();
    let (epoch, version) = dataset(&serving.api).await;

    let file = backup(&world).await;
    let before = dump(&world).await;
    feeds.set("north", feed(&["A show", "A play", "Too late"]));
    world.sync("north").await;
    assert_eq!(serving.api.search("").await.len(), 6);
    for process in [&scheduler, &worker, &serving.process] {
        stop(process, Signal::TERM).await;
    }

    let restored = empty().await;
    let told = restore(&restored, &[&file]).await;
    assert!(
        told.contains(&format!("version {version} of epoch {epoch}")),
        "{told}"
    );
    assert_same(&before, &dump(&restored).await);
    restored.run(&["migrate", "--check"]).await.well();

    let serving = restored.serve(&["api"]).await;
    let (renewed, same) = dataset(&serving.api).await;
    assert!(renewed != epoch && same == version);
    assert_eq!(serving.api.search("").await, known);
    let (status, _, body) = ask(&serving, "/v1/events/search", Some(&tag)).await;
    assert_eq!((status, body), (200, answer));
    let followed = format!("/v1/events/search?limit=1&cursor={cursor}");
    let since = format!("/v1/changes?since={epoch}-{version}");
    for path in [followed, since] {
        let (status, _, body) = ask(&serving, &path, None).await;
        assert_eq!(status, 410, "{path}");
        assert!(body.contains("epoch_ended"), "{body}");
    }

    let scheduler = restored.start_ready(&["scheduler"]).await;
    let worker = restored.start_ready(&["worker"]).await;
    restored.sync("north").await;
    assert_eq!(serving.api.search("").await.len(), 6);
    assert_eq!(dataset(&serving.api).await, (renewed.clone(), version + 1));
    let path = format!("/v1/changes?since={renewed}-{version}");
    let changes: Value = serde_json::from_str(&serving.api.get(&path).await.body).unwrap();
    let kinds: Vec<_> = changes["data"]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(kinds.len(), 2, "{changes}");
    assert!(kinds.iter().all(|change| change["kind"] == "created"));
    whole(&restored).await;
    for process in [&scheduler, &worker, &serving.process] {
        stop(process, Signal::TERM).await;
    }
}

/// Every table is the same but for the epoch, and for syncs that wait.
fn assert_same(
    before: &std::collections::BTreeMap<String, Vec<String>>,
    after: &std::collections::BTreeMap<String, Vec<String>>,
) {
    assert!(before.keys().eq(after.keys()));
    for (table, rows) in before {
        match table.as_str() {
            "dataset" => assert_ne!(rows, &after[table]),
            _ => assert_eq!(rows, &after[table], "{table}"),
        }
    }
}

/// Whether all that has to hold of a database does.
async fn whole(world: &World) {
    let db = world.db().await;
    assert_eq!(entity::invariants::violations(&db).await.unwrap(), []);
    db.close().await;
}

/// What happened up to a version, and the events that nothing has happened to since.
const LOGGED: &str = "SELECT d.version, c.position, c.event_id, c.kind, c.changes FROM event_change c \
    JOIN dataset_commit d USING (run_id) WHERE d.version <= {version} ORDER BY 1, 2";
const UNTOUCHED: &str = "SELECT e.* FROM event e WHERE NOT EXISTS (SELECT 1 FROM event_change c \
    JOIN dataset_commit d USING (run_id) WHERE c.event_id = e.id AND d.version > {version}) ORDER BY e.id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_database_in_use_is_of_one_moment() {
    let world = World::distributed().await;
    let simulator = simulate(&world).await;
    let scheduler = world.start_ready(&["scheduler"]).await;
    let workers = [
        world.start_ready(&["worker"]).await,
        world.start_ready(&["worker"]).await,
    ];
    let over = CancellationToken::new();
    let changing = async {
        while !over.is_cancelled() {
            simulator.advance();
            world.run(&["sync", "--all", "--wait"]).await.well();
        }
    };
    let backing_up = async {
        let mut files = Vec::new();
        let version = async || {
            let version = query(&world, "SELECT version FROM dataset").await;
            version.parse::<i64>().unwrap()
        };
        let mut before = 0;
        for _ in 0..3 {
            // There is something to copy, and something else each time.
            testkit::eventually(crate::world::PATIENCE, "commits", async || {
                version().await >= before + 5
            })
            .await;
            files.push(backup(&world).await);
            before = version().await;
        }
        over.cancel();
        files
    };
    let ((), files) = tokio::join!(changing, backing_up);
    for process in workers.iter().chain([&scheduler]) {
        stop(process, Signal::TERM).await;
    }

    let mut versions = Vec::new();
    for file in &files {
        let restored = empty().await;
        restore(&restored, &[file]).await;
        whole(&restored).await;
        let version = query(&restored, "SELECT version FROM dataset").await;
        let at = |sql: &str| sql.replace("{version}", &version);
        let logged = query(&restored, &at(LOGGED)).await;
        assert_eq!(logged, query(&world, &at(LOGGED)).await);
        let untouched = query(&world, &at(UNTOUCHED)).await;
        let events = query(&restored, "SELECT e.* FROM event e ORDER BY e.id").await;
        let events: std::collections::BTreeSet<_> = events.lines().collect();
        for event in untouched.lines() {
            assert!(events.contains(event), "{event}");
        }
        versions.push(version.parse::<i64>().unwrap());
    }
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

async fn simulate(world: &World) -> Simulator {
    let config = simulator::Config {
        providers: 12,
        events: 40,
        ..simulator::Config::default()
    };
    let simulator = simulator::start(testkit::free_listener(), config, CancellationToken::new());
    let file = world.file("simulated.toml", &simulator.providers_toml("1h"));
    world.run(&["provider", "apply", &file]).await.well();
    simulator
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_ran_at_the_backup_starts_again_at_once_and_nobody_is_blamed() {
    // Longer than the test may take: nothing waits for a lease to end, and none ends meanwhile.
    let lease = ("FANFARE_LEASE", "600s");
    let world = World::distributed().await.with(lease.0, lease.1);
    let scheduler = world.start_ready(&["scheduler"]).await;
    let worker = world.start_ready(&["worker"]).await;
    let feeds = Feeds::held(&world).await;
    feeds.fetched(1).await;
    let file = backup(&world).await;
    feeds.release();
    world.sync(HELD).await;
    for process in [&scheduler, &worker] {
        stop(process, Signal::TERM).await;
    }

    let restored = empty().await;
    restore(&restored, &[&file]).await;
    let open = "SELECT r.state, r.worker, r.token = p.token, p.token FROM run r \
                JOIN provider p ON p.current_run = r.id";
    assert_eq!(query(&restored, open).await, "queued||t|2");
    whole(&restored).await;
    let restored = restored.with(lease.0, lease.1);
    let scheduler = restored.start_ready(&["scheduler"]).await;
    let worker = restored.start_ready(&["worker"]).await;
    let stored = "SELECT outcome, consecutive_crashes, consecutive_failures FROM run \
                  JOIN provider p ON p.id = provider_id";
    testkit::eventually(crate::world::PATIENCE, "the run's end", async || {
        query(&restored, stored).await == "stored|0|0"
    })
    .await;
    for process in [&scheduler, &worker] {
        stop(process, Signal::TERM).await;
    }
}

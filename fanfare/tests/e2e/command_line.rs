//! What an operator types, and what comes of it.

use axum::http::StatusCode;
use serde_json::Value;
use simulator::Behavior;
use testkit::{Database, Signal, eventually};

use crate::feed::{Feeds, base, plan_list};
use crate::http::Api;
use crate::world::{PATIENCE, World, announced, stop};

/// Nobody listens there.
const NORTH: (&str, &str) = ("north", "http://127.0.0.1:1/north");

#[tokio::test]
async fn an_unknown_provider_is_refused_by_every_command() {
    let world = World::embedded().await;
    for command in [
        &["sync", "nobody", "--wait"][..],
        &["provider", "show", "nobody"],
        &["provider", "pause", "nobody", "--reason", "none"],
        &["provider", "resume", "nobody"],
        &["provider", "remove", "nobody"],
        &["provider", "remove", "nobody", "--purge"],
    ] {
        let refused = world.run(command).await;
        refused.refused(&["no provider `nobody`", "fanfare provider list"]);
    }
    let nothing = world.run(&["sync", "--all"]).await;
    nothing.refused(&["no provider to sync", "provider apply"]);
}

#[tokio::test]
async fn a_sync_that_is_waited_for_tells_which_provider_failed_and_why() {
    let world = World::embedded().await;
    let feeds = Feeds::start();
    let show = base("1", "online", "A show", &["2030-05-01T20:00:00"]);
    feeds.set("good", plan_list(&[show]));
    feeds.fail("bad", StatusCode::INTERNAL_SERVER_ERROR);
    let serving = world.all().await;
    let providers = [("bad", &*feeds.url("bad")), ("good", &feeds.url("good"))];
    world.apply(&providers).await;

    let told = world.run(&["sync", "--all", "--wait"]).await.badly();
    let reason = "failed bad: the provider answered with status 500: it is in trouble itself";
    assert_eq!(told.lines().next(), Some(reason));
    assert!(told.contains("1 provider synced, 1 failed"), "{told}");
    let json = world
        .run(&["sync", "--all", "--wait", "--json"])
        .await
        .badly();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["progress"]["failed"], 1);
    assert_eq!(json["progress"]["succeeded"], 1);
    assert_eq!(json["failures"][0]["provider"], "bad");

    let well = world.run(&["sync", "good", "--wait"]).await.well();
    assert!(well.contains("1 provider synced, 0 failed"), "{well}");
    let asked = world.run(&["sync", "good", "--json"]).await.json();
    assert_eq!(asked["providers"], 1);
    stop(&serving.process, Signal::TERM).await;
}

#[tokio::test]
async fn a_sync_that_nobody_takes_up_is_left_at_its_timeout() {
    let world = World::embedded().await;
    world.apply(&[NORTH]).await;
    let sync = ["sync", "north", "--wait", "--timeout", "200ms"];
    let left = world.run(&sync).await;
    left.refused(&["is not over after 200ms", "goes on without this command"]);
}

#[tokio::test]
async fn migrate_check_tells_whether_migrations_are_missing() {
    for database in [
        Database::sqlite_empty().await,
        Database::postgres_empty().await,
    ] {
        let world = World::over(database);
        let missing = world.run(&["migrate", "--check"]).await.badly();
        let names: Vec<_> = missing.lines().collect();
        assert!(!names.is_empty());
        let applied = world.run(&["migrate"]).await.well();
        assert_eq!(applied.replace("applied ", "missing "), missing);
        for command in [&["migrate", "--check"][..], &["migrate"]] {
            let told = world.run(command).await.well();
            assert_eq!(told, "the schema is up to date\n");
        }
    }
}

#[tokio::test]
async fn a_command_without_a_database_says_how_to_make_one() {
    let world = World::over(Database::sqlite_empty().await);
    let refused = world.run(&["provider", "list"]).await;
    refused.refused(&[
        "there is no database",
        "fanfare migrate",
        "FANFARE_DATABASE_URL",
    ]);
}

#[tokio::test]
async fn openapi_prints_the_document_that_the_api_serves() {
    let world = World::embedded().await;
    let printed = world.run(&["openapi"]).await.json();
    assert!(printed["paths"]["/v1/events/search"]["get"].is_object());
    let serving = world.serve(&["all"]).await;
    let served = serving.api.get("/openapi.json").await;
    assert_eq!(
        serde_json::from_str::<Value>(&served.body).unwrap(),
        printed
    );
    stop(&serving.process, Signal::TERM).await;
}

#[tokio::test]
async fn a_healthcheck_tells_a_process_that_answers_from_one_that_does_not() {
    let world = World::embedded().await;
    let nobody = world.run(&["healthcheck", "--listen", "127.0.0.1:1"]).await;
    nobody.refused(&["no answer from 127.0.0.1:1"]);
    // What Docker takes for unhealthy; it reserves 2.
    assert_eq!(nobody.code, Some(1));

    let observed = format!("127.0.0.1:{}", testkit::free_port());
    let listen = format!("127.0.0.1:{}", testkit::free_port());
    let options = ["all", "--listen", &listen, "--observe-listen", &observed];
    let serving = world.serve(&options).await;
    let probes = Api::new(&format!("http://{observed}"));
    eventually(PATIENCE, "its roles work", async || {
        probes.get("/readyz").await.status == 200
    })
    .await;
    for check in [
        &["healthcheck", "--listen", &listen][..],
        &["healthcheck", "--listen", &listen, "--ready"],
        &["healthcheck", "--observe-listen", &observed],
        &["healthcheck", "--observe-listen", &observed, "--ready"],
    ] {
        assert_eq!(world.run(check).await.well(), "");
    }
    stop(&serving.process, Signal::TERM).await;
    let gone = world.run(&["healthcheck", "--listen", &listen]).await;
    gone.refused(&["no answer from", &listen]);
}

#[tokio::test]
async fn simulated_providers_can_be_applied_and_synced() {
    let world = World::embedded().await;
    let options = ["simulate", "--listen", "127.0.0.1:0", "--providers", "2"];
    let simulate = world.start(&[&options[..], &["--events", "10"]].concat());
    let simulated = Api::new(&announced(&simulate).await);
    let file = simulated.get("/providers.toml").await;
    assert_eq!(file.status, 200);
    let file = world.file("simulated.toml", &file.body);
    let serving = world.all().await;
    world.run(&["provider", "apply", &file]).await.well();
    let told = world.run(&["sync", "--all", "--wait"]).await.well();
    assert!(told.contains("2 providers synced, 0 failed"), "{told}");
    assert!(!serving.api.search("").await.is_empty());
    for process in [&serving.process, &simulate] {
        stop(process, Signal::TERM).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_file_at_the_start_is_applied_and_its_providers_are_visited() {
    let config = simulator::Config {
        providers: 3,
        events: 10,
        ..simulator::Config::default()
    };
    let stop_simulator = tokio_util::sync::CancellationToken::new();
    let simulator = simulator::start(testkit::free_listener(), config, stop_simulator);
    let broken = "provider-0002";
    simulator.set_behavior(broken, Behavior::NotXml).unwrap();
    let world = World::embedded().await;
    let file = world.file("start.toml", &simulator.providers_toml("1h"));
    let world = world.with("FANFARE_PROVIDERS", &file);
    let serving = world.all().await;
    let db = world.db().await;
    eventually(PATIENCE, "a visit of each", async || {
        let providers = entity::provider::list(&db.read).await.unwrap();
        let visited = |provider: &entity::provider::Summary| {
            (provider.name == broken) == (provider.consecutive_failures == 1)
                && (provider.name == broken) == provider.last_success_at.is_none()
        };
        providers.len() == 3 && providers.iter().all(visited)
    })
    .await;
    db.close().await;
    stop(&serving.process, Signal::TERM).await;
}

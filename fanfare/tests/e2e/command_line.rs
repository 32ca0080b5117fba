//! What an operator types, and what comes of it.

use axum::http::StatusCode;
use serde_json::Value;
use simulator::Behavior;
use testkit::{Database, Signal, eventually};

use crate::feed::{Feeds, base, plan_list};
use crate::http::Api;
use crate::world::{PATIENCE, World, announced, provider_file, stop};

/// Nobody listens there.
const NORTH: (&str, &str) = ("north", "http://127.0.0.1:1/north");
const SOUTH: (&str, &str) = ("south", "http://127.0.0.1:1/south");

/// The names that `provider list --json` gives.
async fn names(world: &World) -> Vec<String> {
    let listed = world.run(&["provider", "list", "--json"]).await.json();
    let name = |provider: &Value| provider["name"].as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn a_provider_file_is_applied_with_its_difference() {
    let world = World::embedded().await;
    let file = world.file("both.toml", &provider_file(&[NORTH, SOUTH]));
    let told = world.run(&["provider", "apply", &file]).await.well();
    let added = "+ north\n+ south\n2 providers in the file, 2 changed\n";
    assert_eq!(told, added);
    assert_eq!(names(&world).await, ["north", "south"]);
    let told = world.run(&["provider", "apply", &file]).await.well();
    assert_eq!(told, "2 providers in the file, 0 changed\n");

    let slower = provider_file(&[NORTH]).replace("1h", "2h");
    let file = world.file("slower.toml", &slower);
    let told = world.run(&["provider", "apply", &file]).await.well();
    let updated = "~ north\n    interval: 1h -> 2h\n1 provider in the file, 1 changed\n";
    assert_eq!(told, updated);
    let prune = ["provider", "apply", &file, "--prune", "--json"];
    let told = world.run(&prune).await.json();
    assert_eq!(told.to_string(), r#"[{"change":"retired","name":"south"}]"#);
    assert_eq!(names(&world).await, ["north"]);
}

#[tokio::test]
async fn a_dry_run_tells_the_difference_and_changes_nothing() {
    let world = World::embedded().await;
    world.apply(&[NORTH]).await;
    let before = world.run(&["provider", "list", "--json"]).await.json();
    let file = world.file("south.toml", &provider_file(&[SOUTH]));
    let dry = ["provider", "apply", &file, "--prune", "--dry-run"];
    let told = world.run(&dry).await.well();
    let difference =
        "+ south\n- north (retired; its events stay)\n1 provider in the file, 2 would change\n";
    assert_eq!(told, difference);
    let told = world.run(&[&dry[..], &["--json"]].concat()).await.json();
    assert_eq!(told[0]["change"], "added");
    let after = world.run(&["provider", "list", "--json"]).await.json();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_bad_provider_file_is_refused_as_a_whole_with_every_line_and_reason() {
    let world = World::embedded().await;
    let bad = "[[provider]]\nname = \"second\"\nurl = \"ftp://provider.example/\"\n\
               format = \"plan-list\"\ninterval = \"often\"\ntimezone = \"Europe/Atlantis\"\n";
    let text = provider_file(&[NORTH]) + bad;
    let first = provider_file(&[NORTH]).lines().count();
    let file = world.file("bad.toml", &text);
    let refused = world.run(&["provider", "apply", &file]).await;
    let text = refused.text();
    for (line, reason) in [
        (3, "http:// or https://"),
        (5, "`often` is not a duration"),
        (6, "there is no time zone `Europe/Atlantis`"),
    ] {
        let place = format!("line {}: ", first + line);
        let told = text.lines().find(|told| told.contains(&place));
        assert!(told.is_some_and(|told| told.contains(reason)), "{text}");
    }
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(
        text.contains(&file) && text.contains("nothing was applied"),
        "{text}"
    );
    assert!(names(&world).await.is_empty());

    // A role does not start with it either.
    let world = world.with("FANFARE_PROVIDERS", &file);
    assert!(
        world
            .run(&["all"])
            .await
            .text()
            .contains("nothing was applied")
    );
    let missing = world.run(&["provider", "apply", "no.toml"]).await;
    missing.refused(&["no.toml", "can't read the provider file"]);
}

#[tokio::test]
async fn a_provider_is_shown_paused_resumed_removed_and_purged() {
    let world = World::embedded().await;
    let feeds = Feeds::start();
    let show = base("1", "online", "A show", &["2030-05-01T20:00:00"]);
    feeds.set("north", plan_list(&[show]));
    let serving = world.all().await;
    world.apply(&[("north", &feeds.url("north"))]).await;
    world.sync("north").await;

    let show = world
        .run(&["provider", "show", "north", "--json"])
        .await
        .json();
    assert_eq!(show["provider"]["name"], "north");
    assert_eq!(
        show["runs"].as_array().unwrap().last().unwrap()["events_new"],
        1
    );
    let show = world.run(&["provider", "show", "north"]).await.well();
    assert!(
        show.contains("Europe/Madrid") && show.contains("stored"),
        "{show}"
    );

    let pause = ["provider", "pause", "north", "--reason", "their request"];
    assert_eq!(world.run(&pause).await.well(), "paused north\n");
    let list = world.run(&["provider", "list"]).await.well();
    assert!(list.lines().nth(1).unwrap().contains("paused"), "{list}");
    let sync = world.run(&["sync", "north"]).await;
    sync.refused(&[
        "`north` is paused",
        "their request",
        "provider resume north",
    ]);
    let resume = ["provider", "resume", "north", "--json"];
    assert_eq!(world.run(&resume).await.json()["done"], "resumed");
    world.sync("north").await;

    let remove = ["provider", "remove", "north"];
    assert_eq!(world.run(&remove).await.well(), "removed north\n");
    assert!(names(&world).await.is_empty());
    assert_eq!(serving.api.search("").await.len(), 1);
    let purge = ["provider", "remove", "north", "--purge", "--json"];
    assert_eq!(world.run(&purge).await.json()["done"], "purged");
    assert!(serving.api.search("").await.is_empty());
    stop(&serving.process, Signal::TERM).await;
}

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

    let observed = format!("127.0.0.1:{}", testkit::free_port());
    let listen = format!("127.0.0.1:{}", testkit::free_port());
    let options = ["all", "--listen", &listen, "--observe-listen", &observed];
    let serving = world.serve(&options).await;
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

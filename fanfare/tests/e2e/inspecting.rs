//! Looking in: what runs, what ran, and why a provider is not synced.

use serde_json::Value;
use testkit::Signal;

use crate::feed::{Feeds, HELD};
use crate::world::{World, stop};

#[tokio::test]
async fn a_run_is_seen_while_it_runs_and_afterwards() {
    let world = World::embedded().await;
    let serving = world.all().await;
    let feeds = Feeds::held(&world).await;
    feeds.fetched(1).await;

    let open = ["run", "list", "--open", "--json"];
    let runs = world.run(&open).await.json();
    let [run] = runs.as_array().unwrap().as_slice() else {
        panic!("not one run: {runs}");
    };
    assert_eq!(run["state"], "running");
    let workers = world.run(&["worker", "list", "--json"]).await.json();
    assert_eq!(workers.as_array().unwrap().len(), 1);
    assert_eq!(
        (&workers[0]["running"], &workers[0]["name"]),
        (&Value::from(1), &run["worker"])
    );
    let why = world.run(&["why", HELD]).await.well();
    assert!(why.contains("It is being synced"), "{why}");
    let worker = run["worker"].as_str().unwrap();
    assert!(why.contains(worker), "{why}");

    feeds.release();
    world.sync(HELD).await;
    assert_eq!(world.run(&open).await.json(), Value::Array(Vec::new()));
    let id = run["id"].as_str().unwrap();
    let shown = world.run(&["run", "show", id]).await.well();
    let stored = |line: &str| line.starts_with("state") && line.ends_with("stored");
    assert!(shown.lines().any(stored), "{shown}");
    let shown = world.run(&["run", "show", id, "--json"]).await.json();
    assert_eq!(
        (&shown["id"], &shown["events_new"]),
        (&run["id"], &Value::from(1))
    );
    let listed = world.run(&["run", "list", "--provider", HELD]).await.well();
    assert!(listed.contains(id), "{listed}");
    let why = world.run(&["why", HELD]).await.well();
    assert!(why.contains("It is not claimed; due in "), "{why}");
    stop(&serving.process, Signal::TERM).await;
}

#[tokio::test]
async fn why_tells_of_a_pause_and_of_what_is_missing() {
    let world = World::embedded().await;
    world.apply(&[("north", "http://127.0.0.1:1/")]).await;
    let why = world.run(&["why", "north"]).await.well();
    assert!(why.contains("It was never synced."), "{why}");
    assert!(why.contains("no scheduler runs"), "{why}");
    let pause = ["provider", "pause", "north", "--reason", "their request"];
    world.run(&pause).await.well();
    let why = world.run(&["why", "north"]).await.well();
    assert!(why.contains("It is paused by "), "{why}");
    assert!(why.contains("their request"), "{why}");
    assert!(why.contains("fanfare provider resume north"), "{why}");
    assert!(
        world
            .run(&["why", "north", "--json"])
            .await
            .json()
            .is_object()
    );

    let nobody = world.run(&["why", "nobody"]).await;
    nobody.refused(&["no provider `nobody`", "fanfare provider list"]);
    let unknown = "01a20495-2d40-733e-b569-1cffe57c65df";
    let unknown = world.run(&["run", "show", unknown]).await;
    unknown.refused(&["there is no run", "fanfare run list"]);
}

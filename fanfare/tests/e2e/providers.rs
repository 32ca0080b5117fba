//! `fanfare provider`: files that are applied, and what is done to one provider.

use serde_json::Value;
use testkit::Signal;

use crate::feed::{Feeds, base, plan_list};
use crate::world::{World, provider_file, stop};

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
async fn the_example_of_a_provider_file_can_be_applied() {
    let world = World::embedded().await;
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/providers.toml");
    let told = world.run(&["provider", "apply", example]).await.well();
    assert!(
        told.ends_with("2 providers in the file, 2 changed\n"),
        "{told}"
    );
    let show = ["provider", "show", "city-theatre"];
    let show = world.run(&show).await.well();
    assert!(
        show.contains("header x-api-key from the variable CITY_THEATRE_KEY"),
        "{show}"
    );
}

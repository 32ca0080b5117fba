//! Feeds that lose most of what they had, and feeds with faults: what operators see and do.

use serde_json::{Value, json};
use testkit::{Process, Signal};

use crate::feed::{Feeds, base, plan_list, upcoming};
use crate::http::Api;
use crate::world::{World, stop};

const EVENTS: usize = 30;
const REMEDY: &str = "`fanfare sync primary --accept-gone` takes them for gone";

/// How many events are held, and how many are gone.
async fn held_and_gone(world: &World) -> (usize, usize) {
    use sea_orm::EntityTrait as _;
    let db = world.db().await;
    let events = entity::event::Entity::find().all(&db.read).await.unwrap();
    db.close().await;
    assert_eq!(events.len(), EVENTS);
    let held = |event: &&entity::event::Model| event.missing_since.is_some();
    let gone = |event: &&entity::event::Model| event.gone_at.is_some();
    (
        events.iter().filter(held).count(),
        events.iter().filter(gone).count(),
    )
}

/// The run that ended last.
async fn last_run(world: &World) -> Value {
    let list = [
        "run",
        "list",
        "--provider",
        "primary",
        "--limit",
        "1",
        "--json",
    ];
    let run = &world.run(&list).await.json()[0];
    let show = ["run", "show", run["id"].as_str().unwrap(), "--json"];
    world.run(&show).await.json()
}

#[tokio::test]
async fn an_empty_feed_is_held_until_it_is_back_or_someone_confirms_it_embedded() {
    let world = World::embedded().await;
    let serving = world.all().await;
    held_and_confirmed(&world, &serving.api).await;
    stop(&serving.process, Signal::TERM).await;
}

#[tokio::test]
async fn an_empty_feed_is_held_until_it_is_back_or_someone_confirms_it_distributed() {
    let world = World::distributed().await;
    let roles: [Process; 2] = [
        world.start_ready(&["scheduler"]).await,
        world.start_ready(&["worker"]).await,
    ];
    let serving = world.serve(&["api"]).await;
    held_and_confirmed(&world, &serving.api).await;
    for process in roles.iter().chain([&serving.process]) {
        stop(process, Signal::TERM).await;
    }
}

async fn held_and_confirmed(world: &World, api: &Api) {
    let feeds = Feeds::start();
    feeds.set("primary", upcoming(EVENTS, "A show"));
    world.apply(&[("primary", &feeds.url("primary"))]).await;
    world.sync("primary").await;
    assert_eq!(api.search("").await.len(), EVENTS);
    let sync = async || world.run(&["sync", "primary", "--wait"]).await.well();

    feeds.set("primary", plan_list(&[]));
    let told = sync().await;
    let missing = format!("{EVENTS} events are missing from its feed and held: {REMEDY}\n");
    assert!(told.ends_with(&missing), "{told}");
    assert_eq!(held_and_gone(world).await, (EVENTS, 0));
    is_held(world).await;
    let all = world.run(&["sync", "--all", "--wait"]).await.well();
    assert!(all.contains("`fanfare sync NAME --accept-gone`"), "{all}");

    feeds.set("primary", upcoming(EVENTS, "A show"));
    let told = sync().await;
    assert!(!told.contains("missing"), "{told}");
    assert_eq!(held_and_gone(world).await, (0, 0));
    let show = world.run(&["provider", "show", "primary"]).await.well();
    assert!(!show.contains("missing from its feed"), "{show}");

    feeds.set("primary", plan_list(&[]));
    assert!(sync().await.ends_with(&missing));
    let accept = ["sync", "primary", "--accept-gone", "--wait"];
    let told = world.run(&accept).await.well();
    assert!(
        told.ends_with(&format!("{EVENTS} events changed\n")),
        "{told}"
    );
    assert_eq!(held_and_gone(world).await, (0, EVENTS));
    let run = last_run(world).await;
    let counts = (
        &run["events_gone"],
        &run["events_held"],
        &run["accept_gone"],
    );
    assert_eq!(counts, (&EVENTS.into(), &0.into(), &true.into()));
    // Nothing is forgotten.
    let found = api.search("").await;
    assert_eq!(found.len(), EVENTS);
    assert!(api.event(found[0].id).await.gone);
    let all = world.run(&["sync", "--all", "--accept-gone"]).await;
    assert_eq!(all.code, Some(2), "{all:?}");
}

/// What every view says of a held feed.
async fn is_held(world: &World) {
    let list = world.run(&["provider", "list", "--json"]).await.json();
    assert_eq!(list[0]["events_held"], EVENTS);
    let list = world.run(&["provider", "list"]).await.well();
    let lines: Vec<_> = list.lines().collect();
    let end = lines[0].find("HELD").unwrap() + "HELD".len();
    assert!(lines[1][..end].ends_with(" 30"), "{list}");
    for view in [&["provider", "show", "primary"][..], &["why", "primary"]] {
        let told = world.run(view).await.well();
        assert!(
            told.contains("30 events are missing from its feed"),
            "{told}"
        );
        assert!(told.contains(REMEDY), "{told}");
    }
    let run = last_run(world).await;
    assert_eq!(
        (&run["events_held"], &run["accept_gone"]),
        (&EVENTS.into(), &false.into())
    );
    let run = world
        .run(&["run", "show", run["id"].as_str().unwrap()])
        .await
        .well();
    let has = |label: &str, value: &str| {
        let holds = |line: &str| {
            line.split_once("  ")
                .is_some_and(|(l, v)| (l, v.trim()) == (label, value))
        };
        assert!(run.lines().any(holds), "{label}: {run}");
    };
    has("held", "30");
    has("accept gone", "no");
    has("wire bytes", &plan_list(&[]).len().to_string());
}

#[tokio::test]
async fn what_a_feed_had_set_aside_is_shown_also_after_it_was_found_unchanged() {
    let world = World::embedded().await;
    let feeds = Feeds::start();
    let days = ["2130-05-01T20:00:00", "2130-02-30T20:00:00"];
    feeds.set("primary", plan_list(&[base("1", "odd", "A show", &days)]));
    feeds.set("moved", "");
    feeds.move_to("moved", "primary");
    let serving = world.all().await;
    world.apply(&[("primary", &feeds.url("moved"))]).await;
    for _ in 0..2 {
        world.sync("primary").await;
    }
    let last = last_run(&world).await;
    assert_eq!(
        (&last["outcome"], &last["set_aside_items"]),
        (&"unchanged".into(), &json!([]))
    );

    let show = world.run(&["provider", "show", "primary"]).await.well();
    let moved = format!(
        "the feed has moved for good to {}: change its url",
        feeds.url("primary")
    );
    for told in [
        "no_such_day  1  the event starts or ends on a day that does not exist\n",
        "planList/output/base_plan[1]/plan[2]: the event starts or ends",
        "<plan plan_id=\"2\"",
        "bad_sell_mode      1  the sell mode is neither online nor offline",
        "more than 50% and more than 20 of the events that are not over\n",
        &moved,
    ] {
        assert!(show.contains(told), "{told:?}: {show}");
    }
    let show = world
        .run(&["provider", "show", "primary", "--json"])
        .await
        .json();
    assert_eq!(show["provider"]["moved_to"], feeds.url("primary"));
    let stored = &show["last_stored"];
    assert_eq!(stored["set_aside_reasons"], json!({ "no_such_day": 1 }));
    assert_eq!(stored["set_aside_items"][0]["event_id"], "2");
    let id = stored["id"].as_str().unwrap();
    let run = world.run(&["run", "show", id, "--json"]).await.json();
    assert_eq!(run["set_aside_items"], stored["set_aside_items"]);
    assert_eq!(run["provider"], "primary");
    let run = world.run(&["run", "show", id]).await.well();
    assert!(
        run.contains("Set aside of its feed, by reason:\n  no_such_day  1  "),
        "{run}"
    );
    stop(&serving.process, Signal::TERM).await;
}

//! `fanfare check`: what a sync would do, and nothing done.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};
use testkit::{Database, Signal};

use crate::dump::dump;
use crate::feed::{Feeds, base, plan_list, upcoming};
use crate::world::{World, on_both_databases, stop, text_of};

on_both_databases!(
    a_check_tells_what_a_sync_then_does_and_writes_nothing,
    a_check_tells_what_would_be_held,
);

const MAY: &str = "2130-05-01T20:00:00";
const JUNE: &str = "2130-06-01T20:00:00";

/// A provider called `primary` that was synced once; nothing runs any more.
async fn synced(world: &World, feed: &str) -> Feeds {
    let feeds = Feeds::start();
    feeds.set("primary", feed);
    let serving = world.all().await;
    world.apply(&[("primary", &feeds.url("primary"))]).await;
    world.sync("primary").await;
    stop(&serving.process, Signal::TERM).await;
    feeds
}

async fn a_check_tells_what_a_sync_then_does_and_writes_nothing(world: World) {
    let stays = base("1", "online", "Stays", &[MAY]);
    let changes = base("2", "online", "Old title", &[MAY, JUNE]);
    let leaves = base("3", "online", "Leaves", &[JUNE]);
    let feeds = synced(&world, &plan_list(&[stays.clone(), changes, leaves])).await;
    let changes = base("2", "online", "New title", &[MAY, JUNE]).replace("12.5", "15");
    let comes = base("4", "offline", "Comes", &[MAY]);
    let feed = plan_list(&[stays, changes, comes]);
    feeds.set("primary", &*feed);
    let file = world.file("next.xml", &feed);
    let url = feeds.url("primary");

    let before = dump(&world).await;
    assert!(before["event"].len() == 4 && !before["run"].is_empty());
    let mut told = Vec::new();
    for command in [
        &["check", "primary"][..],
        &["check", &url, "--against", "primary"],
        &["check", &file, "--against", "primary"],
    ] {
        let text = world.run(command).await.well();
        for line in [
            "new        1",
            "changed    2",
            "unchanged  1",
            "gone       1",
            "held       0",
            "  4/1  2130-05-01 20:00  Comes",
            "  3/1  2130-06-01 20:00  Leaves",
            r#"    title: "Old title" -> "New title""#,
            "    min_price: 12.50 -> 15.00",
            "    - zone 1, price 12.50",
            "    + zone 1, price 15.00",
            "It would be stored as a whole.",
        ] {
            assert!(text.lines().any(|told| told == line), "{line:?}: {text}");
        }
        told.push(world.run(&[command, &["--json"]].concat()).await.json());
    }
    assert_eq!(dump(&world).await, before, "nothing is written");

    let counts = json!({
        "new": 1, "changed": 2, "unchanged": 1, "returned": 0, "gone": 1, "held": 0,
        "set_aside": 0, "warnings": 4,
    });
    let first = &told[0]["first"];
    for (told, kind) in told.iter().zip(["provider", "url", "file"]) {
        assert_eq!((&told["kind"], &told["counts"]), (&kind.into(), &counts));
        assert_eq!(told["timezone"], "Europe/Madrid", "as the provider has it");
        assert_eq!(told["first"], *first);
        assert_eq!(
            (&told["whole"], &told["error"]),
            (&true.into(), &Value::Null)
        );
    }
    let changed = &told[0]["first"]["changed"][0];
    assert_eq!(
        changed["changes"]["title"],
        json!(["Old title", "New title"])
    );
    assert_eq!(changed["changes"]["min_price"], json!([125_000, 150_000]));
    let id = entity::event::id("primary", "4", "1");
    assert_eq!(told[0]["first"]["new"][0]["id"], id.to_string());
    let few = ["check", "primary", "--json", "--few", "1"];
    let few = world.run(&few).await.json();
    assert_eq!(few["counts"], counts);
    assert_eq!(few["first"]["changed"].as_array().unwrap().len(), 1);

    let serving = world.all().await;
    world.sync("primary").await;
    stop(&serving.process, Signal::TERM).await;
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
    for (count, expected) in counts.as_object().unwrap() {
        let count = match count.as_str() {
            "set_aside" | "warnings" => count.clone(),
            _ => format!("events_{count}"),
        };
        assert_eq!(&run[&count], expected, "{count}");
    }
}

async fn a_check_tells_what_would_be_held(world: World) {
    let feeds = synced(&world, &upcoming(30, "A show")).await;
    feeds.set("primary", plan_list(&[]));
    let before = dump(&world).await;
    let text = world.run(&["check", "primary"]).await.with_code(3);
    for told in [
        "held       30\n",
        "Missing and held, the first 5 of 30:\n",
        "30 events would be held",
        "more than 50% and more than 20",
        "`fanfare sync primary --accept-gone`",
    ] {
        assert!(text.contains(told), "{told:?}: {text}");
    }
    let told = world
        .run(&["check", "primary", "--json"])
        .await
        .with_code(3);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["counts"]["held"], &told["counts"]["gone"]),
        (&30.into(), &0.into())
    );
    assert_eq!(told["first"]["held"].as_array().unwrap().len(), 5);
    assert_eq!(told["whole"], false);
    assert_eq!(dump(&world).await, before, "nothing is written");
}

#[tokio::test]
async fn an_address_or_a_file_alone_needs_no_database() {
    let world = World::over(Database::sqlite_empty().await);
    let feeds = Feeds::start();
    feeds.set("feed", upcoming(1, "A show"));
    let file = world.file("feed.xml", &upcoming(1, "A show"));
    for subject in [&feeds.url("feed"), &file, "feed.xml"] {
        let text = world.run(&["check", subject]).await.well();
        assert!(text.contains("nothing: everything is new"), "{text}");
        let told = world.run(&["check", subject, "--json"]).await.json();
        assert_eq!(
            (&told["counts"]["new"], &told["against"]),
            (&1.into(), &Value::Null)
        );
        assert_eq!(told["first"]["new"][0]["starts_at"], "2130-01-01T00:00:00Z");
    }
    let zone = ["check", &file, "--timezone", "Europe/Madrid", "--json"];
    let told = world.run(&zone).await.json();
    assert_eq!(told["first"]["new"][0]["starts_at"], "2129-12-31T23:00:00Z");
    let against = world.run(&["check", &file, "--against", "primary"]).await;
    against.refused(&["there is no database", "fanfare migrate"]);
}

#[tokio::test]
async fn what_would_be_set_aside_is_told_with_place_reason_and_snippet() {
    let world = World::embedded().await;
    let bad = base(
        "1",
        "sideways",
        "Bad \u{9b}2J days",
        &[MAY, "2130-02-30T20:00:00", "soon"],
    );
    let file = world.file("bad.xml", &plan_list(&[bad]));
    let text = world.run(&["check", &file]).await.with_code(3);
    for told in [
        "set aside  2\n",
        "  bad_start    1  the event's start is not a time such as 2021-06-30T21:00:00\n",
        "  no_such_day  1  the event starts or ends on a day that does not exist\n",
        "  planList/output/base_plan[1]/plan[2]: the event starts or ends on a day that does not exist\n",
        "    <plan plan_id=\"2\" plan_start_date=\"2130-02-30T20:00:00\"",
        "  bad_sell_mode      1  ",
        "2 items would be set aside",
        r"Bad \u009b2J days",
    ] {
        assert!(text.contains(told), "{told:?}: {text}");
    }
    let told = world.run(&["check", &file, "--json"]).await.with_code(3);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        told["set_aside_reasons"],
        json!({ "bad_start": 1, "no_such_day": 1 })
    );
    assert_eq!(told["first"]["new"][0]["title"], "Bad \u{9b}2J days");
    let item = &told["first"]["set_aside"][0];
    assert_eq!(
        (&item["position"], &item["base_id"], &item["event_id"]),
        (&2.into(), &"1".into(), &"2".into())
    );
    assert_eq!(item["reason"], "no_such_day");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_the_reason_in_json_as_well() {
    let world = World::embedded().await;
    let feeds = Feeds::start();
    feeds.fail("down", StatusCode::INTERNAL_SERVER_ERROR);
    let whole = upcoming(3, "A show");
    let cut = world.file("cut.xml", &whole[..whole.len() - 20]);
    let down = feeds.url("down");
    let folder = text_of(world.folder.path());
    for (subject, words) in [
        (&*cut, &["not well-formed at line 1", "cut.xml"][..]),
        (&*down, &["status 500", &down]),
        (&*folder, &["can't read", "directory"]),
        ("no.xml", &["can't read no.xml", "No such file"]),
        ("ftp://provider.example/", &["http:// or https://"]),
        (
            "nobody",
            &[
                "no file `nobody`",
                "no provider `nobody`",
                "fanfare provider list",
            ],
        ),
    ] {
        let refused = world.run(&["check", subject]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        refused.refused(words);
        let refused = world.run(&["check", subject, "--json"]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let told: Value = serde_json::from_str(&refused.out).unwrap();
        assert_eq!(told["subject"], subject);
        assert_eq!(
            refused.error(),
            format!("error: {}", told["error"].as_str().unwrap())
        );
    }
    let itself = world.run(&["check", "nobody", "--against", "other"]).await;
    itself.refused(&["compared with its own events"]);
    for (option, value, word) in [
        ("--format", "csv", "plan-list"),
        ("--timezone", "Europe/Atlantis", "Europe/Madrid"),
    ] {
        let refused = world.run(&["check", &cut, option, value]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        refused.refused(&[option, value, word]);
    }
}

#[tokio::test]
async fn a_check_leads_nowhere_that_a_worker_would_not_go() {
    let world = World::embedded().await;
    let feeds = Feeds::start();
    feeds.set("feed", upcoming(3, "A show"));
    let (url, file) = (
        feeds.url("feed"),
        world.file("feed.xml", &upcoming(3, "A show")),
    );
    world.apply(&[("primary", &url)]).await;
    let world = world.with("FANFARE_ALLOW_NETWORKS", "10.0.0.0/8");
    for subject in [&*url, "primary"] {
        let refused = world.run(&["check", subject]).await;
        refused.refused(&["127.0.0.1", "loopback", "FANFARE_ALLOW_NETWORKS"]);
    }
    assert_eq!(feeds.fetches("feed"), 0);
    world.run(&["check", &file]).await.well();
}

/// The paths of all keys; those of lists are those of their first items.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let path = format!("{path}.{key}");
                keys(member, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => {
            if let Some(first) = items.first() {
                keys(first, &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_json_has_the_documented_keys() {
    let world = World::embedded().await;
    let bad = ["2130-02-30T20:00:00"];
    let file = plan_list(&[
        base("1", "online", "A show", &[MAY]),
        base("2", "odd", "Bad", &bad),
    ]);
    let zone = r#"zone_id="1" name="Stalls" capacity="9" numbered="true""#;
    let file = world.file("feed.xml", &file.replace(r#"zone_id="1""#, zone));
    let told = world.run(&["check", &file, "--json"]).await.with_code(3);
    let (mut told_keys, mut documented) = (BTreeSet::new(), BTreeSet::new());
    keys(&serde_json::from_str(&told).unwrap(), "", &mut told_keys);
    let example = include_str!("../../../docs/OPERATIONS.md")
        .split("```json\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
        .find(|block| block.contains("\"subject\""))
        .unwrap();
    keys(&serde_json::from_str(example).unwrap(), "", &mut documented);
    // Kinds that this feed has none of.
    let others = |path: &String| {
        ["changed", "returned", "gone", "held"]
            .iter()
            .all(|kind| !path.starts_with(&format!(".first.{kind}[]")))
            && !path.starts_with(".set_aside_reasons.")
            && !path.starts_with(".warning_reasons.")
    };
    told_keys.retain(others);
    documented.retain(others);
    assert_eq!(told_keys, documented);
}

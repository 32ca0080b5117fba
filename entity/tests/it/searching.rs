//! Events in a window of time.

use chrono::{DateTime, TimeDelta, Utc};
use entity::event::{Content, SellMode};
use entity::search::{self, Search};
use futures::TryStreamExt;

use crate::on_both_databases;
use crate::world::{World, bare, creating};

on_both_databases!(
    the_edges_of_a_window_belong_to_it,
    an_event_without_an_end_is_judged_by_its_start,
    only_what_was_ever_online_is_found_gone_or_not,
    what_is_found_comes_by_start_and_then_by_id,
    an_answer_carries_its_version_also_when_it_is_empty,
    fractions_of_a_second_keep_their_order,
    a_single_event_is_found_whether_it_was_ever_online_or_not,
);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn lasting(id: &str, from: &str, to: Option<&str>) -> Content {
    Content {
        title: id.to_owned(),
        starts_at: at(from),
        starts_local: at(from).naive_utc() + TimeDelta::hours(2),
        ends_at: to.map(at),
        ends_local: to.map(|to| at(to).naive_utc() + TimeDelta::hours(2)),
        ..bare(id)
    }
}

async fn store(world: &World, contents: impl IntoIterator<Item = Content>) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", contents)).await;
}

async fn titles(world: &World, from: Option<&str>, to: Option<&str>) -> Vec<String> {
    let window = Search {
        starts_at: from.map(at),
        ends_at: to.map(at),
        ..Search::default()
    };
    let (_, found) = search::all(world.db.reader(), &window).await.unwrap();
    found.into_iter().map(|event| event.title).collect()
}

async fn the_edges_of_a_window_belong_to_it(world: World) {
    store(
        &world,
        [lasting(
            "a",
            "2021-06-30T19:00:00Z",
            Some("2021-06-30T22:00:00Z"),
        )],
    )
    .await;
    let found = async |from, to| !titles(&world, Some(from), Some(to)).await.is_empty();
    assert!(found("2021-06-30T19:00:00Z", "2021-06-30T22:00:00Z").await);
    assert!(!found("2021-06-30T19:00:00.000001Z", "2021-06-30T22:00:00Z").await);
    assert!(!found("2021-06-30T19:00:00Z", "2021-06-30T21:59:59.999999Z").await);
    assert!(found("2021-06-30T18:59:59.999999Z", "2021-06-30T22:00:00.000001Z").await);
    // Beginning within the window is not enough.
    assert!(!found("2021-06-30T18:00:00Z", "2021-06-30T20:00:00Z").await);
}

async fn an_event_without_an_end_is_judged_by_its_start(world: World) {
    store(&world, [lasting("a", "2021-06-30T19:00:00Z", None)]).await;
    let until = async |to| titles(&world, None, Some(to)).await.len();
    assert_eq!(until("2021-06-30T19:00:00Z").await, 1);
    assert_eq!(until("2021-06-30T18:59:59Z").await, 0);
    let from = async |from| titles(&world, Some(from), None).await.len();
    assert_eq!(from("2021-06-30T19:00:00Z").await, 1);
    assert_eq!(from("2021-06-30T19:00:01Z").await, 0);
}

async fn only_what_was_ever_online_is_found_gone_or_not(world: World) {
    let offline = Content {
        sell_mode: SellMode::Offline,
        ..lasting("offline", "2021-06-30T19:00:00Z", None)
    };
    let contents = ["online", "gone", "once"].map(|id| lasting(id, "2021-06-30T19:00:00Z", None));
    store(&world, contents.into_iter().chain([offline])).await;
    let sql = format!(
        "UPDATE event SET gone_at = {} WHERE event_id = 'gone'",
        world.in_seconds(0)
    );
    world.execute(&sql, vec![]).await;
    world
        .execute(
            "UPDATE event SET sell_mode = 'offline' WHERE event_id = 'once'",
            vec![],
        )
        .await;
    let mut found = titles(&world, None, None).await;
    found.sort();
    assert_eq!(found, ["gone", "once", "online"]);
}

async fn what_is_found_comes_by_start_and_then_by_id(world: World) {
    let early = lasting(
        "early",
        "2020-01-01T00:00:00Z",
        Some("2029-01-01T00:00:00Z"),
    );
    let late = lasting("late", "2022-01-01T00:00:00Z", None);
    let same: Vec<_> = (0..20)
        .map(|number| lasting(&number.to_string(), "2021-01-01T00:00:00Z", None))
        .collect();
    store(&world, same.into_iter().chain([late, early])).await;
    let (_, found) = search::all(world.db.reader(), &Search::default())
        .await
        .unwrap();
    assert_eq!(found.len(), 22);
    assert_eq!(
        (found[0].title.as_str(), found[21].title.as_str()),
        ("early", "late")
    );
    assert!(found[1..21].is_sorted_by(|a, b| a.id < b.id));
    let shown = &found[0];
    assert_eq!(shown.starts_local, "2020-01-01T02:00:00".parse().unwrap());
    assert_eq!(
        shown.ends_local,
        Some("2029-01-01T02:00:00".parse().unwrap())
    );
    assert_eq!((shown.min_price, shown.max_price), (None, None));
}

async fn an_answer_carries_its_version_also_when_it_is_empty(world: World) {
    let (empty, found) = search::all(world.db.reader(), &Search::default())
        .await
        .unwrap();
    assert_eq!((empty.number, found.len()), (0, 0));
    store(&world, [bare("1")]).await;
    let (version, stream) = search::find(world.db.reader(), &Search::default())
        .await
        .unwrap();
    let found: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!((version.number, found.len()), (1, 1));
    assert_eq!(version.epoch, empty.epoch);
    let nothing = Search {
        starts_at: Some(at("2999-01-01T00:00:00Z")),
        ..Search::default()
    };
    let (version, found) = search::all(world.db.reader(), &nothing).await.unwrap();
    assert_eq!((version.number, found.len()), (1, 0));
}

async fn fractions_of_a_second_keep_their_order(world: World) {
    let starts = [
        "2021-01-01T00:00:00Z",
        "2021-01-01T00:00:00.000001Z",
        "2021-01-01T00:00:00.5Z",
        "2021-01-01T00:00:00.500001Z",
        "2021-01-01T00:00:01Z",
    ];
    store(&world, starts.map(|start| lasting(start, start, None))).await;
    assert_eq!(titles(&world, None, None).await, starts);
    for (number, start) in starts.into_iter().enumerate() {
        assert_eq!(titles(&world, Some(start), None).await, starts[number..]);
        assert_eq!(titles(&world, None, Some(start)).await, starts[..=number]);
    }
}

async fn a_single_event_is_found_whether_it_was_ever_online_or_not(world: World) {
    let offline = Content {
        sell_mode: SellMode::Offline,
        ..bare("1")
    };
    store(&world, [offline]).await;
    let id = entity::event::id("acme", "291", "1");
    let (version, found) = search::event(world.db.reader(), id).await.unwrap();
    let found = found.unwrap();
    assert_eq!((version.number, found.provider.as_str()), (1, "acme"));
    assert_eq!(found.event, world.event(id).await);
    let unknown = entity::event::id("acme", "291", "2");
    let (version, found) = search::event(world.db.reader(), unknown).await.unwrap();
    assert_eq!((version.number, found), (1, None));
}

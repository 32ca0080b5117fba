//! What a worker learns of a provider's events before it reads the feed.

use chrono::{DateTime, TimeDelta, Utc};
use entity::commit::Changes;
use entity::event::Content;
use entity::known::Event;

use crate::on_both_databases;
use crate::world::{World, bare, creating, id, ids};

on_both_databases!(
    every_event_of_the_provider_is_known_in_the_order_of_ids,
    nothing_is_known_of_a_provider_without_events,
    an_event_is_over_when_the_database_says_so,
);

async fn every_event_of_the_provider_is_known_in_the_order_of_ids(world: World) {
    world.add(&["acme", "other"]).await;
    world.claim(10).await;
    let numbers: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let contents = || numbers.iter().map(|number| bare(number));
    for name in ["acme", "other"] {
        let begun = world.begun(name).await;
        world.commit(&begun, &creating(name, contents())).await;
    }
    let marked = Changes {
        gone: ids("acme", &["7", "8"]),
        missing: ids("acme", &["9"]),
        ..Changes::default()
    };
    let begun = world.begun("acme").await;
    world.commit(&begun, &marked).await;

    let known = world.known("acme").await;
    let mut expected: Vec<Event> = contents()
        .map(|content| Event {
            id: id("acme", &content.event_id),
            digest: content.digest(),
            gone: ["7", "8"].contains(&content.event_id.as_str()),
            missing: content.event_id == "9",
            ended: true,
        })
        .collect();
    expected.sort_by_key(|event| event.id);
    assert_eq!(known.iter().collect::<Vec<_>>(), expected);
    for (position, event) in expected.iter().enumerate() {
        assert_eq!(known.position(event.id), Some(position));
    }
    assert_eq!(known.get(id("other", "1")), None);
}

async fn nothing_is_known_of_a_provider_without_events(world: World) {
    world.add(&["acme"]).await;
    let known = world.known("acme").await;
    assert!(known.is_empty());
    assert_eq!(known.get(id("acme", "1")), None);
}

async fn an_event_is_over_when_the_database_says_so(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let now = world.now().await;
    let minutes = |count: i64| now + TimeDelta::minutes(count);
    let lasting = |event_id: &str, from: DateTime<Utc>, to: Option<DateTime<Utc>>| Content {
        starts_at: from,
        ends_at: to,
        ..bare(event_id)
    };
    let contents = [
        (
            "over",
            lasting("over", minutes(-9), Some(minutes(-1))),
            true,
        ),
        ("on", lasting("on", minutes(-9), Some(minutes(9))), false),
        (
            "to come",
            lasting("to come", minutes(9), Some(minutes(19))),
            false,
        ),
        ("has begun", lasting("has begun", minutes(-1), None), true),
        ("will begin", lasting("will begin", minutes(9), None), false),
        // Not a whole second, which SQLite keeps as a longer text.
        (
            "at once",
            lasting("at once", now - TimeDelta::microseconds(1), None),
            true,
        ),
    ];
    let all = contents.iter().map(|(_, content, _)| content.clone());
    world.commit(&begun, &creating("acme", all)).await;
    let known = world.known("acme").await;
    for (event_id, _, ended) in contents {
        let event = known.get(id("acme", event_id)).unwrap();
        assert_eq!(event.ended, ended, "{event_id}");
    }
}

//! Events that their feed lacks and that are held: readers see nothing of it.

use entity::commit::{Changes, Committed, Counts, Finish, commit};
use entity::event::Content;
use entity::event_change::Kind;
use entity::provider;
use entity::run::Outcome;
use entity::search::{self, Search};

use crate::on_both_databases;
use crate::world::{World, bare, creating, finish, id, ids, replacing};

on_both_databases!(
    a_held_event_looks_to_readers_as_before,
    a_held_event_that_is_found_is_not_returned,
    a_held_event_that_goes_after_all_is_no_longer_missing,
    a_held_event_that_comes_back_changed_is_updated,
    how_many_are_held_is_what_the_last_stored_feed_said,
);

/// An event that was stored an hour ago, and is held since a moment.
async fn held(world: &World) -> entity::event::Model {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world
        .commit(&begun, &creating("acme", [bare("1"), bare("2")]))
        .await;
    let earlier = format!(
        "UPDATE event SET first_seen_at = {0}, changed_at = {0}",
        world.in_seconds(-3600)
    );
    world.execute(&earlier, vec![]).await;
    let before = world.event(id("acme", "1")).await;
    let missing = Changes {
        missing: ids("acme", &["1"]),
        ..Changes::default()
    };
    silently(world, &missing).await;
    before
}

/// Commits what no reader is to notice.
async fn silently(world: &World, changes: &Changes) -> entity::lease::Begun {
    let begun = world.begun("acme").await;
    let (version, logged) = (world.version().await, world.count("event_change").await);
    assert_eq!(world.commit(&begun, changes).await, Committed::Yes(None));
    assert_eq!(
        (world.version().await, world.count("event_change").await),
        (version, logged)
    );
    begun
}

async fn a_held_event_looks_to_readers_as_before(world: World) {
    let before = held(&world).await;
    let row = world.event(before.id).await;
    assert!(row.missing_since.unwrap() > before.changed_at);
    let same_but_for_the_mark = entity::event::Model {
        missing_since: None,
        ..row
    };
    assert_eq!(same_but_for_the_mark, before);
    let known = world.known("acme").await;
    let known = known.get(before.id).unwrap();
    assert!(known.missing && !known.gone);
    let other = world.event(id("acme", "2")).await;
    assert_eq!(other.missing_since, None);

    let (_, found) = search::all(world.db.reader(), &Search::default())
        .await
        .unwrap();
    assert_eq!(found.len(), 2);
    let listed = provider::list(&world.db.read).await.unwrap();
    assert_eq!((listed[0].events, listed[0].events_gone), (2, 0));
}

async fn a_held_event_that_is_found_is_not_returned(world: World) {
    let before = held(&world).await;
    let found = Changes {
        found: vec![before.id],
        ..Changes::default()
    };
    silently(&world, &found).await;
    assert_eq!(world.event(before.id).await, before);
    assert!(!world.known("acme").await.get(before.id).unwrap().missing);
}

async fn a_held_event_that_goes_after_all_is_no_longer_missing(world: World) {
    let before = held(&world).await;
    let begun = world.begun("acme").await;
    let gone = Changes {
        gone: vec![before.id],
        ..Changes::default()
    };
    assert_eq!(world.commit(&begun, &gone).await, Committed::Yes(Some(2)));
    let row = world.event(before.id).await;
    assert_eq!(row.missing_since, None);
    assert!(row.gone_at.is_some() && row.changed_at > before.changed_at);
    let logged = world.kinds(begun.held.run).await;
    assert_eq!(logged, [(0, before.id, Kind::Gone)]);
    let known = world.known("acme").await.get(before.id).unwrap();
    assert!(known.gone && !known.missing);
}

async fn a_held_event_that_comes_back_changed_is_updated(world: World) {
    let before = held(&world).await;
    let begun = world.begun("acme").await;
    let renamed = Content {
        title: "Renamed".to_owned(),
        ..bare("1")
    };
    world.commit(&begun, &replacing("acme", [renamed])).await;
    let logged = world.kinds(begun.held.run).await;
    assert_eq!(logged, [(0, before.id, Kind::Updated)]);
    let row = world.event(before.id).await;
    assert_eq!((row.missing_since, row.gone_at), (None, None));
}

async fn how_many_are_held_is_what_the_last_stored_feed_said(world: World) {
    world.add(&["acme"]).await;
    let ends = [
        (Outcome::Stored, 3, 3),
        (Outcome::Unchanged, 0, 3),
        (Outcome::Failed, 0, 3),
        (Outcome::Stored, 5, 5),
        (Outcome::Stored, 0, 0),
    ];
    for (outcome, held, expected) in ends {
        let begun = world.begun("acme").await;
        let finish = Finish {
            outcome,
            counts: Counts {
                held,
                ..Counts::default()
            },
            ..finish(&begun)
        };
        commit(&world.db, &begun.held, &finish, &Changes::default())
            .await
            .unwrap();
        let run = world.run(begun.held.run).await;
        assert_eq!(run.events_held.unsigned_abs(), held);
        assert_eq!(world.provider("acme").await.events_held, expected);
        let listed = provider::list(&world.db.read).await.unwrap();
        assert_eq!(listed[0].events_held, expected);
    }
}

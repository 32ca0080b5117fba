//! What a commit logs follows from what is stored, whatever the events come in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use entity::commit::{Changes, Chunks, CommitError, Committed, Source, Upsert, Upserts, commit};
use entity::event::Content;
use entity::event_change::Kind;
use futures::StreamExt;
use futures::stream;

use crate::on_both_databases;
use crate::world::{World, bare, creating, finish, id, ids, known, new, replacing, storing};

on_both_databases!(
    kinds_and_differences_follow_from_what_is_stored,
    positions_have_no_gap_over_chunks_and_kinds,
    an_event_that_was_known_and_is_not_there_is_created,
    an_event_that_was_thought_new_replaces_what_is_stored,
    a_source_that_fails_midway_stores_nothing,
    empty_chunks_are_passed_over,
    a_source_of_nothing_changes_nothing,
);

/// Chunks of events, perhaps with a failure at their end, and how often they were asked for.
#[derive(Debug, Clone, Default)]
struct Chunked {
    chunks: Vec<Vec<Upsert>>,
    fails: bool,
    asked: Arc<AtomicUsize>,
}

impl Source for Chunked {
    fn chunks(&self) -> Chunks {
        self.asked.fetch_add(1, Relaxed);
        let failure = self
            .fails
            .then(|| Err(io::Error::other("the disk is gone")));
        let chunks = self.clone().chunks.into_iter().map(Ok).chain(failure);
        stream::iter(chunks).boxed()
    }
}

fn renamed(event_id: &str) -> Content {
    Content {
        title: "Renamed".to_owned(),
        ..bare(event_id)
    }
}

async fn gone(world: &World, event_ids: &[&str]) {
    let begun = world.begun("acme").await;
    let gone = Changes {
        gone: ids("acme", event_ids),
        ..Changes::default()
    };
    world.commit(&begun, &gone).await;
}

async fn kinds_and_differences_follow_from_what_is_stored(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world
        .commit(&begun, &creating("acme", [bare("1"), bare("2"), bare("3")]))
        .await;
    let log = world.log(begun.held.run).await;
    assert_eq!(log.len(), 3);
    assert!(log.iter().all(|row| row.kind == Kind::Created));
    assert!(log.iter().all(|row| row.changes.is_none()));
    gone(&world, &["2", "3"]).await;

    let begun = world.begun("acme").await;
    let sold = Content {
        sold_out: true,
        max_price: Some(5),
        ends_at: Some("2021-06-30T20:00:00Z".parse().unwrap()),
        ..renamed("1")
    };
    let changes = storing([
        known("acme", sold),
        known("acme", renamed("2")),
        new("acme", bare("4")),
    ]);
    let changes = Changes {
        returned: ids("acme", &["3"]),
        ..changes
    };
    world.commit(&begun, &changes).await;
    let log = world.log(begun.held.run).await;
    let of = |event_id| {
        let row = log.iter().find(|row| row.event_id == id("acme", event_id));
        let row = row.unwrap();
        (row.kind, row.changes.as_ref().map(ToString::to_string))
    };
    let differences = r#"{"ends_at":[null,"2021-06-30T20:00:00Z"],"max_price":[null,5],"sold_out":[false,true],"title":["Camela en concierto","Renamed"]}"#;
    assert_eq!(of("1"), (Kind::Updated, Some(differences.to_owned())));
    let title = r#"{"title":["Camela en concierto","Renamed"]}"#;
    assert_eq!(of("2"), (Kind::Returned, Some(title.to_owned())));
    assert_eq!(of("3"), (Kind::Returned, None));
    assert_eq!(of("4"), (Kind::Created, None));
    assert_eq!(log.len(), 4);
}

async fn positions_have_no_gap_over_chunks_and_kinds(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let first = ["1", "2", "3", "4", "5", "6"].map(bare);
    world.commit(&begun, &creating("acme", first)).await;
    gone(&world, &["3", "4", "5"]).await;

    let mut upserts = [
        known("acme", renamed("1")),
        known("acme", renamed("3")),
        new("acme", bare("7")),
        new("acme", bare("8")),
        new("acme", bare("9")),
    ];
    upserts.sort_by_key(|upsert| upsert.id);
    let chunks = vec![
        upserts[..2].to_vec(),
        upserts[2..3].to_vec(),
        upserts[3..].to_vec(),
    ];
    let begun = world.begun("acme").await;
    let changes = Changes {
        upserts: Upserts::new(Chunked {
            chunks,
            ..Chunked::default()
        }),
        returned: ids("acme", &["4", "5"]),
        gone: ids("acme", &["2", "6"]),
        ..Changes::default()
    };
    let committed = world.commit(&begun, &changes).await;
    assert_eq!(committed, Committed::Yes(Some(3)));

    let kind = |upsert: &Upsert| match upsert.content.event_id.as_str() {
        "1" => Kind::Updated,
        "3" => Kind::Returned,
        _ => Kind::Created,
    };
    let upserts = upserts.iter().map(|upsert| (upsert.id, kind(upsert)));
    let returned = ids("acme", &["4", "5"]).into_iter();
    let gone = ids("acme", &["2", "6"]).into_iter();
    let expected: Vec<_> = upserts
        .chain(returned.map(|id| (id, Kind::Returned)))
        .chain(gone.map(|id| (id, Kind::Gone)))
        .zip(0..)
        .map(|((id, kind), position)| (position, id, kind))
        .collect();
    assert_eq!(world.kinds(begun.held.run).await, expected);
    let gone = "SELECT count(gone_at) FROM event";
    assert_eq!(
        (world.count("event").await, world.number(gone).await),
        (9, 2)
    );
    assert_eq!(entity::invariants::violations(&world.db).await.unwrap(), []);
}

/// It was purged, or a backup was restored, between the look and the commit.
async fn an_event_that_was_known_and_is_not_there_is_created(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &replacing("acme", [bare("1")])).await;
    let created = (0, id("acme", "1"), Kind::Created);
    assert_eq!(world.kinds(begun.held.run).await, [created]);
    let row = world.event(id("acme", "1")).await;
    assert_eq!(row.first_seen_at, row.changed_at);
}

async fn an_event_that_was_thought_new_replaces_what_is_stored(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", [bare("1")])).await;
    let begun = world.begun("acme").await;
    world
        .commit(&begun, &creating("acme", [renamed("1")]))
        .await;
    assert_eq!(world.event(id("acme", "1")).await.title, "Renamed");
    assert_eq!(world.count("event").await, 1);
}

async fn a_source_that_fails_midway_stores_nothing(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let chunks = ["1", "2"].map(|event_id| vec![new("acme", bare(event_id))]);
    let mut source = Chunked {
        chunks: chunks.to_vec(),
        fails: true,
        ..Chunked::default()
    };
    let asked = Arc::clone(&source.asked);
    let changes = |source: &Chunked| Changes {
        upserts: Upserts::new(source.clone()),
        ..Changes::default()
    };
    let before = world.everything().await;
    let committed = commit(&world.db, &begun.held, &finish(&begun), &changes(&source)).await;
    let Err(CommitError::Source(error)) = committed else {
        panic!("{committed:?}");
    };
    assert_eq!(error.to_string(), "the disk is gone");
    assert_eq!(world.everything().await, before);
    assert_eq!(asked.load(Relaxed), 1, "to ask again would not help");

    // The run is still its worker's own.
    source.fails = false;
    let committed = world.commit(&begun, &changes(&source)).await;
    assert_eq!(committed, Committed::Yes(Some(1)));
    assert_eq!(world.count("event").await, 2);
}

async fn empty_chunks_are_passed_over(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let one = |event_id| vec![new("acme", bare(event_id))];
    let source = Chunked {
        chunks: vec![vec![], one("1"), vec![], one("2"), vec![]],
        ..Chunked::default()
    };
    let changes = Changes {
        upserts: Upserts::new(source),
        ..Changes::default()
    };
    world.commit(&begun, &changes).await;
    let positions = world.kinds(begun.held.run).await;
    let positions: Vec<_> = positions.iter().map(|row| row.0).collect();
    assert_eq!(positions, [0, 1]);
}

async fn a_source_of_nothing_changes_nothing(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let changes = Changes {
        upserts: Upserts::new(Chunked::default()),
        ..Changes::default()
    };
    let committed = world.commit(&begun, &changes).await;
    assert_eq!(committed, Committed::Yes(None));
    assert_eq!(world.version().await, 0);
}

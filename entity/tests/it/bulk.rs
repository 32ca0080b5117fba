//! Feeds that are large in one way or the other, and changes that are small beside them.

use entity::commit::Changes;
use entity::event::{Content, Zone};
use entity::event_change::Kind;
use entity::{Config, event};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::{World, bare, creating, id, ids, known, new, storing};

on_both_databases!(
    more_zones_than_a_statement_takes_are_all_stored,
    more_set_aside_items_than_a_statement_takes_are_all_kept,
);

fn zoned(event_id: &str, zones: usize) -> Content {
    let zones = (0..zones).map(|number| Zone {
        id: Some(number.to_string()),
        price: Some(number as i64),
        ..Zone::default()
    });
    Content {
        zones: zones.collect(),
        ..bare(event_id)
    }
}

async fn more_zones_than_a_statement_takes_are_all_stored(world: World) {
    world.add(&["acme"]).await;
    // One alone is more than a statement takes; others only together; and some have none.
    let sizes = [
        ("a", 25_000),
        ("b", 7_000),
        ("c", 7_000),
        ("d", 7_000),
        ("e", 0),
        ("f", 20_000),
        ("g", 1),
        ("h", 20_001),
    ];
    let begun = world.begun("acme").await;
    let contents = sizes.map(|(event_id, zones)| zoned(event_id, zones));
    world.commit(&begun, &creating("acme", contents)).await;
    let event_ids = sizes.map(|(event_id, _)| event_id);
    let expected: Vec<_> = (0..)
        .zip(ids("acme", &event_ids))
        .map(|(position, id)| (position, id, Kind::Created))
        .collect();
    assert_eq!(world.kinds(begun.held.run).await, expected);
    for (event_id, zones) in sizes {
        let row = world.event(id("acme", event_id)).await;
        assert_eq!(row.zones.0, zoned(event_id, zones).zones, "{event_id}");
    }
}

async fn more_set_aside_items_than_a_statement_takes_are_all_kept(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let item = |position| entity::commit::SetAside {
        position,
        path: "planList".to_owned(),
        reason: "no_such_day".to_owned(),
        identity: None,
        snippet: "<plan".to_owned(),
    };
    let changes = Changes {
        set_aside: (1..=2_500).map(item).collect(),
        ..Changes::default()
    };
    world.commit(&begun, &changes).await;
    let sql = "SELECT count(*) FROM set_aside WHERE position = ordinal + 1";
    assert_eq!(world.number(sql).await, 2_500);
}

/// A provider with so many events, reached over one connection: the database counts what a
/// connection writes only once that is at rest.
async fn large(events: u32) -> (World, Vec<Uuid>) {
    let mut world = World::postgres().await;
    let mut config = Config::new(world.database.url().parse().unwrap());
    config.max_connections = 1;
    world.db = entity::connect(&config).await.unwrap();
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let contents = (0..events).map(|number| bare(&number.to_string()));
    world.commit(&begun, &creating("acme", contents)).await;
    let mut ids: Vec<Uuid> = (0..events)
        .map(|number| event::id("acme", "291", &number.to_string()))
        .collect();
    ids.sort();
    (world, ids)
}

/// Rows of events that were inserted, updated and deleted so far.
async fn written(world: &World) -> [i64; 3] {
    let db = &world.db.write;
    let flush = "SELECT pg_stat_force_next_flush()";
    db.execute_unprepared(flush).await.unwrap();
    db.execute_unprepared("SELECT 1").await.unwrap();
    let mut written = [0; 3];
    for (count, column) in written.iter_mut().zip(["ins", "upd", "del"]) {
        let sql = format!("SELECT n_tup_{column} FROM pg_stat_user_tables WHERE relname = 'event'");
        *count = world.number(&sql).await;
    }
    written
}

#[tokio::test]
async fn ten_changes_in_a_hundred_thousand_events_write_ten_rows() {
    let (world, all) = large(100_000).await;
    let before = written(&world).await;
    assert_eq!(before, [100_000, 0, 0]);
    let begun = world.begun("acme").await;
    let renamed = ["1", "2", "3", "4", "5"].map(|event_id| Content {
        title: "Renamed".to_owned(),
        ..bare(event_id)
    });
    let upserts = renamed.map(|content| known("acme", content));
    let more = ["new-1", "new-2"].map(|event_id| new("acme", bare(event_id)));
    let changes = Changes {
        gone: ids("acme", &["6", "7"]),
        missing: ids("acme", &["8"]),
        ..storing(upserts.into_iter().chain(more))
    };
    world.commit(&begun, &changes).await;
    let after = written(&world).await;
    let difference: Vec<i64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
    assert_eq!(difference, [2, 8, 0]);

    // An unchanged feed writes none.
    let begun = world.begun("acme").await;
    world.commit(&begun, &Changes::default()).await;
    assert_eq!(written(&world).await, after);
    assert_eq!(world.known("acme").await.len(), all.len() + 2);
}

#[tokio::test]
async fn many_events_are_all_known() {
    let (world, expected) = large(50_001).await;
    let known = world.known("acme").await;
    let read: Vec<Uuid> = known.iter().map(|event| event.id).collect();
    assert!(read == expected, "{} of {}", read.len(), expected.len());
}

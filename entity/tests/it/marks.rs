//! What stays with an event over the commits: its first sight, its sale, its absence.

use entity::commit::{Changes, Committed};
use entity::event::{Content, SellMode};
use entity::event_change::Kind;

use crate::on_both_databases;
use crate::world::{World, bare, creating, id, replacing};

on_both_databases!(
    an_update_keeps_the_first_sight_and_replaces_the_rest,
    what_was_once_online_stays_findable,
    an_event_goes_and_returns_as_it_was,
    an_event_that_returns_changed_loses_its_marks,
    a_run_touches_no_other_event,
);

async fn an_update_keeps_the_first_sight_and_replaces_the_rest(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let full = Content {
        ends_at: Some("2021-06-30T20:00:00Z".parse().unwrap()),
        ends_local: Some("2021-06-30T22:00:00".parse().unwrap()),
        organizer_company_id: Some("1".to_owned()),
        min_price: Some(1),
        max_price: Some(2),
        ..bare("1")
    };
    world.commit(&begun, &creating("acme", [full])).await;
    let id = id("acme", "1");
    let earlier = format!(
        "UPDATE event SET first_seen_at = {0}, changed_at = {0}",
        world.in_seconds(-3600)
    );
    world.execute(&earlier, vec![]).await;
    let before = world.event(id).await;

    let begun = world.begun("acme").await;
    assert_eq!(
        world.commit(&begun, &replacing("acme", [bare("1")])).await,
        Committed::Yes(Some(2))
    );
    let after = world.event(id).await;
    assert_eq!(after.first_seen_at, before.first_seen_at);
    assert!(after.changed_at > before.changed_at);
    assert_eq!((after.ends_at, after.ends_local), (None, None));
    assert_eq!((after.min_price, after.max_price), (None, None));
    assert_eq!(after.organizer_company_id, None);
    assert_eq!(after.digest, bare("1").digest());
}

async fn what_was_once_online_stays_findable(world: World) {
    world.add(&["acme"]).await;
    let modes = [SellMode::Offline, SellMode::Online, SellMode::Offline];
    let mut seen = Vec::new();
    for sell_mode in modes {
        let begun = world.begun("acme").await;
        let content = Content {
            sell_mode,
            ..bare("1")
        };
        let changes = if seen.is_empty() {
            creating("acme", [content])
        } else {
            replacing("acme", [content])
        };
        world.commit(&begun, &changes).await;
        let row = world.event(id("acme", "1")).await;
        seen.push((row.sell_mode, row.ever_online));
    }
    let expected = [
        (SellMode::Offline, false),
        (SellMode::Online, true),
        (SellMode::Offline, true),
    ];
    assert_eq!(seen, expected);
}

async fn an_event_goes_and_returns_as_it_was(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", [bare("1")])).await;
    let id = id("acme", "1");
    let before = world.event(id).await;

    let begun = world.begun("acme").await;
    let gone = Changes {
        gone: vec![id],
        ..Changes::default()
    };
    assert_eq!(world.commit(&begun, &gone).await, Committed::Yes(Some(2)));
    let row = world.event(id).await;
    assert!(row.gone_at.unwrap() >= begun.at);
    assert_eq!(row.gone_at, Some(row.changed_at));
    assert_eq!(world.kinds(begun.held.run).await, [(0, id, Kind::Gone)]);
    assert!(world.known("acme").await.get(id).unwrap().gone);

    let begun = world.begun("acme").await;
    let returned = Changes {
        returned: vec![id],
        ..Changes::default()
    };
    assert_eq!(
        world.commit(&begun, &returned).await,
        Committed::Yes(Some(3))
    );
    assert_eq!(world.kinds(begun.held.run).await, [(0, id, Kind::Returned)]);
    let row = world.event(id).await;
    assert!(row.changed_at >= begun.at);
    let same_but_for_time = entity::event::Model {
        changed_at: before.changed_at,
        ..row
    };
    assert_eq!(same_but_for_time, before);
}

async fn an_event_that_returns_changed_loses_its_marks(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", [bare("1")])).await;
    let id = id("acme", "1");
    let marks = format!(
        "UPDATE event SET gone_at = {0}, missing_since = {0}",
        world.in_seconds(-9)
    );
    world.execute(&marks, vec![]).await;
    let begun = world.begun("acme").await;
    let sold_out = Content {
        sold_out: true,
        ..bare("1")
    };
    let changes = replacing("acme", [sold_out]);
    world.commit(&begun, &changes).await;
    assert_eq!(world.kinds(begun.held.run).await, [(0, id, Kind::Returned)]);
    let row = world.event(id).await;
    assert!(row.sold_out);
    assert_eq!((row.gone_at, row.missing_since), (None, None));
}

async fn a_run_touches_no_other_event(world: World) {
    world.add(&["acme", "other"]).await;
    world.claim(10).await;
    // The same ids at two providers are two events.
    for name in ["acme", "other"] {
        let begun = world.begun(name).await;
        world
            .commit(&begun, &creating(name, [bare("1"), bare("2")]))
            .await;
    }
    assert_eq!(world.count("event").await, 4);
    let others = [id("other", "1"), id("other", "2"), id("acme", "2")];
    let before = entity::event::by_ids(&world.db.write, &others)
        .await
        .unwrap();
    let begun = world.begun("acme").await;
    let gone = Changes {
        gone: vec![id("acme", "1")],
        ..Changes::default()
    };
    world.commit(&begun, &gone).await;
    let sorted = |mut rows: Vec<entity::event::Model>| {
        rows.sort_by_key(|row| row.id);
        rows
    };
    let after = entity::event::by_ids(&world.db.write, &others)
        .await
        .unwrap();
    assert_eq!(sorted(after), sorted(before));
}

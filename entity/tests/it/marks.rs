//! What stays with an event over the commits: its first sight, its sale, its absence.

use entity::commit::{Changes, Committed};
use entity::event::{Content, SellMode};
use entity::event_change::Kind;
use entity::known;

use crate::on_both_databases;
use crate::world::{World, bare, change, creating, upsert};

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
    let created = creating("acme", [full]);
    world.commit(&begun, &created).await;
    let id = created.upserts[0].id;
    let earlier = format!(
        "UPDATE event SET first_seen_at = {0}, changed_at = {0}",
        world.in_seconds(-3600)
    );
    world.execute(&earlier, vec![]).await;
    let before = world.event(id).await;

    let begun = world.begun("acme").await;
    let changes = Changes {
        upserts: vec![upsert("acme", bare("1"))],
        log: vec![change(id, Kind::Updated)],
        ..Changes::default()
    };
    assert_eq!(
        world.commit(&begun, &changes).await,
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
        let changes = creating(
            "acme",
            [Content {
                sell_mode,
                ..bare("1")
            }],
        );
        world.commit(&begun, &changes).await;
        let row = world.event(changes.upserts[0].id).await;
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
    let created = creating("acme", [bare("1")]);
    world.commit(&begun, &created).await;
    let id = created.upserts[0].id;
    let before = world.event(id).await;

    let begun = world.begun("acme").await;
    let gone = Changes {
        gone: vec![id],
        log: vec![change(id, Kind::Gone)],
        ..Changes::default()
    };
    assert_eq!(world.commit(&begun, &gone).await, Committed::Yes(Some(2)));
    let row = world.event(id).await;
    assert!(row.gone_at.unwrap() >= begun.at);
    assert_eq!(row.gone_at, Some(row.changed_at));
    assert!(
        known::of_provider(&world.db, begun.provider.id)
            .await
            .unwrap()[&id]
            .gone
    );

    let begun = world.begun("acme").await;
    let returned = Changes {
        returned: vec![id],
        log: vec![change(id, Kind::Returned)],
        ..Changes::default()
    };
    assert_eq!(
        world.commit(&begun, &returned).await,
        Committed::Yes(Some(3))
    );
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
    let created = creating("acme", [bare("1")]);
    world.commit(&begun, &created).await;
    let id = created.upserts[0].id;
    let marks = format!(
        "UPDATE event SET gone_at = {0}, missing_since = {0}",
        world.in_seconds(-9)
    );
    world.execute(&marks, vec![]).await;
    let begun = world.begun("acme").await;
    let changes = Changes {
        upserts: vec![upsert(
            "acme",
            Content {
                sold_out: true,
                ..bare("1")
            },
        )],
        log: vec![change(id, Kind::Returned)],
        ..Changes::default()
    };
    world.commit(&begun, &changes).await;
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
    let of = |name, id| entity::event::id(name, "291", id);
    let others = [of("other", "1"), of("other", "2"), of("acme", "2")];
    let before = entity::event::by_ids(&world.db.write, &others)
        .await
        .unwrap();
    let begun = world.begun("acme").await;
    let gone = Changes {
        gone: vec![of("acme", "1")],
        log: vec![change(of("acme", "1"), Kind::Gone)],
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

//! What a commit stores is what was given, field by field.

use chrono::{DateTime, NaiveDateTime, Utc};
use entity::commit::{Changes, Committed, SetAside};
use entity::event::{self, Content, SellMode, Zone};
use entity::event_change::Kind;
use entity::set_aside;
use sea_orm::{EntityTrait, QueryOrder};

use crate::on_both_databases;
use crate::world::{World, bare, creating, id, ids, replacing};

on_both_databases!(
    every_field_comes_back_as_it_was_given,
    more_rows_than_a_statement_takes_are_all_stored,
    set_aside_items_and_the_log_are_kept_in_order,
    the_version_rises_with_each_commit_that_changes_events,
);

fn full() -> Content {
    let zone = |id: &str, price| Zone {
        id: Some(id.to_owned()),
        name: Some("Platea – 1ª «fila» 🎭".to_owned()),
        capacity: Some(243),
        price: Some(price),
        numbered: Some(true),
    };
    Content {
        base_id: "ñ/1".to_owned(),
        event_id: "1642 b".to_owned(),
        title: "O'Brien \"日本語\" \\ {a,NULL} 𝄞\n".to_owned(),
        starts_at: at("2021-06-30T19:00:00.123456Z"),
        ends_at: Some(at("2021-06-30T20:00:00Z")),
        starts_local: local("2021-06-30T21:00:00.123456"),
        ends_local: Some(local("2021-06-30T22:00:00")),
        sell_from: Some(at("2020-07-01T00:00:00.5Z")),
        sell_to: Some(at("2021-06-30T18:00:00Z")),
        sold_out: true,
        sell_mode: SellMode::Offline,
        organizer_company_id: Some("Ünïon".to_owned()),
        min_price: Some(1),
        max_price: Some(i64::MAX),
        // The same id twice, and one without anything.
        zones: vec![zone("40", 1), zone("40", i64::MAX), Zone::default()],
    }
}

fn extremes() -> Vec<Content> {
    let first = "0001-01-01T00:00:00";
    let last = "9999-12-31T23:59:59.999999";
    [(first, 0), (last, -1), ("1969-12-31T23:59:59", 1)]
        .into_iter()
        .map(|(time, price)| Content {
            event_id: time.to_owned(),
            starts_at: local(time).and_utc(),
            ends_at: Some(local(time).and_utc()),
            starts_local: local(time),
            ends_local: Some(local(time)),
            sell_from: Some(local(time).and_utc()),
            sell_to: Some(local(time).and_utc()),
            min_price: Some(price),
            max_price: Some(price),
            ..bare("")
        })
        .collect()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn local(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

fn content(row: &event::Model) -> Content {
    let row = row.clone();
    Content {
        base_id: row.base_id,
        event_id: row.event_id,
        title: row.title,
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        starts_local: row.starts_local,
        ends_local: row.ends_local,
        sell_from: row.sell_from,
        sell_to: row.sell_to,
        sold_out: row.sold_out,
        sell_mode: row.sell_mode,
        organizer_company_id: row.organizer_company_id,
        min_price: row.min_price,
        max_price: row.max_price,
        zones: row.zones.0,
    }
}

async fn every_field_comes_back_as_it_was_given(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let contents: Vec<Content> = [full(), bare("1")].into_iter().chain(extremes()).collect();
    let changes = creating("acme", contents.clone());
    let before = world.now().await;
    assert_eq!(
        world.commit(&begun, &changes).await,
        Committed::Yes(Some(1))
    );
    let after = world.now().await;

    assert_eq!(world.count("event").await, contents.len() as i64);
    let known = world.known("acme").await;
    for given in contents {
        let row = world
            .event(event::id("acme", &given.base_id, &given.event_id))
            .await;
        assert_eq!(content(&row), given);
        assert_eq!(row.provider_id, begun.provider.id);
        assert_eq!(row.digest, given.digest());
        assert_eq!(row.ever_online, given.sell_mode == SellMode::Online);
        assert_eq!((row.gone_at, row.missing_since), (None, None));
        assert_eq!(row.first_seen_at, row.changed_at);
        assert!((before..=after).contains(&row.changed_at));
        let known = known.get(row.id).unwrap();
        assert_eq!(known.digest, given.digest());
        assert!(!known.gone && !known.missing);
    }
}

async fn more_rows_than_a_statement_takes_are_all_stored(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let numbers: Vec<String> = (0..5_300).map(|number| number.to_string()).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let contents = numbers.iter().map(|number| bare(number));
    world.commit(&begun, &creating("acme", contents)).await;
    let given = ids("acme", &numbers);
    let as_kind = |kind| {
        let logged = (0..).zip(&given).map(move |(at, id)| (at, *id, kind));
        logged.collect::<Vec<_>>()
    };
    assert_eq!(world.kinds(begun.held.run).await, as_kind(Kind::Created));
    assert_eq!(world.count("event").await, 5_300);

    let begun = world.begun("acme").await;
    let renamed = numbers.iter().map(|number| Content {
        title: format!("Renamed {number}"),
        ..bare(number)
    });
    world.commit(&begun, &replacing("acme", renamed)).await;
    assert_eq!(world.kinds(begun.held.run).await, as_kind(Kind::Updated));
    let renamed = "SELECT count(*) FROM event WHERE title = 'Renamed ' || event_id";
    assert_eq!(world.number(renamed).await, 5_300);

    let begun = world.begun("acme").await;
    let leaving = Changes {
        gone: given.clone(),
        ..Changes::default()
    };
    world.commit(&begun, &leaving).await;
    assert_eq!(world.kinds(begun.held.run).await, as_kind(Kind::Gone));
    assert_eq!(
        world.number("SELECT count(gone_at) FROM event").await,
        5_300
    );

    let begun = world.begun("acme").await;
    let returning = Changes {
        returned: given.clone(),
        ..Changes::default()
    };
    world.commit(&begun, &returning).await;
    assert_eq!(world.kinds(begun.held.run).await, as_kind(Kind::Returned));
    assert_eq!(world.number("SELECT count(gone_at) FROM event").await, 0);
}

async fn set_aside_items_and_the_log_are_kept_in_order(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", [bare("1")])).await;
    let id = id("acme", "1");
    let renamed = Content {
        title: "Renamed".to_owned(),
        min_price: Some(150_000),
        ..bare("1")
    };
    let item = |position, identity| SetAside {
        position,
        path: "planList/output/base_plan[3]/plan[1]".to_owned(),
        reason: "no_such_day".to_owned(),
        identity,
        snippet: "<plan plan_id=\"ñ\"".to_owned(),
    };
    let changes = Changes {
        set_aside: vec![
            item(9, None),
            item(4, Some(("291".to_owned(), "9".to_owned()))),
        ],
        ..replacing("acme", [renamed])
    };
    let begun = world.begun("acme").await;
    world.commit(&begun, &changes).await;

    assert_eq!(world.kinds(begun.held.run).await, [(0, id, Kind::Updated)]);
    let logged = world.log(begun.held.run).await.remove(0);
    assert_eq!(
        logged.changes.unwrap().to_string(),
        r#"{"min_price":[null,150000],"title":["Camela en concierto","Renamed"]}"#
    );
    let items = set_aside::Entity::find()
        .order_by_asc(set_aside::Column::Ordinal)
        .all(&world.db.write)
        .await
        .unwrap();
    let positions: Vec<_> = items
        .iter()
        .map(|item| (item.ordinal, item.position))
        .collect();
    assert_eq!(positions, [(0, 9), (1, 4)]);
    assert_eq!(
        (items[0].base_id.as_ref(), items[0].event_id.as_ref()),
        (None, None)
    );
    let read = &items[1];
    assert_eq!(read.path, "planList/output/base_plan[3]/plan[1]");
    assert_eq!(read.reason, "no_such_day");
    assert_eq!(
        (read.base_id.as_deref(), read.event_id.as_deref()),
        (Some("291"), Some("9"))
    );
    assert_eq!(read.snippet, "<plan plan_id=\"ñ\"");
}

async fn the_version_rises_with_each_commit_that_changes_events(world: World) {
    world.add(&["acme"]).await;
    assert_eq!(world.version().await, 0);
    let first = world.begun("acme").await;
    let created = creating("acme", [bare("1"), bare("2")]);
    assert_eq!(
        world.commit(&first, &created).await,
        Committed::Yes(Some(1))
    );
    let unchanged = world.begun("acme").await;
    let nothing = Changes::default();
    assert_eq!(
        world.commit(&unchanged, &nothing).await,
        Committed::Yes(None)
    );
    assert_eq!(world.version().await, 1);
    let second = world.begun("acme").await;
    let created = creating("acme", [bare("3")]);
    assert_eq!(
        world.commit(&second, &created).await,
        Committed::Yes(Some(2))
    );
    assert_eq!(world.version().await, 2);

    let since = async |version| {
        entity::dataset::changes_since(&world.db, version)
            .await
            .unwrap()
    };
    assert_eq!(since(0).await.created, 3);
    assert_eq!(since(1).await.created, 1);
    assert_eq!(since(2).await.total(), 0);
}

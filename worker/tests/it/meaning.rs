//! What a feed means, as far as it takes a database to tell.

use entity::event::{self, SellMode};
use entity::event_change::Kind;
use entity::run::Outcome;
use entity::search::{self, Search};
use entity::set_aside;
use sea_orm::EntityTrait;

use crate::feeds::{Answer, Feeds, base, feed};
use crate::on_both_databases;
use crate::world::World;

on_both_databases!(
    an_identity_that_comes_twice_is_its_last_with_a_warning,
    an_item_that_is_set_aside_counts_as_present,
    a_zone_with_a_bad_price_costs_only_itself,
    prices_span_all_zones_and_keep_their_decimals,
    what_was_once_sold_online_stays_so,
    a_skipped_and_a_repeated_hour_are_told_as_the_calendar_standard_has_them,
    a_bad_field_becomes_null_and_a_warning,
    a_change_tells_what_was_before,
    the_publishers_three_feeds_end_as_it_says,
    the_oldest_spelling_has_a_start_only,
);

async fn serve(world: &World, bases: &str) -> Feeds {
    let feeds = Feeds::start(Answer::feed(feed(bases))).await;
    world.add("acme", &feeds.url).await;
    feeds
}

async fn sync(world: &World) -> entity::run::Model {
    let (finish, run) = world.sync("acme").await;
    assert_eq!(finish.outcome, Outcome::Stored, "{:?}", finish.error);
    run
}

async fn only(world: &World) -> event::Model {
    let mut events = world.events("acme").await;
    assert_eq!(events.len(), 1);
    events.remove(0)
}

async fn an_identity_that_comes_twice_is_its_last_with_a_warning(world: World) {
    let _feeds = serve(&world, &(base("1", "First") + &base("1", "Last"))).await;
    let run = sync(&world).await;
    assert_eq!((run.events_new, run.warnings, run.set_aside), (1, 1, 0));
    assert_eq!(only(&world).await.title, "Last");
    assert_eq!(world.changes(run.id).await.len(), 1);
}

async fn an_item_that_is_set_aside_counts_as_present(world: World) {
    let feeds = serve(&world, &base("1", "One")).await;
    sync(&world).await;
    let before = world.stored("acme").await;
    let impossible = base("1", "Other").replace("2021-06-30T21", "2021-06-31T21");
    feeds.answer(Answer::feed(feed(&impossible)));
    let run = sync(&world).await;
    assert_eq!(
        (run.set_aside, run.events_gone, run.events_changed),
        (1, 0, 0)
    );
    assert_eq!(world.stored("acme").await, before);
    let item = set_aside::Entity::find_by_id((run.id, 0));
    let item = item.one(&world.db.read).await.unwrap().unwrap();
    assert_eq!(item.reason, "no_such_day");
    assert_eq!(item.path, "planList/output/base_plan[1]/plan[1]");
    assert_eq!(item.position, 1);
    assert!(
        item.snippet.contains("2021-06-31T21:00:00"),
        "{}",
        item.snippet
    );

    // Without an identity nothing says that it is there.
    feeds.answer(Answer::feed(feed(
        &impossible.replace("plan_id=\"1\" plan_start", "plan_start"),
    )));
    let run = sync(&world).await;
    assert_eq!((run.set_aside, run.events_gone), (1, 1));
    assert!(only(&world).await.gone_at.is_some());
}

async fn a_zone_with_a_bad_price_costs_only_itself(world: World) {
    let bad =
        "<zone zone_id=\"41\" price=\"1.00001\" name=\"x\" numbered=\"true\" capacity=\"1\"/>";
    let base = base("1", "One").replace("</plan>", &format!("{bad}</plan>"));
    let _feeds = serve(&world, &base).await;
    let run = sync(&world).await;
    assert_eq!((run.events_new, run.set_aside), (1, 1));
    let event = only(&world).await;
    assert_eq!(event.zones.0.len(), 1);
    assert_eq!(
        (event.min_price, event.max_price),
        (Some(200_000), Some(200_000))
    );
    let item = set_aside::Entity::find_by_id((run.id, 0));
    let item = item.one(&world.db.read).await.unwrap().unwrap();
    assert_eq!(item.path, "planList/output/base_plan[1]/plan[1]/zone[2]");
    assert_eq!(item.reason, "bad_price");
}

async fn prices_span_all_zones_and_keep_their_decimals(world: World) {
    let zone = |capacity: u32, price: &str| {
        format!(
            "<zone zone_id=\"186\" capacity=\"{capacity}\" {price} name=\"A\" numbered=\"true\"/>"
        )
    };
    let zones = zone(0, "price=\"99999999.9999\"") + &zone(5, "price=\"0.0001\"") + &zone(5, "");
    let with = base("1", "One").replace("</plan>", &format!("{zones}</plan>"));
    let start = with.find("<zone").unwrap();
    let end = with[start..].find("/>").unwrap() + start + 2;
    let without = format!("{}{}", &base("2", "Two")[..start], "</plan></base_plan>");
    let with = format!("{}{}", &with[..start], &with[end..]);
    let _feeds = serve(&world, &(with + &without)).await;
    sync(&world).await;
    let events = world.events("acme").await;
    assert_eq!(events[0].zones.0.len(), 3);
    assert!(
        events[0]
            .zones
            .0
            .iter()
            .all(|zone| zone.id.as_deref() == Some("186"))
    );
    assert_eq!(
        (events[0].min_price, events[0].max_price),
        (Some(1), Some(999_999_999_999))
    );
    assert_eq!((events[1].min_price, events[1].max_price), (None, None));
}

async fn what_was_once_sold_online_stays_so(world: World) {
    let online = base("1", "One");
    let offline = online.replace("sell_mode=\"online\"", "sell_mode=\"offline\"");
    let without = online.replace("sell_mode=\"online\"", "");
    let feeds = serve(&world, &without).await;
    let mut seen = Vec::new();
    for base in [&without, &online, &offline] {
        feeds.answer(Answer::feed(feed(base)));
        sync(&world).await;
        let event = only(&world).await;
        let (_, found) = search::all(world.db.reader(), &Search::default())
            .await
            .unwrap();
        seen.push((event.sell_mode, event.ever_online, found.len()));
    }
    let expected = [
        (SellMode::Offline, false, 0),
        (SellMode::Online, true, 1),
        (SellMode::Offline, true, 1),
    ];
    assert_eq!(seen, expected);
}

async fn a_skipped_and_a_repeated_hour_are_told_as_the_calendar_standard_has_them(world: World) {
    let at = |id: &str, start: &str| {
        base(id, id)
            .replace("2021-06-30T21:00:00", start)
            .replace("2021-06-30T22:00:00", "2021-12-31T00:00:00")
    };
    let bases = at("skipped", "2021-03-28T02:30:00") + &at("twice", "2021-10-31T02:30:00");
    let _feeds = serve(&world, &bases).await;
    sync(&world).await;
    let events = world.events("acme").await;
    assert_eq!(
        events[0].starts_at.to_rfc3339(),
        "2021-03-28T01:30:00+00:00"
    );
    assert_eq!(events[0].starts_local.to_string(), "2021-03-28 03:30:00");
    assert_eq!(
        events[1].starts_at.to_rfc3339(),
        "2021-10-31T00:30:00+00:00"
    );
    assert_eq!(events[1].starts_local.to_string(), "2021-10-31 02:30:00");
}

async fn a_bad_field_becomes_null_and_a_warning(world: World) {
    let base = base("1", "One")
        .replace("organizer_company_id=\"7\"", "")
        .replace("sell_from=\"2020-07-01", "sell_from=\"2020-07-32")
        .replace("sell_to=\"2021-06-30", "sell_to=\"soon\" was=\"2021-06-30")
        .replace("plan_end_date=\"2021", "plan_end_date=\"2020")
        .replace("capacity=\"243\"", "capacity=\"many\"");
    let _feeds = serve(&world, &base).await;
    let run = sync(&world).await;
    assert_eq!((run.events_new, run.set_aside, run.warnings), (1, 0, 5));
    let event = only(&world).await;
    assert_eq!((event.ends_at, event.ends_local), (None, None));
    assert_eq!((event.sell_from, event.sell_to), (None, None));
    assert_eq!(
        (event.organizer_company_id, event.zones.0[0].capacity),
        (None, None)
    );
}

async fn a_change_tells_what_was_before(world: World) {
    let feeds = serve(&world, &base("1", "One")).await;
    sync(&world).await;
    let changed = base("1", "Uno").replace("20.00", "25.50");
    feeds.answer(Answer::feed(feed(&changed)));
    let run = sync(&world).await;
    let changes = world.changes(run.id).await;
    assert_eq!(changes[0].kind, Kind::Updated);
    let told = changes[0].changes.as_ref().unwrap().as_object().unwrap();
    assert_eq!(told["title"].to_string(), r#"["One","Uno"]"#);
    assert_eq!(told["min_price"].to_string(), "[200000,255000]");
    assert_eq!(
        told.keys().collect::<Vec<_>>(),
        ["max_price", "min_price", "title", "zones"]
    );
}

const PUBLISHED: [&str; 3] = [
    include_str!("../../fixtures/plan_list/planList_response_1.xml"),
    include_str!("../../fixtures/plan_list/planList_response_2.xml"),
    include_str!("../../fixtures/plan_list/planList_response_3.xml"),
];

async fn the_publishers_three_feeds_end_as_it_says(world: World) {
    let feeds = serve(&world, "").await;
    for published in PUBLISHED {
        feeds.answer(Answer::feed(published));
        sync(&world).await;
    }
    let window = Search {
        starts_at: Some("2021-02-01T00:00:00Z".parse().unwrap()),
        ends_at: Some("2022-07-03T00:00:00Z".parse().unwrap()),
        ..Search::default()
    };
    let (_, found) = search::all(world.db.reader(), &window).await.unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|event| {
            let local = |time: chrono::NaiveDateTime| time.to_string();
            let prices = (event.min_price.unwrap(), event.max_price.unwrap());
            (
                event.title.as_str(),
                local(event.ends_local.unwrap()),
                prices,
            )
        })
        .collect();
    let expected = [
        (
            "Pantomima Full",
            "2021-02-10 21:30:00".to_owned(),
            (550_000, 550_000),
        ),
        (
            "Pantomima Full",
            "2021-02-11 21:30:00".to_owned(),
            (550_000, 550_000),
        ),
        (
            "Camela en concierto",
            "2021-06-30 21:30:00".to_owned(),
            (150_000, 300_000),
        ),
        (
            "Los Morancos",
            "2021-07-31 21:00:00".to_owned(),
            (650_000, 750_000),
        ),
    ];
    assert_eq!(shown, expected);
    let pantomima = &world.events("acme").await[2];
    assert_eq!(
        (pantomima.base_id.as_str(), pantomima.gone_at.is_some()),
        ("322", true)
    );
}

async fn the_oldest_spelling_has_a_start_only(world: World) {
    let oldest = include_str!("../../fixtures/plan_list/eventList_2020_event_date.xml");
    let feeds = serve(&world, "").await;
    feeds.answer(Answer::feed(oldest));
    sync(&world).await;
    let events = world.events("acme").await;
    assert_eq!(events.len(), 3);
    assert!(
        events
            .iter()
            .all(|event| event.ends_at.is_none() && event.ends_local.is_none())
    );
    assert_eq!(events[1].starts_local.to_string(), "2019-06-30 21:00:00");
    assert_eq!(
        (events[1].min_price, events[1].max_price),
        (Some(0), Some(200_000))
    );
}

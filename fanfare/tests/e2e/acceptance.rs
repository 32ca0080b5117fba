//! What must be found after feeds have changed, on both databases.

use crate::feed::{Feeds, base, plan_list};
use crate::http::{Api, Summary};
use crate::world::{World, on_both_databases};

const RESPONSES: [&str; 3] = [
    include_str!("../../../worker/fixtures/plan_list/planList_response_1.xml"),
    include_str!("../../../worker/fixtures/plan_list/planList_response_2.xml"),
    include_str!("../../../worker/fixtures/plan_list/planList_response_3.xml"),
];

on_both_databases!(
    the_three_example_feeds_leave_the_latest_known_events,
    two_providers_with_the_same_ids_do_not_clash,
    an_event_that_goes_offline_stays_and_one_that_never_was_online_is_not_shown,
    an_event_that_vanishes_stays_and_one_that_returns_is_not_doubled,
);

async fn the_three_example_feeds_leave_the_latest_known_events(world: World) {
    let feeds = Feeds::start();
    let serving = world.all().await;
    for (index, response) in RESPONSES.into_iter().enumerate() {
        feeds.set("primary", response);
        if index == 0 {
            world.apply(&[("primary", &feeds.url("primary"))]).await;
        }
        world.sync("primary").await;
    }
    let window = "?starts_at=2021-02-01T00:00:00Z&ends_at=2022-07-03T23:59:59Z";
    let found = serving.api.search(window).await;
    assert_eq!(
        lines(&found),
        [
            "Pantomima Full 2021-02-10 20:00:00 to 2021-02-10 21:30:00, 550000 to 550000",
            "Pantomima Full 2021-02-11 20:00:00 to 2021-02-11 21:30:00, 550000 to 550000",
            "Camela en concierto 2021-06-30 21:00:00 to 2021-06-30 21:30:00, 150000 to 300000",
            "Los Morancos 2021-07-31 20:00:00 to 2021-07-31 21:00:00, 650000 to 750000",
        ]
    );
    let identity = |base, event| entity::event::id("primary", base, event);
    let ids: Vec<_> = found.iter().map(|event| event.id).collect();
    let expected = [
        identity("322", "1642"),
        identity("322", "1643"),
        identity("291", "291"),
        identity("1591", "1642"),
    ];
    assert_eq!(ids, expected);
    assert!(serving.api.event(identity("322", "1642")).await.gone);
    let latest = serving.api.event(identity("291", "291")).await;
    assert!(!latest.gone);
    let capacities: Vec<_> = latest.zones.iter().map(|zone| zone.capacity).collect();
    assert_eq!(capacities, [Some(200), Some(0), Some(80)]);
    let path = format!("/v1/events/{}", identity("444", "1642"));
    assert_eq!(serving.api.get(&path).await.status, 404);
}

async fn two_providers_with_the_same_ids_do_not_clash(world: World) {
    let feeds = Feeds::start();
    for name in ["north", "south"] {
        feeds.set(name, RESPONSES[0]);
    }
    let serving = world.all().await;
    let (north, south) = (feeds.url("north"), feeds.url("south"));
    world.apply(&[("north", &north), ("south", &south)]).await;
    for name in ["north", "south"] {
        world.sync(name).await;
    }
    feeds.set("south", RESPONSES[2]);
    world.sync("south").await;

    let found = serving.api.search("").await;
    assert_eq!(found.len(), 8, "{found:?}");
    for (provider, ends) in [("north", "22:00:00"), ("south", "21:30:00")] {
        let id = entity::event::id(provider, "291", "291");
        let event = found.iter().find(|event| event.id == id).unwrap();
        assert_eq!(event.end_time.unwrap().to_string(), ends, "{provider}");
        assert_eq!(serving.api.event(id).await.provider, provider);
    }
}

const MAY: &str = "2030-05-01T20:00:00";
const JUNE: &str = "2030-06-01T20:00:00";

async fn an_event_that_goes_offline_stays_and_one_that_never_was_online_is_not_shown(world: World) {
    let feeds = Feeds::start();
    let once = base("1", "online", "Once online", &[MAY]);
    let never = base("2", "offline", "Never online", &[MAY]);
    let later = base("3", "offline", "Later online", &[JUNE]);
    feeds.set("primary", plan_list(&[once, never.clone(), later]));
    let serving = world.all().await;
    world.apply(&[("primary", &feeds.url("primary"))]).await;
    world.sync("primary").await;
    assert_eq!(titles(&serving.api).await, ["Once online"]);

    let once = base("1", "offline", "Once online, renamed", &[MAY]);
    let later = base("3", "online", "Later online", &[JUNE]);
    feeds.set("primary", plan_list(&[once, never, later]));
    world.sync("primary").await;
    let expected = ["Once online, renamed", "Later online"];
    assert_eq!(titles(&serving.api).await, expected);
    let id = entity::event::id("primary", "1", "1");
    assert_eq!(serving.api.event(id).await.sell_mode, "offline");
}

async fn an_event_that_vanishes_stays_and_one_that_returns_is_not_doubled(world: World) {
    let feeds = Feeds::start();
    let stays = base("1", "online", "Stays", &[MAY]);
    let leaves = base("2", "online", "Leaves", &[JUNE]);
    let id = entity::event::id("primary", "2", "1");
    let both = plan_list(&[stays.clone(), leaves]);
    feeds.set("primary", both.clone());
    let serving = world.all().await;
    world.apply(&[("primary", &feeds.url("primary"))]).await;
    world.sync("primary").await;
    let before = serving.api.search("").await;
    assert!(!serving.api.event(id).await.gone);

    feeds.set("primary", plan_list(&[stays]));
    world.sync("primary").await;
    assert_eq!(serving.api.search("").await, before);
    assert!(serving.api.event(id).await.gone);

    feeds.set("primary", both);
    world.sync("primary").await;
    assert_eq!(serving.api.search("").await, before);
    assert!(!serving.api.event(id).await.gone);
    assert_eq!(titles(&serving.api).await, ["Stays", "Leaves"]);
}

async fn titles(api: &Api) -> Vec<String> {
    let found = api.search("").await;
    found.into_iter().map(|event| event.title).collect()
}

fn lines(found: &[Summary]) -> Vec<String> {
    let line = |event: &Summary| {
        format!(
            "{} {} {} to {} {}, {} to {}",
            event.title,
            event.start_date,
            event.start_time,
            event.end_date.unwrap(),
            event.end_time.unwrap(),
            event.min_price.unwrap().0,
            event.max_price.unwrap().0,
        )
    };
    found.iter().map(line).collect()
}

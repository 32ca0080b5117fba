use chrono::{NaiveDateTime, Utc};
use entity::event::{Content, SellMode};
use serde_json::Value;

use crate::seed::{event, id, store};
use crate::world::{Send, World};

crate::on_both_databases!(
    an_event_has_exactly_the_contracts_fields,
    a_search_without_events_is_an_empty_list,
    events_come_by_start_and_then_id,
    the_edges_of_the_window_belong_to_it,
    an_event_without_an_end_is_judged_by_its_start,
    a_date_takes_in_its_whole_day,
    a_parameter_finer_than_the_database_does_not_move_an_edge,
    an_event_that_was_never_sold_online_is_not_found,
    an_event_that_was_once_sold_online_stays,
    an_event_that_left_its_feed_stays,
    prices_are_exact_numbers_with_two_to_four_decimals,
    dates_and_times_are_local_to_the_event,
    the_dataset_version_rises_with_each_commit_that_changes_events,
    head_answers_like_get_without_a_body,
);

async fn an_event_has_exactly_the_contracts_fields(world: World) {
    let stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    let answer = world.get("/v1/events/search").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(
        answer.text(),
        format!(
            concat!(
                r#"{{"data":{{"events":[{{"id":"{}","title":"event 1","#,
                r#""start_date":"2021-06-30","start_time":"21:00:00","#,
                r#""end_date":"2021-06-30","end_time":"22:00:00","#,
                r#""min_price":15.00,"max_price":30.50}}]}},"error":null}}"#
            ),
            id(&stored)
        )
    );
}

async fn a_search_without_events_is_an_empty_list(world: World) {
    let answer = world.get("/v1/events/search?starts_at=2021-02-01").await;
    assert_eq!(answer.text(), r#"{"data":{"events":[]},"error":null}"#);
    assert!(answer.header("dataset-version").ends_with("-0"));
}

async fn events_come_by_start_and_then_id(world: World) {
    let early = event("early", "2021-06-29T19:00:00Z");
    let mut late: Vec<Content> = (0..5)
        .map(|n| event(&n.to_string(), "2021-06-30T19:00:00Z"))
        .collect();
    let mut all = late.clone();
    all.push(early.clone());
    store(&world.db, &all, &[]).await;
    late.sort_by_key(id);
    let expected: Vec<_> = [early].into_iter().chain(late).map(|e| e.title).collect();
    assert_eq!(world.titles("").await, expected);
}

async fn the_edges_of_the_window_belong_to_it(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    for (query, found) in [
        ("?starts_at=2021-06-30T19:00:00Z", true),
        ("?starts_at=2021-06-30T21:00:00+02:00", true),
        ("?starts_at=2021-06-30T19:00:00.000001Z", false),
        ("?starts_at=2021-06-30T19:00:01Z", false),
        ("?ends_at=2021-06-30T20:00:00Z", true),
        ("?ends_at=2021-06-30T19:59:59.999999Z", false),
        // It has to end in the window, not only to start there.
        ("?ends_at=2021-06-30T19:30:00Z", false),
        (
            "?starts_at=2021-06-30T19:00:00Z&ends_at=2021-06-30T20:00:00Z",
            true,
        ),
        (
            "?starts_at=0000-01-01T00:00:00Z&ends_at=9999-12-31T23:59:59Z",
            true,
        ),
    ] {
        let titles = world.titles(query).await;
        assert_eq!(titles.len(), usize::from(found), "{query}");
    }
}

async fn an_event_without_an_end_is_judged_by_its_start(world: World) {
    let mut endless = event("1", "2021-06-30T19:00:00Z");
    endless.ends_at = None;
    endless.ends_local = None;
    store(&world.db, &[endless], &[]).await;
    let titles = world.titles("?ends_at=2021-06-30T19:00:00Z").await;
    assert_eq!(titles, ["event 1"]);
    let titles = world.titles("?ends_at=2021-06-30T18:59:59Z").await;
    assert!(titles.is_empty());
    let json = world.get("/v1/events/search").await.json();
    let found = &json["data"]["events"][0];
    assert_eq!(found["end_date"], Value::Null);
    assert_eq!(found["end_time"], Value::Null);
}

async fn a_date_takes_in_its_whole_day(world: World) {
    let first = event("first", "2021-06-30T00:00:00Z");
    let mut last = event("last", "2021-06-30T23:00:00Z");
    last.ends_at = Some("2021-06-30T23:59:59.5Z".parse().unwrap());
    let next = event("next", "2021-06-30T23:30:00Z");
    store(&world.db, &[first, last, next], &[]).await;
    let day = world
        .titles("?starts_at=2021-06-30&ends_at=2021-06-30")
        .await;
    assert_eq!(day, ["event first", "event last"]);
}

async fn a_parameter_finer_than_the_database_does_not_move_an_edge(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let after = world
        .titles("?starts_at=2021-06-30T19:00:00.0000001Z")
        .await;
    assert!(after.is_empty(), "{after:?}");
    let until = world.titles("?ends_at=2021-06-30T20:00:00.0000001Z").await;
    assert_eq!(until.len(), 1);
}

async fn an_event_that_was_never_sold_online_is_not_found(world: World) {
    let mut offline = event("1", "2021-06-30T19:00:00Z");
    offline.sell_mode = SellMode::Offline;
    store(&world.db, &[offline], &[]).await;
    assert!(world.titles("").await.is_empty());
}

async fn an_event_that_was_once_sold_online_stays(world: World) {
    let mut event = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&event), &[]).await;
    event.sell_mode = SellMode::Offline;
    event.title = "offline now".into();
    store(&world.db, &[event], &[]).await;
    assert_eq!(world.titles("").await, ["offline now"]);
}

async fn an_event_that_left_its_feed_stays(world: World) {
    let event = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&event), &[]).await;
    store(&world.db, &[], &[id(&event)]).await;
    assert_eq!(world.titles("").await, ["event 1"]);
}

async fn prices_are_exact_numbers_with_two_to_four_decimals(world: World) {
    let mut event = event("1", "2021-06-30T19:00:00Z");
    event.min_price = Some(1234);
    // Not a whole number of any binary fraction, and finer than a float could tell at this size.
    event.max_price = Some(9_007_199_254_740_993);
    store(&world.db, &[event], &[]).await;
    let answer = world.get("/v1/events/search").await;
    let prices = r#""min_price":0.1234,"max_price":900719925474.0993"#;
    assert!(answer.text().contains(prices), "{}", answer.text());
}

async fn dates_and_times_are_local_to_the_event(world: World) {
    let mut event = event("1", "2021-06-30T22:30:00Z");
    let local = |text: &str| -> NaiveDateTime { text.parse().unwrap() };
    event.starts_local = local("2021-07-01T00:30:00");
    event.ends_local = Some(local("2021-07-01T01:30:00"));
    store(&world.db, &[event], &[]).await;
    let json = world.get("/v1/events/search").await.json();
    let found = &json["data"]["events"][0];
    assert_eq!(found["start_date"], "2021-07-01");
    assert_eq!(found["start_time"], "00:30:00");
    assert_eq!(found["end_time"], "01:30:00");
}

async fn the_dataset_version_rises_with_each_commit_that_changes_events(world: World) {
    let mut event = event("1", "2021-06-30T19:00:00Z");
    let mut numbers = Vec::new();
    let mut epochs = Vec::new();
    for n in 0..3 {
        event.title = format!("title {n}");
        store(&world.db, std::slice::from_ref(&event), &[]).await;
        let answer = world.get("/v1/events/search").await;
        let (epoch, number) = answer.header("dataset-version").rsplit_once('-').unwrap();
        epochs.push(epoch.parse::<uuid::Uuid>().unwrap());
        numbers.push(number.parse::<i64>().unwrap());
    }
    assert_eq!(numbers, [1, 2, 3]);
    epochs.dedup();
    assert_eq!(epochs.len(), 1);
    // A commit that changes no event leaves it.
    store(&world.db, &[], &[]).await;
    let answer = world.get("/v1/events/search").await;
    assert!(answer.header("dataset-version").ends_with("-3"));
}

async fn head_answers_like_get_without_a_body(world: World) {
    store(&world.db, &[event("1", &Utc::now().to_rfc3339())], &[]).await;
    let got = world.get("/v1/events/search").await;
    let head = world.service.send("HEAD", "/v1/events/search", &[]).await;
    assert_eq!(head.status, got.status);
    assert_eq!(
        head.header("dataset-version"),
        got.header("dataset-version")
    );
    assert_eq!(
        head.header("content-length"),
        got.body.len().to_string().as_str()
    );
    assert!(head.body.is_empty());
}

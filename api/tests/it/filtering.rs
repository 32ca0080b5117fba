//! What each parameter of a search finds. All of them together are held against a model in
//! `caching/sharing.rs`.

mod paging;

use chrono::{DateTime, Duration, Utc};
use entity::event::{Content, Zone};
use serde_json::{Value, json};

use crate::seed::{event, id, store, store_of};
use crate::world::World;

crate::on_both_databases!(
    what_is_on_at_any_time_of_the_window_overlaps_it,
    only_the_named_providers_events_are_found,
    prices_are_bounds_of_the_range_and_belong_to_it,
    an_event_without_a_price_has_none_to_compare,
    available_is_what_is_not_sold_out,
    what_has_left_its_feed_is_told_apart,
    updated_since_finds_what_changed_at_that_instant_or_later,
    zones_come_where_they_are_asked_for,
    the_contracts_own_parameters_give_the_contracts_fields_alone,
    parameters_narrow_the_answer_together,
);

const START: &str = "2021-06-30T19:00:00Z";

fn lasting(title: &str, starts_at: &str, ends_at: Option<&str>) -> Content {
    let mut content = event(title, starts_at);
    title.clone_into(&mut content.title);
    content.ends_at = ends_at.map(|at| at.parse().unwrap());
    content
}

async fn what_is_on_at_any_time_of_the_window_overlaps_it(world: World) {
    let events = [
        lasting("long", "2021-06-01T00:00:00Z", Some("2021-08-01T00:00:00Z")),
        lasting("over", "2021-06-28T00:00:00Z", Some("2021-06-29T00:00:00Z")),
        lasting("into", "2021-06-29T22:00:00Z", Some("2021-06-30T00:00:00Z")),
        lasting(
            "within",
            "2021-06-30T10:00:00Z",
            Some("2021-06-30T11:00:00Z"),
        ),
        lasting("endless", "2021-06-30T12:00:00Z", None),
        lasting(
            "out of",
            "2021-06-30T20:00:00Z",
            Some("2021-07-02T00:00:00Z"),
        ),
        lasting(
            "after",
            "2021-06-30T20:00:00.000001Z",
            Some("2021-07-01T00:00:00Z"),
        ),
    ];
    store(&world.db, &events, &[]).await;
    let window = "starts_at=2021-06-30T00:00:00Z&ends_at=2021-06-30T20:00:00Z";
    let overlapping = world.titles(&format!("?{window}&overlaps=true")).await;
    assert_eq!(overlapping, ["long", "into", "within", "endless", "out of"]);
    for inside in [window.to_owned(), format!("{window}&overlaps=false")] {
        let inside = world.titles(&format!("?{inside}")).await;
        assert_eq!(inside, ["within", "endless"]);
    }
    let from = "?starts_at=2021-06-30T00:00:00Z&overlaps=true";
    let from = world.titles(from).await;
    assert_eq!(
        from,
        ["long", "into", "within", "endless", "out of", "after"]
    );
    let to = world
        .titles("?ends_at=2021-06-29T00:00:00Z&overlaps=true")
        .await;
    assert_eq!(to, ["long", "over"]);
    // An event without an end is on at its start only.
    let later = "?starts_at=2021-06-30T12:00:00.000001Z&ends_at=2021-06-30T13:00:00Z&overlaps=true";
    assert_eq!(world.titles(later).await, ["long"]);
}

async fn only_the_named_providers_events_are_found(world: World) {
    let mut theirs = event("1", START);
    theirs.title = "theirs".into();
    store(&world.db, &[event("1", START)], &[]).await;
    store_of(&world.db, "primary-2", &[theirs], &[]).await;
    assert_eq!(world.titles("?provider=primary").await, ["event 1"]);
    assert_eq!(world.titles("?provider=primary-2").await, ["theirs"]);
    assert_eq!(world.titles("").await.len(), 2);
    assert!(world.titles("?provider=nobody").await.is_empty());
}

fn priced(id: &str, min_price: Option<i64>, max_price: Option<i64>) -> Content {
    Content {
        min_price,
        max_price,
        title: id.to_owned(),
        ..event(id, &format!("2021-06-30T19:00:0{}Z", id.len()))
    }
}

async fn prices_are_bounds_of_the_range_and_belong_to_it(world: World) {
    let events = [
        priced("a", Some(100_000), Some(200_000)),
        priced("bb", Some(150_001), Some(150_001)),
        priced("ccc", Some(0), Some(0)),
    ];
    store(&world.db, &events, &[]).await;
    for (query, found) in [
        ("min_price=20", &["a"][..]),
        ("min_price=20.0001", &[]),
        ("min_price=15.0001", &["a", "bb"]),
        ("max_price=10", &["a", "ccc"]),
        ("max_price=9.9999", &["ccc"]),
        ("max_price=15", &["a", "ccc"]),
        ("max_price=15.0001", &["a", "bb", "ccc"]),
        // Some price of it lies in between, though neither of its own bounds does.
        ("min_price=12&max_price=13", &["a"]),
        ("max_price=0", &["ccc"]),
        ("min_price=-1", &["a", "bb", "ccc"]),
        ("max_price=-0.0001", &[]),
        ("min_price=922337203685477.5807", &[]),
    ] {
        assert_eq!(world.titles(&format!("?{query}")).await, found, "{query}");
    }
}

async fn an_event_without_a_price_has_none_to_compare(world: World) {
    store(&world.db, &[priced("a", None, None)], &[]).await;
    assert_eq!(world.titles("").await, ["a"]);
    for query in [
        "?min_price=0",
        "?max_price=100",
        "?min_price=-1",
        "?max_price=0",
    ] {
        assert!(world.titles(query).await.is_empty(), "{query}");
    }
}

async fn available_is_what_is_not_sold_out(world: World) {
    let mut sold_out = event("2", START);
    sold_out.sold_out = true;
    store(&world.db, &[event("1", START), sold_out], &[]).await;
    assert_eq!(world.titles("?available=true").await, ["event 1"]);
    assert_eq!(world.titles("?available=false").await, ["event 2"]);
    assert_eq!(world.titles("").await.len(), 2);
}

async fn what_has_left_its_feed_is_told_apart(world: World) {
    let gone = event("2", START);
    store(&world.db, &[event("1", START), gone.clone()], &[]).await;
    store(&world.db, &[], &[id(&gone)]).await;
    assert_eq!(world.titles("?gone=exclude").await, ["event 1"]);
    assert_eq!(world.titles("?gone=only").await, ["event 2"]);
    for query in ["", "?gone=include"] {
        assert_eq!(world.titles(query).await.len(), 2, "{query}");
    }
}

async fn updated_since_finds_what_changed_at_that_instant_or_later(world: World) {
    let mut first = event("1", START);
    let second = event("2", START);
    store(&world.db, &[first.clone(), second.clone()], &[]).await;
    first.title = "retitled".into();
    store(&world.db, std::slice::from_ref(&first), &[]).await;
    let changed_at = async |content: &Content| -> DateTime<Utc> {
        let address = format!("/v1/events/{}", id(content));
        let json = world.get(&address).await.json();
        json["data"]["changed_at"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let (first, second) = (changed_at(&first).await, changed_at(&second).await);
    assert!(second < first);
    let since = async |at: DateTime<Utc>| {
        let at = at.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true);
        world.titles(&format!("?updated_since={at}")).await
    };
    let finest = Duration::microseconds(1);
    assert_eq!(since(second).await.len(), 2);
    assert_eq!(since(second + finest).await, ["retitled"]);
    assert_eq!(since(first).await, ["retitled"]);
    assert!(since(first + finest).await.is_empty());
    assert!(since(first + Duration::nanoseconds(1)).await.is_empty());
}

async fn zones_come_where_they_are_asked_for(world: World) {
    let mut with = event("1", "2021-06-30T19:00:00Z");
    with.zones.push(Zone {
        id: Some("40".into()),
        price: Some(155_500),
        ..Zone::default()
    });
    let mut without = event("2", "2021-06-30T20:00:00Z");
    without.zones.clear();
    store(&world.db, &[with, without], &[]).await;
    let whole = world.get("/v1/events/search?include=zones").await;
    let page = world.get("/v1/events/search?include=zones&limit=5").await;
    assert!(
        whole.text().contains(r#""price":15.55"#),
        "{}",
        whole.text()
    );
    let zones = json!([
        {"id": "40", "name": "Platea", "capacity": 243, "price": 20.0, "numbered": true},
        {"id": "40", "name": null, "capacity": null, "price": 15.55, "numbered": null},
    ]);
    for answer in [whole, page] {
        let json = answer.json();
        assert_eq!(json["data"]["events"][0]["zones"], zones);
        assert_eq!(json["data"]["events"][1]["zones"], json!([]));
    }
}

async fn the_contracts_own_parameters_give_the_contracts_fields_alone(world: World) {
    store(&world.db, &[event("1", START)], &[]).await;
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let fields = [
        "end_date",
        "end_time",
        "id",
        "max_price",
        "min_price",
        "start_date",
        "start_time",
        "title",
    ];
    // Also after a request for more has been answered.
    world.get("/v1/events/search?include=zones&limit=5").await;
    for query in [
        "",
        "?starts_at=2021-01-01",
        "?ends_at=2022-01-01T00:00:00Z",
        "?starts_at=2021-01-01T00:00:00Z&ends_at=2022-01-01T00:00:00Z",
    ] {
        let json = world.get(&format!("/v1/events/search{query}")).await.json();
        assert_eq!(keys(&json), ["data", "error"], "{query}");
        assert_eq!(keys(&json["data"]), ["events"], "{query}");
        assert_eq!(keys(&json["data"]["events"][0]), fields, "{query}");
    }
    let paged = world.get("/v1/events/search?limit=5").await.json();
    assert_eq!(keys(&paged), ["data", "error", "meta"]);
    assert_eq!(keys(&paged["meta"]), ["next_cursor"]);
    assert_eq!(keys(&paged["data"]["events"][0]), fields);
}

async fn parameters_narrow_the_answer_together(world: World) {
    let mut events = vec![priced("a", Some(100_000), Some(200_000))];
    let differing: [fn(&mut Content); 4] = [
        |event| event.sold_out = true,
        |event| event.max_price = Some(110_000),
        |event| event.starts_at -= Duration::days(400),
        |event| event.ends_at = event.ends_at.map(|at| at + Duration::days(400)),
    ];
    for (number, differ) in differing.into_iter().enumerate() {
        let mut other = events[0].clone();
        other.event_id = number.to_string();
        other.title = number.to_string();
        differ(&mut other);
        events.push(other);
    }
    store(&world.db, &events, &[]).await;
    store_of(&world.db, "another", &events[..1], &[]).await;
    let query = "?starts_at=2021-06-01&ends_at=2021-07-31&provider=primary&min_price=12\
                 &max_price=100&available=true&gone=exclude&updated_since=2021-01-01";
    assert_eq!(world.titles(query).await, ["a"]);
    store(&world.db, &[], &[id(&events[0])]).await;
    assert!(world.titles(query).await.is_empty());
}

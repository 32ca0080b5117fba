//! What became of an event, as `/v1/events/{id}/history` tells it.

use entity::event::{Content, SellMode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::seed::{event, give_back, id, store};
use crate::world::World;

crate::on_both_databases!(
    every_version_of_an_event_is_told_newest_first,
    each_version_is_the_event_as_it_was_stored_then,
    prices_are_decimals_on_both_sides_of_a_change,
    pages_are_the_whole_history,
    an_event_that_was_not_sold_online_says_so,
    another_events_commits_are_no_part_of_it,
    an_unknown_event_has_no_history,
    what_is_no_page_is_refused,
);

async fn history(world: &World, id: Uuid, query: &str) -> Value {
    let answer = world.get(&format!("/v1/events/{id}/history{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["error"], Value::Null);
    json
}

fn versions(history: &Value) -> &[Value] {
    history["data"]["versions"].as_array().unwrap()
}

/// The runs by the versions that they committed, the newest first.
async fn runs(world: &World) -> Vec<Uuid> {
    use sea_orm::ConnectionTrait;
    let sql = "SELECT run_id FROM dataset_commit ORDER BY version DESC";
    let statement = sea_orm::Statement::from_string(world.db.read.get_database_backend(), sql);
    let rows = world.db.read.query_all_raw(statement).await.unwrap();
    rows.iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect()
}

async fn every_version_of_an_event_is_told_newest_first(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    stored.title = "retitled".into();
    stored.max_price = Some(355_000);
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    store(&world.db, &[], &[id(&stored)]).await;
    give_back(&world.db, &[id(&stored)]).await;
    store(&world.db, &[], &[id(&stored)]).await;
    stored.sold_out = true;
    store(&world.db, std::slice::from_ref(&stored), &[]).await;

    let history = history(&world, id(&stored), "").await;
    assert_eq!(history["meta"], json!({"next_before": null}));
    let told: Vec<_> = versions(&history)
        .iter()
        .map(|past| {
            (
                past["version"].clone(),
                past["kind"].clone(),
                past["changed"].clone(),
            )
        })
        .collect();
    let retitled = json!({"title": ["event 1", "retitled"], "max_price": [30.5, 35.5]});
    let expected = [
        (
            json!(6),
            json!("returned"),
            json!({"sold_out": [false, true]}),
        ),
        (json!(5), json!("gone"), Value::Null),
        (json!(4), json!("returned"), Value::Null),
        (json!(3), json!("gone"), Value::Null),
        (json!(2), json!("updated"), retitled),
        (json!(1), json!("created"), Value::Null),
    ];
    assert_eq!(told, expected);
    let runs = runs(&world).await;
    let mut committed_at = Vec::new();
    for (past, run) in versions(&history).iter().zip(runs) {
        assert_eq!(past["run"], json!(run));
        assert_eq!(past["ever_online"], true);
        assert_eq!(
            past["gone_at"].is_string(),
            past["kind"] == "gone",
            "{past}"
        );
        let at = past["committed_at"].as_str().unwrap();
        committed_at.push(at.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    }
    assert!(committed_at.is_sorted_by(|newer, older| newer >= older));
}

/// Of everything that there is to an event, what a feed says of it.
fn said_by_its_feed(details: &Value) -> Value {
    let mut details = details.clone();
    let fields = details.as_object_mut().unwrap();
    for field in [
        "id",
        "provider",
        "ever_online",
        "first_seen_at",
        "changed_at",
        "gone_at",
    ] {
        fields.remove(field).unwrap();
    }
    details
}

async fn each_version_is_the_event_as_it_was_stored_then(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    let later: [fn(&mut Content); 9] = [
        |_| {},
        |event| event.title = "retitled \"\u{e9}\"".into(),
        |event| event.starts_at += chrono::Duration::microseconds(1),
        |event| (event.ends_at, event.ends_local) = (None, None),
        |event| event.starts_local += chrono::Duration::hours(25),
        |event| {
            event.sell_from = Some("2020-07-01T00:00:00.5Z".parse().unwrap());
            event.sell_to = Some("2021-06-30T18:00:00Z".parse().unwrap());
        },
        |event| (event.min_price, event.max_price) = (None, Some(1)),
        |event| (event.sell_mode, event.sold_out) = (SellMode::Offline, true),
        |event| {
            event.organizer_company_id = Some("7".into());
            let mut zone = event.zones[0].clone();
            (zone.price, zone.name) = (Some(9_007_199_254_740_993), None);
            event.zones.push(zone);
        },
    ];
    let mut then = Vec::new();
    for change in later {
        change(&mut stored);
        store(&world.db, std::slice::from_ref(&stored), &[]).await;
        let details = world
            .get(&format!("/v1/events/{}", id(&stored)))
            .await
            .json();
        then.push(said_by_its_feed(&details["data"]));
    }
    then.reverse();
    let history = history(&world, id(&stored), "").await;
    let told: Vec<_> = versions(&history)
        .iter()
        .map(|past| past["event"].clone())
        .collect();
    assert_eq!(told, then);
}

async fn prices_are_decimals_on_both_sides_of_a_change(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    stored.min_price = None;
    stored.max_price = Some(9_007_199_254_740_993);
    stored.zones[0].price = Some(155_500);
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    let address = format!("/v1/events/{}/history", id(&stored));
    let answer = world.get(&address).await;
    for part in [
        r#""min_price":[15.00,null]"#,
        r#""max_price":[30.50,900719925474.0993]"#,
        r#""max_price":900719925474.0993"#,
        r#""price":15.55"#,
        r#""price":20.00"#,
    ] {
        assert!(answer.text().contains(part), "{part}: {}", answer.text());
    }
    for raw in ["155500", "200000", "150000", "9007199254740993"] {
        assert!(!answer.text().contains(raw), "{raw}: {}", answer.text());
    }
}

async fn pages_are_the_whole_history(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    for number in 0..7 {
        stored.title = number.to_string();
        store(&world.db, std::slice::from_ref(&stored), &[]).await;
    }
    let id = id(&stored);
    let whole = history(&world, id, "").await;
    assert_eq!(versions(&whole).len(), 7);
    for limit in [1, 2, 3, 7, 1000] {
        let mut told = Vec::new();
        let mut query = format!("?limit={limit}");
        loop {
            let page = history(&world, id, &query).await;
            assert!((1..=limit).contains(&versions(&page).len()), "{page}");
            told.extend_from_slice(versions(&page));
            assert!(told.len() <= 7, "{told:?}");
            let Some(before) = page["meta"]["next_before"].as_i64() else {
                break;
            };
            query = format!("?limit={limit}&before={before}");
        }
        assert_eq!(told, versions(&whole), "{limit}");
    }
    let page = history(&world, id, "?before=1").await;
    assert!(versions(&page).is_empty());
    assert_eq!(page["meta"]["next_before"], Value::Null);
    let page = history(&world, id, "?before=1000000&limit=1").await;
    assert_eq!(versions(&page), &versions(&whole)[..1]);
}

async fn an_event_that_was_not_sold_online_says_so(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    for sell_mode in [SellMode::Offline, SellMode::Online, SellMode::Offline] {
        stored.sell_mode = sell_mode;
        store(&world.db, std::slice::from_ref(&stored), &[]).await;
    }
    let history = history(&world, id(&stored), "").await;
    let told: Vec<_> = versions(&history)
        .iter()
        .map(|past| {
            (
                past["event"]["sell_mode"].clone(),
                past["ever_online"].clone(),
            )
        })
        .collect();
    let expected = [
        (json!("offline"), json!(true)),
        (json!("online"), json!(true)),
        (json!("offline"), json!(false)),
    ];
    assert_eq!(told, expected);
}

async fn another_events_commits_are_no_part_of_it(world: World) {
    let mut one = event("1", "2021-06-30T19:00:00Z");
    let mut other = event("2", "2021-06-30T19:00:00Z");
    store(&world.db, &[one.clone(), other.clone()], &[]).await;
    other.title = "other".into();
    store(&world.db, std::slice::from_ref(&other), &[]).await;
    one.title = "one".into();
    store(&world.db, std::slice::from_ref(&one), &[]).await;
    for (event, expected) in [(one, [3, 1]), (other, [2, 1])] {
        let history = history(&world, id(&event), "").await;
        let told: Vec<_> = versions(&history)
            .iter()
            .map(|past| past["version"].clone())
            .collect();
        assert_eq!(told, expected);
        assert_eq!(versions(&history)[0]["event"]["title"], event.title);
    }
}

async fn an_unknown_event_has_no_history(world: World) {
    let unknown = Uuid::from_u128(7);
    for query in ["", "?limit=1", "?before=3"] {
        let address = format!("/v1/events/{unknown}/history{query}");
        let message = world.get(&address).await.error(404, "no_such_event");
        assert!(message.contains(&unknown.to_string()), "{message}");
    }
    let address = format!("/v1/events/{}/history", unknown.simple());
    world.get(&address).await.error(400, "malformed_id");
}

async fn what_is_no_page_is_refused(world: World) {
    let stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    for (query, code) in [
        ("limit=0", "malformed_parameter"),
        ("limit=1001", "malformed_parameter"),
        ("limit=x", "malformed_parameter"),
        ("before=-1", "malformed_parameter"),
        ("before=", "malformed_parameter"),
        ("before=99999999999999999999", "malformed_parameter"),
        ("before=1&before=1", "repeated_parameter"),
        ("cursor=x", "unknown_parameter"),
    ] {
        let address = format!("/v1/events/{}/history?{query}", id(&stored));
        let message = world.get(&address).await.error(400, code);
        assert!(message.contains("send"), "{message}");
    }
}

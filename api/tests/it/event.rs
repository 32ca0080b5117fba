use serde_json::{Value, json};

use crate::seed::{event, id, store};
use crate::world::World;

crate::on_both_databases!(
    an_event_is_told_in_full,
    an_event_that_was_never_sold_online_has_its_page,
    an_event_that_left_its_feed_tells_when,
    an_id_that_is_no_uuid_is_400,
    an_unknown_id_is_404,
);

async fn an_event_is_told_in_full(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    stored.sell_from = Some("2020-07-01T00:00:00Z".parse().unwrap());
    stored.sell_to = Some("2021-06-30T18:00:00Z".parse().unwrap());
    stored.organizer_company_id = Some("7".into());
    let mut bare = stored.zones[0].clone();
    (bare.name, bare.capacity, bare.price, bare.numbered) = (None, None, Some(1), None);
    stored.zones.push(bare);
    store(&world.db, std::slice::from_ref(&stored), &[]).await;

    let answer = world.get(&format!("/v1/events/{}", id(&stored))).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("dataset-version").ends_with("-1"));
    let text = answer.text();
    assert!(
        text.contains(r#""min_price":15.00,"max_price":30.50"#),
        "{text}"
    );
    assert!(text.contains(r#""price":20.00"#), "{text}");
    assert!(text.contains(r#""price":0.0001"#), "{text}");
    let mut json = answer.json();
    assert_eq!(json["error"], Value::Null);
    let found = json["data"].as_object_mut().unwrap();
    for instant in ["first_seen_at", "changed_at"] {
        let value = found.remove(instant).unwrap();
        let value = value.as_str().unwrap();
        assert!(value.ends_with('Z'), "{instant}: {value}");
        value.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    }
    assert_eq!(
        json["data"],
        json!({
            "id": id(&stored),
            "provider": "primary",
            "base_id": "291",
            "event_id": "1",
            "title": "event 1",
            "start_date": "2021-06-30",
            "start_time": "21:00:00",
            "end_date": "2021-06-30",
            "end_time": "22:00:00",
            "starts_at": "2021-06-30T19:00:00Z",
            "ends_at": "2021-06-30T20:00:00Z",
            "min_price": 15.0,
            "max_price": 30.5,
            "sell_from": "2020-07-01T00:00:00Z",
            "sell_to": "2021-06-30T18:00:00Z",
            "sold_out": false,
            "sell_mode": "online",
            "ever_online": true,
            "organizer_company_id": "7",
            "zones": [
                {"id": "40", "name": "Platea", "capacity": 243, "price": 20.0, "numbered": true},
                {"id": "40", "name": null, "capacity": null, "price": 0.0001, "numbered": null},
            ],
            "gone_at": null,
        })
    );
}

async fn an_event_that_was_never_sold_online_has_its_page(world: World) {
    let mut offline = event("1", "2021-06-30T19:00:00Z");
    offline.sell_mode = entity::event::SellMode::Offline;
    store(&world.db, std::slice::from_ref(&offline), &[]).await;
    let json = world
        .get(&format!("/v1/events/{}", id(&offline)))
        .await
        .json();
    assert_eq!(json["data"]["sell_mode"], "offline");
    assert_eq!(json["data"]["ever_online"], false);
}

async fn an_event_that_left_its_feed_tells_when(world: World) {
    let gone = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&gone), &[]).await;
    store(&world.db, &[], &[id(&gone)]).await;
    let json = world.get(&format!("/v1/events/{}", id(&gone))).await.json();
    assert!(json["data"]["gone_at"].is_string(), "{json}");
}

async fn an_id_that_is_no_uuid_is_400(world: World) {
    for id in [
        "1",
        "dd8d2fd187f255d49464032d553cbb6f",
        "%7Bdd8d2fd1-87f2-55d4-9464-032d553cbb6f%7D",
        "%FF",
        "dd8d2fd1-87f2-55d4-9464-032d553cbb6g",
    ] {
        let answer = world.get(&format!("/v1/events/{id}")).await;
        let message = answer.error(400, "malformed_id");
        assert!(message.contains("such as /v1/events/dd8d2fd1"), "{message}");
    }
}

async fn an_unknown_id_is_404(world: World) {
    let id = uuid::Uuid::new_v4();
    let answer = world.get(&format!("/v1/events/{id}")).await;
    let message = answer.error(404, "no_such_event");
    assert!(message.contains(&id.to_string()), "{message}");
    assert!(answer.header("dataset-version").ends_with("-0"));
}

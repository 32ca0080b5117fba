//! The log of changes, as someone reads it who keeps a copy of the events.

mod mirror;
mod writers;

use std::time::Duration;

use entity::event::SellMode;
use entity::retention::{Retention, prune};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::caching::{HIT, MISS};
use crate::seed::{event, give_back, id, store};
use crate::world::{Answer, Send, World};

crate::on_both_databases!(
    everything_that_happens_to_an_event_is_told,
    pages_go_on_in_the_midst_of_a_commit,
    since_is_needed_and_has_one_form,
    a_version_that_nobody_has_reached_is_400,
    another_epoch_is_410,
    a_version_of_an_epoch_that_this_process_has_not_heard_of_is_taken,
    what_the_log_no_longer_has_is_410,
    what_was_never_sold_online_is_not_told_until_it_is,
    a_page_is_kept_under_its_version,
);

/// The header of a search, which is where one begins.
async fn here(world: &World) -> String {
    let answer = world.get("/v1/events/search").await;
    answer.header("dataset-version").to_owned()
}

async fn since(world: &World, since: &str) -> Answer {
    world.get(&format!("/v1/changes?since={since}")).await
}

fn changes(page: &Answer) -> Vec<Value> {
    assert_eq!(page.status, 200, "{}", page.text());
    page.json()["data"]["changes"].as_array().unwrap().clone()
}

async fn everything_that_happens_to_an_event_is_told(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    let start = here(&world).await;
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    stored.title = "retitled".into();
    stored.max_price = Some(355_000);
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    store(&world.db, &[], &[id(&stored)]).await;
    give_back(&world.db, &[id(&stored)]).await;
    store(&world.db, &[], &[id(&stored)]).await;

    let page = since(&world, &start).await;
    let epoch = page.header("dataset-version").strip_suffix("-5").unwrap();
    assert!(
        page.text().contains(r#""max_price":[30.50,35.50]"#),
        "{}",
        page.text()
    );
    let json = page.json();
    assert_eq!(json["error"], Value::Null);
    assert_eq!(
        json["meta"],
        json!({"next": format!("{epoch}-5"), "more": false})
    );
    let link = format!("</v1/changes?since={epoch}-5&limit=100>; rel=\"next\"");
    assert_eq!(page.header("link"), link);
    let told = changes(&page);
    let kinds: Vec<_> = told.iter().map(|change| change["kind"].clone()).collect();
    assert_eq!(kinds, ["created", "updated", "gone", "returned", "gone"]);
    // As it is now, at every change.
    let now = world
        .get(&format!("/v1/events/{}", id(&stored)))
        .await
        .json();
    assert!(now["data"]["gone_at"].is_string());
    let mut committed_at = Vec::new();
    for (change, version) in told.iter().zip(1..) {
        assert_eq!(change["version"], version);
        assert_eq!(change["position"], 0);
        assert_eq!(change["id"], json!(id(&stored)));
        assert_eq!(change["event"], now["data"]);
        let at = change["committed_at"].as_str().unwrap();
        committed_at.push(at.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
        let expected = match version {
            2 => json!({"title": ["event 1", "retitled"], "max_price": [30.5, 35.5]}),
            _ => Value::Null,
        };
        assert_eq!(change["changed"], expected, "{change}");
    }
    assert!(committed_at.is_sorted());
    assert!(changes(&since(&world, &format!("{epoch}-5")).await).is_empty());
}

async fn pages_go_on_in_the_midst_of_a_commit(world: World) {
    let start = here(&world).await;
    let many: Vec<_> = (0..5)
        .map(|n| event(&n.to_string(), "2021-06-30T19:00:00Z"))
        .collect();
    store(&world.db, &many[..2], &[]).await;
    store(&world.db, &many[2..], &[]).await;
    let whole = changes(&since(&world, &start).await);
    assert_eq!(whole.len(), 5);
    for limit in [1, 2, 3, 5, 1000] {
        let mut told = Vec::new();
        let mut at = start.clone();
        loop {
            let address = format!("/v1/changes?since={at}&limit={limit}");
            let page = world.get(&address).await;
            let json = page.json();
            let next = json["meta"]["next"].as_str().unwrap();
            assert_eq!(
                page.header("link"),
                format!("</v1/changes?since={next}&limit={limit}>; rel=\"next\"")
            );
            let some = changes(&page);
            assert!(some.len() <= limit);
            told.extend(some);
            assert!(told.len() <= whole.len(), "{limit}: {told:?}");
            next.clone_into(&mut at);
            if json["meta"]["more"] == false {
                break;
            }
        }
        assert_eq!(told, whole, "{limit}");
        assert!(at.ends_with("-2"), "{at}");
    }
    let first = world
        .get(&format!("/v1/changes?since={start}&limit=1"))
        .await
        .json();
    let next = first["meta"]["next"].as_str().unwrap();
    assert!(next.ends_with("-1.0"), "{next}");
    assert_eq!(changes(&since(&world, next).await), whole[1..]);
}

async fn since_is_needed_and_has_one_form(world: World) {
    let message = world
        .get("/v1/changes")
        .await
        .error(400, "missing_parameter");
    assert!(message.contains("since="), "{message}");
    let epoch = here(&world).await;
    for wrong in [
        "",
        "1",
        "x-1",
        &epoch[..36],
        &format!("{epoch}."),
        &format!("{epoch}.x"),
    ] {
        since(&world, wrong).await.error(400, "malformed_parameter");
    }
    for (query, code) in [
        ("limit=0", "malformed_parameter"),
        ("limit=1001", "malformed_parameter"),
        ("starts_at=2021-01-01", "unknown_parameter"),
        (&*format!("since={epoch}"), "repeated_parameter"),
    ] {
        let address = format!("/v1/changes?since={epoch}&{query}");
        world.get(&address).await.error(400, code);
    }
}

async fn a_version_that_nobody_has_reached_is_400(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let now = here(&world).await;
    let epoch = &now[..36];
    for future in [
        format!("{epoch}-2"),
        format!("{epoch}-2.0"),
        format!("{epoch}-{}", i64::MAX),
    ] {
        since(&world, &future).await.error(400, "future_version");
    }
    // It is there, though it holds no such change.
    assert!(changes(&since(&world, &format!("{epoch}-1.7")).await).is_empty());
    store(&world.db, &[event("2", "2021-06-30T19:00:00Z")], &[]).await;
    assert!(changes(&since(&world, &format!("{epoch}-2")).await).is_empty());
}

async fn another_epoch_is_410(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let start = here(&world).await;
    assert!(changes(&since(&world, &start).await).is_empty());
    let epoch = entity::dataset::renew_epoch(&world.db.write).await.unwrap();
    for other in [start, format!("{}-0", Uuid::from_u128(1))] {
        for _ in 0..2 {
            let ended = since(&world, &other).await;
            ended.error(410, "epoch_ended");
            assert_eq!(ended.header("dataset-version"), format!("{epoch}-1"));
        }
    }
    assert_eq!(
        changes(&since(&world, &format!("{epoch}-0")).await).len(),
        1
    );
}

async fn a_version_of_an_epoch_that_this_process_has_not_heard_of_is_taken(world: World) {
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let old = here(&world).await;
    let epoch = entity::dataset::renew_epoch(&world.db.write).await.unwrap();
    // No look comes before these.
    let page = world
        .service
        .get(&format!("/v1/changes?since={epoch}-0"))
        .await;
    assert_eq!(changes(&page).len(), 1);
    let ended = world.service.get(&format!("/v1/changes?since={old}")).await;
    ended.error(410, "epoch_ended");
}

async fn what_the_log_no_longer_has_is_410(world: World) {
    let start = here(&world).await;
    for n in 0..3 {
        let event = event(&n.to_string(), "2021-06-30T19:00:00Z");
        store(&world.db, &[event], &[]).await;
    }
    let now = here(&world).await;
    let retention = Retention {
        runs: Duration::from_secs(3600),
        changes: Duration::ZERO,
    };
    testkit::eventually(
        Duration::from_secs(20),
        "everything is pruned",
        async || prune(&world.db, retention).await.unwrap() == 0,
    )
    .await;
    let epoch = &now[..36];
    for expired in [
        start,
        format!("{epoch}-2"),
        format!("{epoch}-2.0"),
        format!("{epoch}-3.0"),
    ] {
        let expired = since(&world, &expired).await;
        let message = expired.error(410, "version_expired");
        assert!(message.contains("search"), "{message}");
        assert_eq!(expired.header("dataset-version"), now);
    }
    assert!(changes(&since(&world, &now).await).is_empty());
    store(&world.db, &[event("3", "2021-06-30T19:00:00Z")], &[]).await;
    assert_eq!(changes(&since(&world, &now).await).len(), 1);
    let before = format!("{epoch}-2");
    since(&world, &before).await.error(410, "version_expired");
}

async fn what_was_never_sold_online_is_not_told_until_it_is(world: World) {
    let mut hidden = event("hidden", "2021-06-30T19:00:00Z");
    hidden.sell_mode = SellMode::Offline;
    let start = here(&world).await;
    store(&world.db, std::slice::from_ref(&hidden), &[]).await;
    hidden.title = "secret".into();
    store(&world.db, std::slice::from_ref(&hidden), &[]).await;
    store(&world.db, &[], &[id(&hidden)]).await;
    give_back(&world.db, &[id(&hidden)]).await;
    let page = since(&world, &start).await;
    assert!(changes(&page).is_empty(), "{}", page.text());
    let here = page.json()["meta"]["next"].as_str().unwrap().to_owned();
    assert!(here.ends_with("-4"), "{here}");

    hidden.sell_mode = SellMode::Online;
    store(&world.db, std::slice::from_ref(&hidden), &[]).await;
    for since_when in [&start, &here] {
        let page = since(&world, since_when).await;
        let told = changes(&page);
        assert_eq!(told.len(), 1, "{}", page.text());
        assert_eq!(told[0]["kind"], "created");
        assert_eq!(told[0]["changed"], Value::Null);
        assert_eq!(told[0]["event"]["title"], "secret");
        assert_eq!(told[0]["version"], 5);
    }
    hidden.sell_mode = SellMode::Offline;
    store(&world.db, std::slice::from_ref(&hidden), &[]).await;
    let told = changes(&since(&world, &start).await);
    assert_eq!(told.len(), 2);
    assert_eq!(told[1]["kind"], "updated");
    assert_eq!(
        told[1]["changed"],
        json!({"sell_mode": ["online", "offline"]})
    );
}

async fn a_page_is_kept_under_its_version(world: World) {
    let start = here(&world).await;
    store(&world.db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let first = since(&world, &start).await;
    assert_eq!(first.header("cache-status"), MISS);
    let again = world
        .get(&format!("/v1/changes?limit=100&since={start}"))
        .await;
    assert_eq!(again.header("cache-status"), HIT);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("link"), first.header("link"));
    let condition = [("if-none-match", first.header("etag"))];
    let address = format!("/v1/changes?since={start}");
    assert_eq!(world.get_with(&address, &condition).await.status, 304);
    store(&world.db, &[event("2", "2021-06-30T19:00:00Z")], &[]).await;
    let after = world.get_with(&address, &condition).await;
    assert_eq!(after.header("cache-status"), MISS);
    assert_eq!(changes(&after).len(), 2);
}

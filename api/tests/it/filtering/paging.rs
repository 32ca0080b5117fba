//! Pages are the whole answer in order, each event once.

use api::{Config, Context, Service};
use entity::event::Content;
use tokio_util::sync::CancellationToken;

use crate::seed::{event, id, store};
use crate::world::{Answer, Send, World};

crate::on_both_databases!(
    pages_of_any_size_are_the_whole_answer,
    a_page_has_a_thousand_events_at_most,
    a_cursor_that_was_altered_or_belongs_to_another_search_is_400,
    a_cursor_of_another_epoch_is_410,
    a_cursor_of_an_epoch_that_this_process_has_not_heard_of_is_taken,
    what_happens_between_two_pages_moves_no_other_event,
);

/// Several start at the same instant, so that pages end in their midst.
fn events() -> Vec<Content> {
    let mut events: Vec<Content> = (0..20)
        .map(|n: u32| {
            event(
                &n.to_string(),
                &format!("2021-06-{:02}T19:00:00Z", 1 + n / 6),
            )
        })
        .collect();
    events.sort_by_key(|content| (content.starts_at, id(content)));
    events
}

fn titles_of(page: &Answer) -> Vec<String> {
    let json = page.json();
    let events = json["data"]["events"].as_array().unwrap();
    let title = |event: &serde_json::Value| event["title"].as_str().unwrap().to_owned();
    events.iter().map(title).collect()
}

fn cursor(page: &Answer) -> Option<String> {
    let json = page.json();
    json["meta"]["next_cursor"].as_str().map(str::to_owned)
}

/// Where the header `Link` leads.
fn link(page: &Answer) -> Option<String> {
    let link = page.headers.get("link")?.to_str().unwrap();
    let link = link.strip_prefix('<').unwrap();
    Some(link.strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

async fn pages_of_any_size_are_the_whole_answer(world: World) {
    let events = events();
    store(&world.db, &events, &[]).await;
    let whole: Vec<_> = events.iter().map(|event| event.title.clone()).collect();
    for filter in [
        "",
        "starts_at=2021-01-01&ends_at=2022-01-01&available=true&",
    ] {
        for limit in [1, 2, 7, 20, 1000] {
            let first = format!("/v1/events/search?{filter}limit={limit}");
            let mut by_cursor = Vec::new();
            let mut by_link = Vec::new();
            let mut pages = [Some(first.clone()), Some(first.clone())];
            while let [Some(one), Some(other)] = pages {
                let (one, other) = (world.get(&one).await, world.get(&other).await);
                assert!(titles_of(&one).len() <= limit);
                by_cursor.extend(titles_of(&one));
                by_link.extend(titles_of(&other));
                assert!(by_link.len() <= whole.len(), "{first}: {by_link:?}");
                // They are the same page, so the same entry.
                assert_eq!(one.header("etag"), other.header("etag"));
                let next = cursor(&one).map(|cursor| format!("{first}&cursor={cursor}"));
                pages = [next, link(&other)];
            }
            assert_eq!(pages, [None, None], "{first}");
            assert_eq!(by_cursor, whole, "{first}");
            assert_eq!(by_link, whole, "{first}");
        }
    }
    let last = world.get("/v1/events/search?limit=20").await;
    assert!(last.text().ends_with(r#""meta":{"next_cursor":null}}"#));
    assert!(!last.headers.contains_key("link"), "{last:?}");
}

async fn a_page_has_a_thousand_events_at_most(world: World) {
    let many: Vec<_> = (0..1001)
        .map(|n| event(&n.to_string(), "2021-06-30T19:00:00Z"))
        .collect();
    store(&world.db, &many, &[]).await;
    let page = world.get("/v1/events/search?limit=1000").await;
    assert_eq!(titles_of(&page).len(), 1000);
    let rest = world.get(&link(&page).unwrap()).await;
    assert_eq!(titles_of(&rest).len(), 1);
    assert_eq!(link(&rest), None);
    for limit in ["0", "1001", "-1", "", "x"] {
        let address = format!("/v1/events/search?limit={limit}");
        world.get(&address).await.error(400, "malformed_parameter");
    }
}

async fn a_cursor_that_was_altered_or_belongs_to_another_search_is_400(world: World) {
    store(&world.db, &events(), &[]).await;
    let page = world.get("/v1/events/search?limit=2&available=true").await;
    let cursor = cursor(&page).unwrap();
    let mut queries: Vec<String> = ["", "&available=false", "&available=true&gone=exclude"]
        .map(|filter| format!("limit=2{filter}&cursor={cursor}"))
        .to_vec();
    for at in [30, 40, 60, cursor.len() - 2] {
        let mut altered = cursor.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        queries.push(format!("limit=2&available=true&cursor={altered}"));
    }
    for wrong in [
        "",
        "x",
        &cursor[1..],
        &format!("{cursor}A"),
        &cursor[..cursor.len() - 1],
    ] {
        queries.push(format!("limit=2&available=true&cursor={wrong}"));
    }
    for query in queries {
        // Twice, for what is at hand is given out elsewhere.
        for _ in 0..2 {
            let answer = world.get(&format!("/v1/events/search?{query}")).await;
            let message = answer.error(400, "foreign_cursor");
            assert!(message.contains("start over"), "{message}");
        }
    }
    // The size of the page may change on the way.
    let answer = world
        .get(&format!(
            "/v1/events/search?limit=5&available=true&cursor={cursor}"
        ))
        .await;
    assert_eq!(titles_of(&answer).len(), 5);
}

async fn a_cursor_of_another_epoch_is_410(world: World) {
    store(&world.db, &events(), &[]).await;
    let page = world.get("/v1/events/search?limit=2").await;
    let next = link(&page).unwrap();
    assert_eq!(world.get(&next).await.status, 200);
    let epoch = entity::dataset::renew_epoch(&world.db.write).await.unwrap();
    for _ in 0..2 {
        let answer = world.get(&next).await;
        answer.error(410, "epoch_ended");
        assert_eq!(answer.header("dataset-version"), format!("{epoch}-1"));
    }
    let page = world.get("/v1/events/search?limit=2").await;
    assert_eq!(world.get(&link(&page).unwrap()).await.status, 200);
}

async fn a_cursor_of_an_epoch_that_this_process_has_not_heard_of_is_taken(world: World) {
    let events = events();
    store(&world.db, &events, &[]).await;
    let old = world.get("/v1/events/search?limit=2").await;
    entity::dataset::renew_epoch(&world.db.write).await.unwrap();
    let shutdown = CancellationToken::new();
    let other = Service::new(Context::new(Config::default(), world.db.clone(), shutdown));
    let page = other.get("/v1/events/search?limit=2").await;
    let next = link(&page).unwrap();
    // No look comes before these.
    let second = world.service.get(&next).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_eq!(titles_of(&second), [&*events[2].title, &*events[3].title]);
    let ended = world.service.get(&link(&old).unwrap()).await;
    ended.error(410, "epoch_ended");
}

async fn what_happens_between_two_pages_moves_no_other_event(world: World) {
    let events = events();
    store(&world.db, &events, &[]).await;
    let mut page = world.get("/v1/events/search?limit=3").await;
    let mut titles = titles_of(&page);
    let mut number = 0;
    while let Some(next) = link(&page) {
        number += 1;
        // One comes before and one after, one of those seen already changes, and another is gone.
        let before = event(&format!("before {number}"), "2021-05-01T00:00:00Z");
        let after = event(&format!("after {number}"), "2021-07-01T00:00:00Z");
        let mut changed = events[0].clone();
        changed.title = format!("changed {number}");
        store(&world.db, &[before, after, changed], &[id(&events[number])]).await;
        page = world.get(&next).await;
        titles.extend(titles_of(&page));
        assert!(titles.len() < 60, "{titles:?}");
    }
    let (seen, after): (Vec<String>, Vec<String>) = titles
        .into_iter()
        .partition(|title| !title.starts_with("event after"));
    let expected: Vec<_> = events.iter().map(|event| event.title.clone()).collect();
    assert_eq!(seen, expected);
    let mut distinct = after.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), after.len(), "{after:?}");
    assert!(!after.is_empty());
}

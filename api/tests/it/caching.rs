//! What is kept, for whom, and until when.

mod coding;
mod conditional;
mod sharing;
mod together;

use api::{CacheControl, Config};
use entity::event::Content;
use uuid::Uuid;

use crate::seed::{event, id, store};
use crate::world::{Answer, Send, World, service};

crate::on_both_databases!(
    whoever_asks_again_is_answered_from_memory,
    a_commit_makes_the_next_answer_new,
    until_a_commit_is_adopted_the_answer_before_it_is_whole,
    one_answer_is_never_older_than_another_one_before,
    an_event_that_is_not_there_yet_is_kept_as_missing_until_it_comes,
    a_new_epoch_makes_every_answer_new,
    head_has_the_headers_of_get,
    caches_are_told_what_the_operator_chose,
    an_error_of_the_client_is_not_kept,
);

pub(crate) const HIT: &str = "fanfare; hit";
pub(crate) const MISS: &str = "fanfare; fwd=miss";

/// The number of the version that an answer belongs to.
fn version(answer: &Answer) -> i64 {
    let (_, number) = answer.header("dataset-version").rsplit_once('-').unwrap();
    number.parse().unwrap()
}

/// The addresses of everything that is answered under a version.
fn addresses(event: &Content) -> [String; 5] {
    let id = id(event);
    [
        "/v1/events/search".to_owned(),
        "/v1/events/search?limit=1&include=zones".to_owned(),
        format!("/v1/events/{id}"),
        format!("/v1/events/{id}/history"),
        format!("/v1/changes?since={}-0", Uuid::nil()),
    ]
}

/// The same, with the epoch that the log is asked in.
async fn addresses_in(world: &World, event: &Content) -> [String; 5] {
    let epoch = entity::dataset::version(&world.db.write).await.unwrap();
    let epoch = epoch.epoch.to_string();
    addresses(event).map(|address| address.replace(&Uuid::nil().to_string(), &epoch))
}

async fn whoever_asks_again_is_answered_from_memory(world: World) {
    let stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    for address in addresses_in(&world, &stored).await {
        let mut first = world.get(&address).await;
        assert_eq!(first.status, 200, "{address}");
        assert_eq!(first.header("cache-status"), MISS, "{address}");
        first.headers.remove("cache-status");
        for _ in 0..2 {
            let mut again = world.get(&address).await;
            assert_eq!(again.header("cache-status"), HIT, "{address}");
            again.headers.remove("cache-status");
            // The server adds it where it is not there yet.
            first.headers.remove("content-length");
            again.headers.remove("content-length");
            assert_eq!(again.headers, first.headers, "{address}");
            assert_eq!(again.body, first.body, "{address}");
        }
    }
}

async fn a_commit_makes_the_next_answer_new(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    for address in addresses_in(&world, &stored).await {
        let before = world.get(&address).await;
        assert_eq!(world.get(&address).await.header("cache-status"), HIT);
        stored.title = format!("retitled for {address}");
        store(&world.db, std::slice::from_ref(&stored), &[]).await;

        let after = world.get(&address).await;
        assert_eq!(after.header("cache-status"), MISS, "{address}");
        assert_ne!(after.header("etag"), before.header("etag"));
        assert_eq!(version(&after), version(&before) + 1);
        assert!(after.text().contains(&stored.title), "{address}");
        assert!(!before.text().contains(&stored.title), "{address}");
        let again = world.get(&address).await;
        assert_eq!(again.header("cache-status"), HIT);
        assert_eq!(again.header("etag"), after.header("etag"));
        assert_eq!(again.body, after.body);
    }
}

async fn until_a_commit_is_adopted_the_answer_before_it_is_whole(world: World) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    let kept = world.get("/v1/events/search").await;
    stored.title = "retitled".into();
    store(&world.db, std::slice::from_ref(&stored), &[]).await;

    let still = world.service.get("/v1/events/search").await;
    assert_eq!(still.header("cache-status"), HIT);
    assert_eq!(still.body, kept.body);
    for name in ["etag", "dataset-version"] {
        assert_eq!(still.header(name), kept.header(name), "{name}");
    }
    // What is asked for the first time is read as it is now, and says so.
    let new = world.service.get("/v1/events/search?limit=10").await;
    assert_eq!(version(&new), version(&kept) + 1);
    assert!(new.text().contains("retitled"), "{}", new.text());
    let again = world.service.get("/v1/events/search?limit=10").await;
    assert_eq!(again.header("cache-status"), HIT);
    assert_eq!(again.header("etag"), new.header("etag"));
    // Once the version is adopted, that answer is as good as ever.
    let adopted = world.get("/v1/events/search?limit=10").await;
    assert_eq!(adopted.header("cache-status"), HIT);
    assert_eq!(adopted.header("etag"), new.header("etag"));
}

/// Each answer's version is in its very events, so that an answer of one version under the name of
/// another would be seen.
async fn one_answer_is_never_older_than_another_one_before(world: World) {
    let addresses = [
        "/v1/events/search",
        "/v1/events/search?limit=1",
        "/v1/events/search?include=zones",
    ];
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    for number in 1..=12 {
        stored.title = format!("title {number}.");
        store(&world.db, std::slice::from_ref(&stored), &[]).await;
        // Some look before the commit is adopted, some after.
        let early = &addresses[number % addresses.len()];
        let answer = world.service.get(early).await;
        let expected = format!("title {}.", version(&answer));
        assert!(answer.text().contains(&expected), "{}", answer.text());
        for address in addresses {
            let answer = world.get(address).await;
            assert_eq!(version(&answer), i64::try_from(number).unwrap());
            assert!(answer.text().contains(&stored.title), "{}", answer.text());
        }
    }
}

async fn an_event_that_is_not_there_yet_is_kept_as_missing_until_it_comes(world: World) {
    let stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, &[event("2", "2021-06-30T19:00:00Z")], &[]).await;
    let address = format!("/v1/events/{}", id(&stored));
    for address in [address.clone(), format!("{address}/history")] {
        let missing = world.get(&address).await;
        missing.error(404, "no_such_event");
        assert_eq!(missing.header("cache-status"), MISS);
        assert!(!missing.headers.contains_key("etag"), "{missing:?}");
        let again = world.get(&address).await;
        again.error(404, "no_such_event");
        assert_eq!(again.header("cache-status"), HIT);
        assert_eq!(again.body, missing.body);
    }
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    for address in [address.clone(), format!("{address}/history")] {
        let found = world.get(&address).await;
        assert_eq!(found.status, 200, "{found:?}");
        assert_eq!(found.header("cache-status"), MISS);
    }
}

async fn a_new_epoch_makes_every_answer_new(world: World) {
    let stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    let addresses = &addresses(&stored)[..4];
    let mut before = Vec::new();
    for address in addresses {
        before.push(world.get(address).await);
        assert_eq!(world.get(address).await.header("cache-status"), HIT);
    }
    let epoch = entity::dataset::renew_epoch(&world.db.write).await.unwrap();
    for (address, before) in addresses.iter().zip(before) {
        let etag = before.header("etag");
        let after = world.get_with(address, &[("if-none-match", etag)]).await;
        assert_eq!(after.status, 200, "{address}");
        assert_eq!(after.header("cache-status"), MISS, "{address}");
        assert_eq!(after.header("dataset-version"), format!("{epoch}-1"));
        assert_ne!(after.header("etag"), etag);
        assert_eq!(after.body, before.body);
    }
}

async fn head_has_the_headers_of_get(world: World) {
    let many: Vec<Content> = (0..40)
        .map(|n| event(&n.to_string(), "2021-06-30T19:00:00Z"))
        .collect();
    store(&world.db, &many, &[]).await;
    let missing = format!("/v1/events/{}", Uuid::from_u128(1));
    let id = format!("/v1/events/{}", id(&many[0]));
    for address in [
        "/v1/events/search",
        "/v1/events/search?limit=7",
        &id,
        &missing,
    ] {
        for coding in ["identity", "br"] {
            let coding = [("accept-encoding", coding)];
            // First without the cache, then with it.
            let fresh = service(&world.db, Config::default());
            let first = fresh.send("HEAD", address, &coding).await;
            let got = fresh.send("GET", address, &coding).await;
            let again = fresh.send("HEAD", address, &coding).await;
            let length = got.body.len().to_string();
            for mut head in [first, again] {
                assert_eq!(head.status, got.status, "{address}");
                assert!(head.body.is_empty(), "{address}");
                assert_eq!(head.header("content-length"), length, "{address}");
                head.headers.remove("content-length");
                head.headers.remove("cache-status");
                let mut expected = got.headers.clone();
                expected.remove("content-length");
                expected.remove("cache-status");
                assert_eq!(head.headers, expected, "{address}");
            }
        }
    }
}

async fn caches_are_told_what_the_operator_chose(world: World) {
    let stored = event("1", "2021-06-30T19:00:00Z");
    store(&world.db, std::slice::from_ref(&stored), &[]).await;
    let seconds = std::time::Duration::from_secs;
    let cache_control = CacheControl {
        max_age: seconds(11),
        stale_while_revalidate: seconds(22),
        stale_if_error: seconds(33),
    };
    let config = Config {
        cache_control,
        ..Config::default()
    };
    let service = service(&world.db, config);
    let [search, provider, event, history, changes] = [
        "/v1/events/search".to_owned(),
        "/v1/events/search?provider=primary".to_owned(),
        format!("/v1/events/{}", id(&stored)),
        format!("/v1/events/{}/history", id(&stored)),
        addresses_in(&world, &stored).await[4].clone(),
    ];
    let of_event = format!("event-{}", id(&stored));
    for (address, tags) in [
        (search, vec!["fanfare", "search"]),
        (provider, vec!["fanfare", "search", "provider-primary"]),
        (event, vec!["fanfare", &of_event]),
        (history, vec!["fanfare", &of_event]),
        (changes, vec!["fanfare", "changes"]),
    ] {
        let first = service.get(&address).await;
        let condition = [("if-none-match", first.header("etag"))];
        let unchanged = service.send("GET", &address, &condition).await;
        assert_eq!(unchanged.status, 304, "{address}");
        let again = service.get(&address).await;
        for answer in [&first, &again, &unchanged] {
            assert_eq!(
                answer.header("cache-control"),
                "public, max-age=11, stale-while-revalidate=22, stale-if-error=33"
            );
            assert_eq!(answer.header("vary"), "accept-encoding");
            assert_eq!(answer.header("cache-tag"), tags.join(","), "{address}");
            assert_eq!(answer.header("surrogate-key"), tags.join(" "), "{address}");
        }
    }
}

async fn an_error_of_the_client_is_not_kept(world: World) {
    for address in [
        "/v1/events/search?starts_at=x",
        "/v1/events/search?limit=1&cursor=x",
        "/v1/events/1",
        "/v1/changes?since=x",
    ] {
        for _ in 0..2 {
            let refused = world.get(address).await;
            assert_eq!(refused.status, 400, "{address}");
            assert!(!refused.headers.contains_key("cache-status"), "{refused:?}");
            assert!(!refused.headers.contains_key("etag"), "{refused:?}");
            let told = refused.headers.get("cache-control");
            assert!(told.is_none_or(|told| told == "no-store"), "{refused:?}");
        }
    }
}

//! Feeds that have moved: where to, as far as their providers mean it.

use entity::run::Outcome;

use crate::feeds::{Answer, Feeds, base, feed};
use crate::on_both_databases;
use crate::world::{World, spec};

on_both_databases!(
    a_feed_that_has_moved_for_good_is_read_and_its_new_address_told,
    a_feed_that_is_elsewhere_for_now_has_not_moved,
    a_feed_that_moved_and_was_not_modified_has_moved_as_well,
    a_feed_that_is_not_found_where_it_moved_leaves_what_is_known,
    a_provider_with_the_new_address_is_told_nothing,
);

const NAME: &str = "acme";

/// A provider whose feed is at the second of two servers.
async fn moved(world: &World, status: u16) -> (Feeds, Feeds) {
    let there = Feeds::start(Answer::feed(feed(&base("1", "One"))).with("etag", "\"v1\"")).await;
    let here = Feeds::start(leads(status, &there)).await;
    world.add(NAME, &here.url).await;
    (here, there)
}

fn leads(status: u16, to: &Feeds) -> Answer {
    Answer::status(status).with("location", &to.url)
}

/// What the run told and what the provider's row says.
async fn sync(world: &World) -> (Outcome, Option<String>) {
    let (finish, _) = world.sync(NAME).await;
    let moved_to = world.provider(NAME).await.moved_to;
    if finish.outcome != Outcome::Failed {
        assert_eq!(moved_to, finish.moved_to);
    }
    (finish.outcome, moved_to)
}

async fn a_feed_that_has_moved_for_good_is_read_and_its_new_address_told(world: World) {
    for status in [301, 308] {
        let (here, there) = moved(&world, status).await;
        let expected = (Outcome::Stored, Some(there.url.clone()));
        assert_eq!(sync(&world).await, expected, "{status}");
        assert_eq!((here.asked().len(), there.asked().len()), (1, 1));
        assert_eq!(world.events(NAME).await.len(), 1);
        // Nobody changes the provider but its operator.
        assert_eq!(world.provider(NAME).await.url, here.url);
    }
}

async fn a_feed_that_is_elsewhere_for_now_has_not_moved(world: World) {
    for status in [302, 303, 307] {
        let (_here, there) = moved(&world, status).await;
        assert_eq!(sync(&world).await, (Outcome::Stored, None), "{status}");
        assert_eq!(there.asked().len(), 1);
    }
    // It was for good, and is no more.
    let (here, there) = moved(&world, 301).await;
    assert_eq!(sync(&world).await.1, Some(there.url.clone()));
    here.answer(leads(302, &there));
    assert_eq!(sync(&world).await, (Outcome::Unchanged, None));
}

async fn a_feed_that_moved_and_was_not_modified_has_moved_as_well(world: World) {
    let (here, there) = moved(&world, 302).await;
    assert_eq!(sync(&world).await, (Outcome::Stored, None));
    here.answer(leads(301, &there));
    there.answer(Answer::status(304));
    let expected = (Outcome::Unchanged, Some(there.url.clone()));
    assert_eq!(sync(&world).await, expected);
}

async fn a_feed_that_is_not_found_where_it_moved_leaves_what_is_known(world: World) {
    let (here, there) = moved(&world, 302).await;
    sync(&world).await;
    here.answer(leads(301, &there));
    there.answer(Answer::status(404));
    assert_eq!(sync(&world).await, (Outcome::Failed, None));
    there.answer(Answer::feed(feed("")));
    let moved_to = Some(there.url.clone());
    assert_eq!(sync(&world).await, (Outcome::Stored, moved_to.clone()));
    here.answer(Answer::status(500));
    assert_eq!(sync(&world).await, (Outcome::Failed, moved_to));
}

async fn a_provider_with_the_new_address_is_told_nothing(world: World) {
    let (here, there) = moved(&world, 301).await;
    sync(&world).await;
    world.apply(&spec(NAME, &there.url)).await;
    assert_eq!(world.provider(NAME).await.moved_to, None);
    // A run that began before the change tells of the old address.
    world.apply(&spec(NAME, &here.url)).await;
    let begun = world.begin(NAME).await;
    world.apply(&spec(NAME, &there.url)).await;
    worker::sync_provider(&world.tools, &begun).await.unwrap();
    assert_eq!(world.provider(NAME).await.moved_to, None);
    assert_eq!(sync(&world).await.1, None);
}

//! What is remembered of a feed, and when it is forgotten.

use axum::http::HeaderMap;
use entity::run::Outcome;

use crate::feeds::{Answer, Feeds, base, feed};
use crate::on_both_databases;
use crate::world::{World, spec};

on_both_databases!(
    validators_are_sent_as_they_came,
    the_same_body_without_validators_writes_nothing,
    another_body_of_the_same_meaning_writes_no_event,
    a_changed_address_forgets_the_validators_and_the_body,
    an_older_parsers_memory_is_forgotten,
    a_feed_that_failed_leaves_the_older_memory,
    not_modified_is_no_answer_to_a_question_without_condition,
);

const ETAG: &str = "W/\"v 1\"";
const MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

fn one_event() -> Answer {
    Answer::feed(feed(&base("1", "One")))
}

async fn serve(world: &World, answer: Answer) -> Feeds {
    let feeds = Feeds::start(answer).await;
    world.add("acme", &feeds.url).await;
    feeds
}

fn conditions(asked: &HeaderMap) -> (Option<&str>, Option<&str>) {
    let header = |name| asked.get(name).map(|value| value.to_str().unwrap());
    (header("if-none-match"), header("if-modified-since"))
}

async fn outcome(world: &World) -> Outcome {
    world.sync("acme").await.0.outcome
}

async fn validators_are_sent_as_they_came(world: World) {
    let answer = one_event()
        .with("etag", ETAG)
        .with("last-modified", MODIFIED);
    let feeds = serve(&world, answer).await;
    assert_eq!(outcome(&world).await, Outcome::Stored);
    feeds.answer(Answer::status(304));
    assert_eq!(outcome(&world).await, Outcome::Unchanged);
    // A 304 says nothing new, so the memory stands.
    assert_eq!(outcome(&world).await, Outcome::Unchanged);
    let asked = feeds.asked();
    assert_eq!(conditions(&asked[0]), (None, None));
    assert_eq!(conditions(&asked[1]), (Some(ETAG), Some(MODIFIED)));
    assert_eq!(conditions(&asked[2]), (Some(ETAG), Some(MODIFIED)));
}

async fn the_same_body_without_validators_writes_nothing(world: World) {
    let feeds = serve(&world, one_event()).await;
    world.sync("acme").await;
    let before = world.stored("acme").await;
    let (finish, run) = world.sync("acme").await;
    assert_eq!(finish.outcome, Outcome::Unchanged);
    assert_eq!((run.http_status, run.parse_ms), (Some(200), None));
    assert_eq!(world.stored("acme").await, before);
    assert_eq!(conditions(&feeds.asked()[1]), (None, None));
}

async fn another_body_of_the_same_meaning_writes_no_event(world: World) {
    let feeds = serve(&world, one_event()).await;
    world.sync("acme").await;
    let before = world.stored("acme").await;
    feeds.answer(Answer::feed(feed(&format!(
        "<!-- later -->\n{}",
        base("1", "One")
    ))));
    let (finish, run) = world.sync("acme").await;
    assert_eq!(finish.outcome, Outcome::Stored);
    assert_eq!((run.events_unchanged, run.events_changed), (1, 0));
    assert_eq!(world.stored("acme").await, before);
}

async fn a_changed_address_forgets_the_validators_and_the_body(world: World) {
    let answer = one_event()
        .with("etag", ETAG)
        .with("last-modified", MODIFIED);
    let feeds = serve(&world, answer).await;
    world.sync("acme").await;
    let mut changed = spec("acme", &format!("{}?tenant=2", feeds.url));
    changed.timezone = "Asia/Tokyo".to_owned();
    world.apply(&changed).await;
    // The same body means something else in another zone.
    let (finish, _) = world.sync("acme").await;
    assert_eq!(finish.outcome, Outcome::Stored);
    assert_eq!(finish.counts.changed, 1);
    assert_eq!(conditions(&feeds.asked()[1]), (None, None));
    let starts_at = world.events("acme").await[0].starts_at;
    assert_eq!(starts_at.to_rfc3339(), "2021-06-30T12:00:00+00:00");
    world.sync("acme").await;
    assert_eq!(conditions(&feeds.asked()[2]), (Some(ETAG), Some(MODIFIED)));
}

async fn an_older_parsers_memory_is_forgotten(world: World) {
    let feeds = serve(&world, one_event().with("etag", ETAG)).await;
    world.sync("acme").await;
    world
        .execute("UPDATE provider SET memory_parser = memory_parser - 1")
        .await;
    let (finish, _) = world.sync("acme").await;
    assert_eq!(finish.outcome, Outcome::Stored, "it is read again");
    assert_eq!(conditions(&feeds.asked()[1]), (None, None));
    let revision = i64::from(worker::format::PARSER_REVISION);
    assert_eq!(world.provider("acme").await.memory_parser, Some(revision));
}

async fn a_feed_that_failed_leaves_the_older_memory(world: World) {
    let feeds = serve(&world, one_event().with("etag", ETAG)).await;
    world.sync("acme").await;
    feeds.answer(Answer::feed("<planList>").with("etag", "\"broken\""));
    assert_eq!(outcome(&world).await, Outcome::Failed);
    assert_eq!(outcome(&world).await, Outcome::Failed);
    assert_eq!(conditions(&feeds.asked()[2]), (Some(ETAG), None));
}

/// A first visit must not pass for a success that has stored nothing.
async fn not_modified_is_no_answer_to_a_question_without_condition(world: World) {
    let feeds = serve(&world, Answer::status(304)).await;
    let (finish, run) = world.sync("acme").await;
    assert_eq!(conditions(&feeds.asked()[0]), (None, None));
    assert_eq!(finish.outcome, Outcome::Failed);
    assert_eq!(run.http_status, Some(304));
    assert!(finish.error.unwrap().contains("304"));
    assert_eq!(world.provider("acme").await.last_success_at, None);
}

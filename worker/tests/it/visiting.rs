//! When a provider is visited next, as it stands in the database after a run.

use std::time::Duration;

use chrono::TimeDelta;
use entity::commit::Finish;
use entity::run::{Model, Outcome};
use simulator::Behavior;

use crate::feeds::{Answer, Feeds, upcoming_feed};
use crate::on_both_databases;
use crate::truth::{Simulated, start};
use crate::world::{World, spec};

on_both_databases!(
    a_good_run_is_followed_by_the_next_slot,
    connection_failures_come_again_soon_before_they_count,
    other_failures_back_off_and_a_success_clears_them,
    retry_after_rules_where_it_is_given,
    a_feed_that_says_how_long_it_is_fresh_is_left_for_as_long,
    a_feed_that_was_not_modified_says_so_again,
    a_feed_cannot_put_its_visits_off_for_longer_than_its_operator_allows,
    a_held_feed_has_no_say_in_when_it_is_visited,
);

const NAME: &str = "provider-0001";

async fn simulated(world: &World) -> Simulated {
    let simulated = start(20);
    simulated.add_all(world).await;
    simulated
}

/// How many whole seconds after the run the next visit is, give or take the time that the run took.
async fn wait(world: &World, (finish, run): &(Finish, Model)) -> i64 {
    let provider = world.provider(NAME).await;
    assert!((provider.next_due_at - finish.next_due_at).abs() <= TimeDelta::milliseconds(1));
    assert_eq!(provider.consecutive_failures, finish.consecutive_failures);
    assert_eq!(provider.transient_failures, finish.transient_failures);
    let took = run.finished_at.unwrap() - run.started_at.unwrap();
    let wait = finish.next_due_at - run.started_at.unwrap();
    assert!(took < TimeDelta::seconds(5), "{took}");
    wait.num_seconds()
}

async fn a_good_run_is_followed_by_the_next_slot(world: World) {
    let simulated = simulated(&world).await;
    let first = world.sync(NAME).await;
    let seconds = wait(&world, &first).await;
    assert!((450..=1355).contains(&seconds), "{seconds}");
    // A run that finds nothing new aims at the same slot.
    let second = world.sync(NAME).await;
    let apart = second.0.next_due_at - first.0.next_due_at;
    assert_eq!(apart.num_milliseconds() % 900_000, 0, "{apart}");
    assert_eq!(simulated.simulator.stats().providers[NAME].requests, 2);
}

async fn connection_failures_come_again_soon_before_they_count(world: World) {
    let simulated = simulated(&world).await;
    let url = simulated.simulator.feed_url(NAME);
    let down = format!("http://127.0.0.1:{}/feed", testkit::free_port());
    let to = async |url: &str| {
        world
            .execute(&format!("UPDATE provider SET url = '{url}'"))
            .await
    };
    to(&down).await;
    for (number, seconds) in [(1, 5), (2, 15), (3, 45)] {
        let failed = world.sync(NAME).await;
        let waited = wait(&world, &failed).await;
        assert!((seconds..seconds + 5).contains(&waited), "{waited}");
        let failed = (failed.0.transient_failures, failed.0.consecutive_failures);
        assert_eq!(failed, (number, 0));
    }
    let counted = world.sync(NAME).await;
    assert!((54..=71).contains(&wait(&world, &counted).await));
    assert_eq!(
        (counted.0.transient_failures, counted.0.consecutive_failures),
        (0, 1)
    );
    to(&url).await;
    let well = world.sync(NAME).await;
    assert_eq!(
        (well.0.transient_failures, well.0.consecutive_failures),
        (0, 0)
    );
}

async fn other_failures_back_off_and_a_success_clears_them(world: World) {
    let simulated = simulated(&world).await;
    simulated.behave(NAME, Behavior::FailTimes { times: 3 });
    // With a tenth of jitter to either side.
    for (failures, seconds) in [(1, 54..=71), (2, 108..=137), (3, 216..=269)] {
        let failed = world.sync(NAME).await;
        let waited = wait(&world, &failed).await;
        assert!(seconds.contains(&waited), "{waited}");
        assert_eq!(failed.0.consecutive_failures, failures);
        assert_eq!(failed.0.left_alone, None);
    }
    let well = world.sync(NAME).await;
    assert_eq!(well.0.consecutive_failures, 0);
    assert!((450..=1355).contains(&wait(&world, &well).await));
}

async fn retry_after_rules_where_it_is_given(world: World) {
    let simulated = simulated(&world).await;
    for behavior in [
        Behavior::TooManyRequests { retry_after: 300 },
        Behavior::Unavailable {
            retry_after: Some(300),
        },
    ] {
        simulated.behave(NAME, behavior);
        let failed = world.sync(NAME).await;
        let waited = wait(&world, &failed).await;
        assert!((300..306).contains(&waited), "{waited}");
        assert_eq!(failed.0.left_alone.unwrap().as_secs(), 300);
    }
    let dated = Answer::status(503)
        .with("date", "Thu, 01 Jan 2026 10:00:00 GMT")
        .with("retry-after", "Thu, 01 Jan 2026 10:10:00 GMT");
    let feeds = Feeds::start(dated).await;
    world
        .execute(&format!("UPDATE provider SET url = '{}'", feeds.url))
        .await;
    let failed = world.sync(NAME).await;
    let waited = wait(&world, &failed).await;
    assert!((600..606).contains(&waited), "{waited}");
    assert_eq!(failed.0.consecutive_failures, 3);
}

/// What a visit that nothing has put off keeps to.
const USUAL: std::ops::RangeInclusive<i64> = 450..=1355;

fn feed() -> Answer {
    Answer::feed(upcoming_feed(0..30)).with("etag", "\"v1\"")
}

async fn serve(world: &World, most: u64) -> Feeds {
    let feeds = Feeds::start(feed()).await;
    let mut spec = spec(NAME, &feeds.url);
    spec.max_interval = Some(Duration::from_secs(most));
    world.apply(&spec).await;
    feeds
}

async fn waits(world: &World, feeds: &Feeds, answer: Answer, outcome: Outcome) -> i64 {
    feeds.answer(answer);
    let ended = world.sync(NAME).await;
    assert_eq!(ended.0.outcome, outcome, "{:?}", ended.0.error);
    wait(world, &ended).await
}

async fn a_feed_that_says_how_long_it_is_fresh_is_left_for_as_long(world: World) {
    let feeds = serve(&world, 86_400).await;
    let date = "Thu, 01 Jan 2026 10:00:00 GMT";
    for (answer, least) in [
        (feed().with("cache-control", "max-age=7200"), 7200),
        (
            feed()
                .with("date", date)
                .with("expires", "Thu, 01 Jan 2026 12:00:00 GMT"),
            7200,
        ),
        (feed().with("retry-after", "7200"), 7200),
        (
            feed()
                .with("cache-control", "max-age=60")
                .with("retry-after", "7200"),
            7200,
        ),
        (
            feed()
                .with("cache-control", "max-age=9000")
                .with("age", "1800"),
            7200,
        ),
    ] {
        let told = format!("{answer:?}");
        world
            .execute("UPDATE provider SET body_digest = NULL")
            .await;
        let waited = waits(&world, &feeds, answer, Outcome::Stored).await;
        // The first slot from there on.
        assert!((least..=least + 905).contains(&waited), "{waited}: {told}");
    }
    for answer in [
        feed(),
        feed().with("cache-control", "max-age=60"),
        feed().with("cache-control", "no-store, max-age=7200"),
    ] {
        world
            .execute("UPDATE provider SET body_digest = NULL")
            .await;
        let waited = waits(&world, &feeds, answer, Outcome::Stored).await;
        assert!(USUAL.contains(&waited), "{waited}");
    }
}

async fn a_feed_that_was_not_modified_says_so_again(world: World) {
    let feeds = serve(&world, 86_400).await;
    let waited = waits(&world, &feeds, feed(), Outcome::Stored).await;
    assert!(USUAL.contains(&waited), "{waited}");
    for (name, value) in [("cache-control", "max-age=7200"), ("retry-after", "7200")] {
        for answer in [Answer::status(304), feed()] {
            let answer = answer.with(name, value);
            let waited = waits(&world, &feeds, answer, Outcome::Unchanged).await;
            assert!((7200..=8105).contains(&waited), "{waited}: {name}");
        }
    }
    let waited = waits(&world, &feeds, Answer::status(304), Outcome::Unchanged).await;
    assert!(USUAL.contains(&waited), "{waited}");
}

async fn a_feed_cannot_put_its_visits_off_for_longer_than_its_operator_allows(world: World) {
    let feeds = serve(&world, 5000).await;
    for (name, value) in [
        ("cache-control", "max-age=999999999999"),
        ("retry-after", "18446744073709551615"),
    ] {
        let answer = feed().with(name, value);
        world
            .execute("UPDATE provider SET body_digest = NULL")
            .await;
        let waited = waits(&world, &feeds, answer, Outcome::Stored).await;
        assert!((4995..=5005).contains(&waited), "{waited}: {name}");
    }
}

async fn a_held_feed_has_no_say_in_when_it_is_visited(world: World) {
    let feeds = serve(&world, 86_400).await;
    waits(&world, &feeds, feed(), Outcome::Stored).await;
    let half = || {
        Answer::feed(upcoming_feed(0..5))
            .with("cache-control", "max-age=7200")
            .with("retry-after", "7200")
    };
    for _ in 0..2 {
        let waited = waits(&world, &feeds, half(), Outcome::Stored).await;
        assert_eq!(world.provider(NAME).await.events_held, 25);
        assert!(USUAL.contains(&waited), "{waited}");
    }
}

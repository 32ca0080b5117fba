//! Feeds that cannot be had or read: nothing is stored, nothing is gone, and the reason is told.

use std::time::Duration;

use entity::commit::Finish;
use entity::run::Outcome;
use simulator::Behavior;
use worker::fetch::Limits;

use crate::on_both_databases;
use crate::truth::{Simulated, start};
use crate::world::{World, spec};

on_both_databases!(
    a_feed_that_is_refused_changes_nothing,
    a_feed_that_cannot_be_read_changes_nothing,
    an_endless_feed_is_cut_at_the_limit,
    a_provider_that_hangs_is_left_after_the_idle_time,
    a_provider_that_drips_for_too_long_is_left_after_its_timeout,
    a_slow_body_that_keeps_coming_is_read,
    a_provider_that_is_down_is_told_as_such,
    settings_that_make_no_sense_fail_the_run_alone,
);

const NAME: &str = "provider-0001";

/// A provider with a stored feed, whose next round is ready.
async fn stored(world: &World) -> Simulated {
    let simulated = start(40);
    simulated.add_all(world).await;
    world.sync(NAME).await;
    simulated.simulator.advance();
    simulated
}

/// Syncs, and checks that nothing came of it but the record of the failure.
async fn fails(world: &World, what: &str) -> Finish {
    let before = world.stored(NAME).await;
    let provider = world.provider(NAME).await;
    let (finish, run) = world.sync(NAME).await;
    assert_eq!(finish.outcome, Outcome::Failed, "{what}");
    assert_eq!(run.outcome, Some(Outcome::Failed), "{what}");
    assert_eq!(run.error, finish.error, "{what}");
    assert!(finish.error.is_some(), "{what}");
    let after = world.provider(NAME).await;
    assert_eq!(after.last_error, finish.error, "{what}");
    assert_eq!(after.last_success_at, provider.last_success_at, "{what}");
    assert_eq!(after.etag, provider.etag, "{what}");
    assert_eq!(after.last_modified, provider.last_modified, "{what}");
    assert_eq!(after.body_digest, provider.body_digest, "{what}");
    assert_eq!(after.consecutive_crashes, 0, "{what}");
    assert!(world.stored(NAME).await == before, "{what} changed events");
    assert!(world.changes(run.id).await.is_empty(), "{what}");
    finish
}

async fn each_fails(world: &World, cases: &[(Behavior, Option<u16>, &str)]) {
    let simulated = stored(world).await;
    for (behavior, status, message) in cases {
        simulated.behave(NAME, behavior.clone());
        let what = format!("{behavior:?}");
        let finish = fails(world, &what).await;
        let error = finish.error.unwrap();
        assert!(error.contains(message), "{what}: {error}");
        assert_eq!(finish.http_status, *status, "{what}");
    }
    simulated.behave(NAME, Behavior::Normal);
    let (finish, _) = world.sync(NAME).await;
    assert_eq!(finish.outcome, Outcome::Stored);
    simulated.holds(world, NAME, &[0, 1]).await;
    let provider = world.provider(NAME).await;
    assert_eq!(
        (provider.consecutive_failures, provider.last_error),
        (0, None)
    );
}

async fn a_feed_that_is_refused_changes_nothing(world: World) {
    let elsewhere = Behavior::Redirect {
        to: "/nowhere".to_owned(),
    };
    let cases = [
        (
            Behavior::Status { code: 404 },
            Some(404),
            "status 404: there is no feed at this address",
        ),
        (
            Behavior::Status { code: 403 },
            Some(403),
            "status 403: it wants other credentials",
        ),
        (
            Behavior::ServerError,
            Some(500),
            "status 500: it is in trouble itself",
        ),
        (
            Behavior::TooManyRequests { retry_after: 1 },
            Some(429),
            "status 429: it is asked too often",
        ),
        (
            Behavior::Unavailable { retry_after: None },
            Some(503),
            "status 503",
        ),
        (
            Behavior::RedirectLoop,
            None,
            "redirect refused: it leads in a circle",
        ),
        (elsewhere, Some(404), "status 404"),
    ];
    each_fails(&world, &cases).await;
}

async fn a_feed_that_cannot_be_read_changes_nothing(world: World) {
    let cases = [
        (Behavior::Truncated, None, "the body broke off"),
        (
            Behavior::CutDocument,
            Some(200),
            "attribute value not closed",
        ),
        (Behavior::NotXml, Some(200), "root"),
        (Behavior::Malformed, Some(200), "not well-formed at line"),
        (
            Behavior::WrongRoot,
            Some(200),
            "expected `planList` or `eventList`",
        ),
        (
            Behavior::Status { code: 204 },
            Some(204),
            "the feed is empty",
        ),
    ];
    each_fails(&world, &cases).await;
}

async fn an_endless_feed_is_cut_at_the_limit(mut world: World) {
    let simulated = stored(&world).await;
    simulated.behave(NAME, Behavior::Endless);
    world.limit(Limits {
        body: 300_000,
        ..Limits::default()
    });
    let finish = fails(&world, "endless").await;
    assert_eq!(
        finish.error.as_deref(),
        Some("the body exceeds the limit of 300000 bytes")
    );
    // The connection is given up, not read to the end.
    testkit::eventually(crate::world::PATIENCE, "it is left", async || {
        simulated.under_way(NAME) == 0
    })
    .await;
}

async fn a_provider_that_hangs_is_left_after_the_idle_time(mut world: World) {
    let simulated = stored(&world).await;
    world.limit(Limits {
        first_byte: Duration::from_millis(150),
        idle: Duration::from_millis(150),
        ..Limits::default()
    });
    simulated.behave(NAME, Behavior::Hang);
    let finish = fails(&world, "hang").await;
    assert_eq!(
        finish.error.as_deref(),
        Some("the provider did not begin to answer within 150ms")
    );
    simulated.behave(
        NAME,
        Behavior::SlowBody {
            bytes_per_second: 1,
        },
    );
    let finish = fails(&world, "silence amid a body").await;
    assert_eq!(
        finish.error.as_deref(),
        Some("the provider sent nothing for 150ms")
    );
}

async fn a_provider_that_drips_for_too_long_is_left_after_its_timeout(world: World) {
    let simulated = stored(&world).await;
    world.execute("UPDATE provider SET timeout_ms = 500").await;
    simulated.behave(
        NAME,
        Behavior::SlowBody {
            bytes_per_second: 100,
        },
    );
    let finish = fails(&world, "drip").await;
    assert_eq!(
        finish.error.as_deref(),
        Some("the fetch took longer than the provider's timeout of 500ms")
    );
}

async fn a_slow_body_that_keeps_coming_is_read(mut world: World) {
    let simulated = start(5);
    simulated.add_all(&world).await;
    world.limit(Limits {
        idle: Duration::from_secs(1),
        ..Limits::default()
    });
    // In all longer than may pass between two pieces of it.
    let bytes_per_second = 500;
    simulated.behave(NAME, Behavior::SlowBody { bytes_per_second });
    let (finish, run) = world.sync(NAME).await;
    assert_eq!(finish.outcome, Outcome::Stored, "{:?}", finish.error);
    assert!(run.fetch_ms > Some(1000), "{:?}", run.fetch_ms);
    simulated.holds(&world, NAME, &[0]).await;
}

async fn a_provider_that_is_down_is_told_as_such(world: World) {
    let simulated = stored(&world).await;
    drop(simulated);
    let port = testkit::free_port();
    let sql = format!("UPDATE provider SET url = 'http://127.0.0.1:{port}/feed'");
    world.execute(&sql).await;
    let finish = fails(&world, "down").await;
    let error = finish.error.unwrap();
    assert!(
        error.starts_with("can't connect to the provider: "),
        "{error}"
    );
    assert!(error.contains("Connection refused"), "{error}");
    assert_eq!(finish.http_status, None);

    world
        .execute("UPDATE provider SET url = 'http://nowhere.invalid/feed'")
        .await;
    let error = fails(&world, "no such host").await.error.unwrap();
    assert!(
        error.starts_with("can't connect to the provider: "),
        "{error}"
    );
}

async fn settings_that_make_no_sense_fail_the_run_alone(world: World) {
    let _simulated = stored(&world).await;
    for (column, value, message) in [
        (
            "timezone",
            "Europe/Atlantis",
            "there is no time zone `Europe/Atlantis`",
        ),
        (
            "format",
            "ical",
            "unknown format `ical`, expected one of: plan-list",
        ),
    ] {
        let before = spec(NAME, "http://127.0.0.1:1/");
        let sql = format!("UPDATE provider SET {column} = '{value}'");
        world.execute(&sql).await;
        let error = fails(&world, column).await.error.unwrap();
        assert!(error.contains(message), "{error}");
        let sql = format!(
            "UPDATE provider SET timezone = '{}', format = '{}'",
            before.timezone, before.format
        );
        world.execute(&sql).await;
    }
}

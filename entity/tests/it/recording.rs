//! What a run and its provider record of an end.

use std::time::Duration;

use entity::commit::{Changes, Committed, Counts, Durations, Finish, Memory, Remember, commit};
use entity::run;
use entity::run::Outcome;

use crate::on_both_databases;
use crate::world::{World, finish, spec};

on_both_databases!(
    the_run_and_its_provider_record_the_end,
    a_failure_is_recorded_and_keeps_the_memory_of_the_feed,
);

async fn the_run_and_its_provider_record_the_end(world: World) {
    world.add(&["acme"]).await;
    world
        .execute(
            "UPDATE provider SET consecutive_crashes = 2, last_error = 'x'",
            vec![],
        )
        .await;
    let begun = world.begun("acme").await;
    let memory = Memory {
        etag: Some("\"ß-1\"".to_owned()),
        last_modified: Some("Thu, 01 Jan 2026 00:00:00 GMT".to_owned()),
        body_digest: vec![0, 255, 7],
        parser: 3,
    };
    let finish = Finish {
        counts: Counts {
            new: 1,
            changed: 2,
            unchanged: 3,
            gone: 4,
            returned: 5,
            held: 6,
            set_aside: 7,
            warnings: 8,
        },
        durations: Durations {
            fetch: Some(Duration::from_millis(11)),
            parse: Some(Duration::from_millis(12)),
            compare: Some(Duration::from_millis(13)),
        },
        remember: Remember::Replace(memory),
        ..finish(&begun)
    };
    let committed = commit(&world.db, &begun.held, &finish, &Changes::default()).await;
    assert_eq!(committed.unwrap(), Committed::Yes(None));

    let run = world.run(begun.held.run).await;
    assert_eq!(
        (run.state, run.outcome),
        (run::State::Finished, Some(Outcome::Stored))
    );
    assert!(run.finished_at.unwrap() >= begun.at);
    assert_eq!(run.lease_until, None);
    assert_eq!((run.http_status, run.bytes), (Some(200), Some(1234)));
    let counts = [
        run.events_new,
        run.events_changed,
        run.events_unchanged,
        run.events_gone,
    ];
    assert_eq!(counts, [1, 2, 3, 4]);
    let counts = [
        run.events_returned,
        run.events_held,
        run.set_aside,
        run.warnings,
    ];
    assert_eq!(counts, [5, 6, 7, 8]);
    let durations = [run.fetch_ms, run.parse_ms, run.compare_ms];
    assert_eq!(durations, [Some(11), Some(12), Some(13)]);
    assert!(run.store_ms.is_some(), "the commit takes its own time");

    let provider = world.provider("acme").await;
    assert_eq!(
        (provider.current_run, provider.token),
        (None, begun.held.token)
    );
    // A database that keeps milliseconds is as good here.
    let off = provider.next_due_at - finish.next_due_at;
    assert!(off.num_milliseconds().abs() <= 1, "{off}");
    let late = provider.late_at - (provider.next_due_at + spec("").interval);
    assert!(late.num_milliseconds().abs() <= 1, "{late}");
    assert_eq!(provider.etag.as_deref(), Some("\"ß-1\""));
    assert_eq!(
        provider.last_modified.as_deref(),
        Some("Thu, 01 Jan 2026 00:00:00 GMT")
    );
    assert_eq!(provider.body_digest, Some(vec![0, 255, 7]));
    assert_eq!(
        (provider.memory_revision, provider.memory_parser),
        (Some(1), Some(3))
    );
    assert_eq!(
        (provider.consecutive_crashes, provider.last_error),
        (0, None)
    );
    assert!(provider.last_success_at.unwrap() >= begun.at);
}

async fn a_failure_is_recorded_and_keeps_the_memory_of_the_feed(world: World) {
    world.add(&["acme"]).await;
    world
        .execute(
            "UPDATE provider SET etag = 'old', consecutive_crashes = 1",
            vec![],
        )
        .await;
    let begun = world.begun("acme").await;
    let finish = Finish {
        outcome: Outcome::Failed,
        error: Some("größer als erlaubt".to_owned()),
        http_status: None,
        bytes: None,
        transient_failures: 2,
        consecutive_failures: 5,
        ..finish(&begun)
    };
    commit(&world.db, &begun.held, &finish, &Changes::default())
        .await
        .unwrap();
    let run = world.run(begun.held.run).await;
    assert_eq!(run.outcome, Some(Outcome::Failed));
    assert_eq!(run.error.as_deref(), Some("größer als erlaubt"));
    assert_eq!((run.http_status, run.bytes), (None, None));
    let provider = world.provider("acme").await;
    assert_eq!(provider.last_error.as_deref(), Some("größer als erlaubt"));
    assert_eq!(
        (provider.transient_failures, provider.consecutive_failures),
        (2, 5)
    );
    // It did not crash its worker, whatever it did.
    assert_eq!(provider.consecutive_crashes, 0);
    assert_eq!(
        (provider.last_success_at, provider.etag),
        (None, Some("old".to_owned()))
    );
}

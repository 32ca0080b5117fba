//! What a run and its provider record of an end.

use std::time::Duration;

use entity::commit::{Changes, Committed, Counts, Durations, Finish, Memory, Remember, commit};
use entity::run::Outcome;
use entity::{provider, run};

use crate::on_both_databases;
use crate::world::{World, finish, spec};

on_both_databases!(
    the_run_and_its_provider_record_the_end,
    a_failure_is_recorded_and_keeps_the_memory_of_the_feed,
    a_memory_can_be_forgotten,
    where_a_feed_has_moved_is_what_its_last_success_said,
    a_move_that_was_told_of_former_settings_is_not_noted,
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
            set_aside_reasons: [("bad_day".to_owned(), 4), ("no_title".to_owned(), 3)].into(),
            warnings: 8,
            warning_reasons: [("bad_sale".to_owned(), 8)].into(),
        },
        durations: Durations {
            fetch: Some(Duration::from_millis(11)),
            parse: Some(Duration::from_millis(12)),
            compare: Some(Duration::from_millis(13)),
            store: None,
        },
        wire_bytes: Some(321),
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
    assert_eq!(run.wire_bytes, Some(321));
    let reasons = [run.set_aside_reasons, run.warning_reasons];
    assert_eq!(
        reasons.map(|reasons| reasons.unwrap().to_string()),
        [r#"{"bad_day":4,"no_title":3}"#, r#"{"bad_sale":8}"#]
    );
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
    assert_eq!(run.wire_bytes, None);
    assert_eq!((run.set_aside_reasons, run.warning_reasons), (None, None));
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

async fn end(world: &World, with: impl FnOnce(Finish) -> Finish) -> provider::Model {
    let begun = world.begun("acme").await;
    let finish = with(finish(&begun));
    let committed = commit(&world.db, &begun.held, &finish, &Changes::default()).await;
    assert_eq!(committed.unwrap(), Committed::Yes(None));
    world.provider("acme").await
}

async fn a_memory_can_be_forgotten(world: World) {
    world.add(&["acme"]).await;
    let memory = Memory {
        etag: Some("1".to_owned()),
        last_modified: Some("2".to_owned()),
        body_digest: vec![3],
        parser: 4,
    };
    let remembering = |finish| Finish {
        remember: Remember::Replace(memory),
        ..finish
    };
    let of = |model: provider::Model| {
        let parts = (model.etag, model.last_modified, model.body_digest);
        (parts, model.memory_parser, model.memory_revision)
    };
    let remembered = of(end(&world, remembering).await);
    assert!(remembered.0.0.is_some() && remembered.1.is_some() && remembered.2.is_some());
    let kept = end(&world, |finish| finish).await;
    assert_eq!(of(kept), remembered);
    let forgetting = |finish| Finish {
        remember: Remember::Forget,
        ..finish
    };
    let forgotten = end(&world, forgetting).await;
    assert_eq!(of(forgotten), ((None, None, None), None, None));
}

async fn where_a_feed_has_moved_is_what_its_last_success_said(world: World) {
    const THERE: &str = "https://there.example/feed";
    let moved = |outcome| {
        move |finish| Finish {
            outcome,
            moved_to: Some(THERE.to_owned()),
            ..finish
        }
    };
    let ended = |outcome| move |finish| Finish { outcome, ..finish };
    world.add(&["acme"]).await;
    assert_eq!(world.provider("acme").await.moved_to, None);
    for outcome in [Outcome::Stored, Outcome::Unchanged] {
        let provider = end(&world, moved(outcome)).await;
        assert_eq!(provider.moved_to.as_deref(), Some(THERE));
        let provider = end(&world, ended(Outcome::Failed)).await;
        assert_eq!(provider.moved_to.as_deref(), Some(THERE));
        let provider = end(&world, ended(outcome)).await;
        assert_eq!(provider.moved_to, None);
    }
    let provider = end(&world, moved(Outcome::Failed)).await;
    assert_eq!(provider.moved_to, None, "a failure's word is no proof");

    end(&world, moved(Outcome::Stored)).await;
    let mut there = spec("acme");
    there.url = THERE.parse().unwrap();
    provider::apply(&world.db, &[there], false, false)
        .await
        .unwrap();
    assert_eq!(world.provider("acme").await.moved_to, None);
}

async fn a_move_that_was_told_of_former_settings_is_not_noted(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let mut there = spec("acme");
    there.url = "https://there.example/feed".parse().unwrap();
    let moved_to = Some(there.url.to_string());
    provider::apply(&world.db, &[there], false, false)
        .await
        .unwrap();
    let finish = Finish {
        moved_to,
        ..finish(&begun)
    };
    commit(&world.db, &begun.held, &finish, &Changes::default())
        .await
        .unwrap();
    assert_eq!(world.provider("acme").await.moved_to, None);
}

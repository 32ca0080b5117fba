//! Runs whose worker gave no sign of life.

use entity::claim::{MOST_CRASHES, Reaped, reap};
use entity::commit::Changes;
use entity::lease::renew;
use entity::run::Outcome;
use entity::{fan_out, run};
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::{LEASE, WORKER, World};

on_both_databases!(
    a_lost_run_is_taken_over_at_once,
    a_fan_out_closes_only_after_the_takeover,
    the_third_crash_in_a_row_pauses_with_the_reason,
    a_run_that_ends_clears_the_crashes,
    a_lease_that_was_renewed_or_has_time_left_is_not_reaped,
    a_queued_run_is_never_reaped,
    only_as_many_as_the_limit_are_reaped_the_oldest_first,
);

const MINUTE_MS: i64 = 60_000;

async fn a_lost_run_is_taken_over_at_once(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world
        .execute("UPDATE run SET traceparent = '00-trace'", vec![])
        .await;
    world.expire(begun.held.run).await;
    let reaped = reap(&world.db, 10).await.unwrap();

    assert_eq!(reaped.lost.len(), 1);
    let lost = &reaped.lost[0];
    assert_eq!((lost.id, lost.provider.as_str()), (begun.held.run, "acme"));
    assert_eq!((lost.worker.as_deref(), lost.crashes), (Some(WORKER), 1));
    let run = world.run(begun.held.run).await;
    assert_eq!(
        (run.state, run.outcome),
        (run::State::Finished, Some(Outcome::Lost))
    );
    assert!(run.finished_at.is_some() && run.error.is_some());

    assert_eq!(reaped.takeovers.len(), 1);
    assert_eq!(reaped.takeovers[0].traceparent.as_deref(), Some("00-trace"));
    let takeover = world.run(reaped.takeovers[0].id).await;
    assert_eq!(
        (takeover.state, takeover.outcome),
        (run::State::Queued, None)
    );
    let provider = world.provider("acme").await;
    assert_eq!(provider.current_run, Some(takeover.id));
    assert!(takeover.token > begun.held.token);
    assert_eq!(provider.token, takeover.token);
    assert_eq!(provider.consecutive_crashes, 1);
    assert_eq!(provider.consecutive_failures, 0);
    assert!(world.begin(takeover.id).await.is_some());
}

async fn a_fan_out_closes_only_after_the_takeover(world: World) {
    world.add(&["acme"]).await;
    let fan_out = Uuid::now_v7();
    let first = world.claim_for(fan_out, 10).await[0];
    fan_out::seal(&world.db, fan_out).await.unwrap();
    world.begin(first).await.unwrap();
    world.expire(first).await;
    reap(&world.db, 10).await.unwrap();

    assert_eq!(
        fan_out::close_finished(&world.db, MINUTE_MS)
            .await
            .unwrap()
            .len(),
        0
    );
    let progress = async || {
        let progress = fan_out::progress(&world.db.read, fan_out).await.unwrap();
        progress.unwrap()
    };
    let now = progress().await;
    assert_eq!((now.open, now.lost, now.closed), (1, 1, false));
    let takeover = world.begun("acme").await;
    world.commit(&takeover, &Changes::default()).await;
    assert_eq!(
        fan_out::close_finished(&world.db, MINUTE_MS)
            .await
            .unwrap()
            .len(),
        1
    );
    let now = progress().await;
    assert_eq!(
        (now.open, now.succeeded, now.lost, now.closed),
        (0, 1, 1, true)
    );
}

async fn crash(world: &World) -> Reaped {
    let begun = world.begun("acme").await;
    world.expire(begun.held.run).await;
    reap(&world.db, 10).await.unwrap()
}

async fn the_third_crash_in_a_row_pauses_with_the_reason(world: World) {
    world.add(&["acme"]).await;
    for crashes in 1..MOST_CRASHES {
        let reaped = crash(&world).await;
        assert_eq!(
            (reaped.lost[0].crashes, reaped.takeovers.len()),
            (crashes, 1)
        );
        assert_eq!(world.provider("acme").await.paused_at, None);
    }
    let reaped = crash(&world).await;
    assert_eq!(
        (reaped.lost[0].crashes, reaped.takeovers.len()),
        (MOST_CRASHES, 0)
    );
    let provider = world.provider("acme").await;
    assert!(provider.paused_at.is_some());
    assert_eq!(
        provider.paused_reason.as_deref(),
        Some("its worker died 3 times in a row while syncing it")
    );
    assert_eq!(
        (provider.current_run, provider.consecutive_crashes),
        (None, MOST_CRASHES)
    );
    assert!(world.claim(10).await.is_empty());
    fan_out::close_finished(&world.db, -MINUTE_MS)
        .await
        .unwrap();
    assert_eq!(
        world
            .number("SELECT count(*) FROM fan_out WHERE closed_at IS NULL")
            .await,
        0
    );

    entity::provider::resume(&world.db, "acme").await.unwrap();
    assert_eq!(crash(&world).await.lost[0].crashes, 1);
}

async fn a_run_that_ends_clears_the_crashes(world: World) {
    world.add(&["acme"]).await;
    crash(&world).await;
    crash(&world).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &Changes::default()).await;
    assert_eq!(crash(&world).await.lost[0].crashes, 1);
}

async fn a_lease_that_was_renewed_or_has_time_left_is_not_reaped(world: World) {
    world.add(&["renewed", "fresh"]).await;
    world.claim(10).await;
    let renewed = world.begun("renewed").await;
    world.begun("fresh").await;
    world.expire(renewed.held.run).await;
    renew(&world.db, WORKER, &[renewed.held.run], LEASE)
        .await
        .unwrap();
    let before = world.everything().await;
    assert_eq!(reap(&world.db, 10).await.unwrap(), Reaped::default());
    assert_eq!(world.everything().await, before);
}

async fn a_queued_run_is_never_reaped(world: World) {
    world.add(&["acme"]).await;
    let run = world.claim(1).await[0];
    let sql = format!("UPDATE run SET queued_at = {}", world.in_seconds(-86_400));
    world.execute(&sql, vec![]).await;
    assert_eq!(reap(&world.db, 10).await.unwrap(), Reaped::default());
    assert_eq!(world.run(run).await.state, run::State::Queued);
}

async fn only_as_many_as_the_limit_are_reaped_the_oldest_first(world: World) {
    world.add(&["a", "b", "c"]).await;
    world.claim(10).await;
    for (name, seconds) in [("a", -10), ("b", -30), ("c", -20)] {
        let begun = world.begun(name).await;
        let sql = format!(
            "UPDATE run SET lease_until = {} WHERE id = $1",
            world.in_seconds(seconds)
        );
        world.execute(&sql, vec![begun.held.run.into()]).await;
    }
    let reaped = reap(&world.db, 2).await.unwrap();
    let lost: Vec<_> = reaped
        .lost
        .iter()
        .map(|lost| lost.provider.as_str())
        .collect();
    assert_eq!(lost, ["b", "c"]);
    assert_eq!(reap(&world.db, 2).await.unwrap().lost.len(), 1);
}

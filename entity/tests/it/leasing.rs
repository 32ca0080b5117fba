//! A run in a worker's hands, until its outcome.

use std::time::Duration;

use entity::claim::{push_overdue, release_all};
use entity::lease::{self, hand_back, held, put_off, renew};
use entity::provider;
use entity::run::{self, Postponed, State};
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::{LEASE, WORKER, World};

on_both_databases!(
    a_run_begins_once_however_often_it_is_delivered,
    a_run_that_is_unknown_cancelled_or_over_does_not_begin,
    a_renewal_extends_the_leases_of_its_own_runs,
    a_run_that_is_not_in_hand_is_not_renewed,
    a_handed_back_run_is_queued_under_a_higher_token,
    a_run_that_was_begun_again_cannot_be_handed_back_by_its_former_holder,
    a_paused_providers_run_cannot_be_handed_back,
    a_run_that_is_put_off_waits_for_its_reason,
    a_worker_that_got_no_answer_finds_out_what_it_holds,
    releasing_puts_all_that_runs_back_to_the_queue,
);

async fn a_run_begins_once_however_often_it_is_delivered(world: World) {
    world.add(&["acme"]).await;
    let run = world.claim(1).await[0];
    let sql = format!("UPDATE run SET queued_at = {}", world.in_seconds(-90));
    world.execute(&sql, vec![]).await;
    let begun = world.begin(run).await.unwrap();
    let provider = world.provider("acme").await;
    assert_eq!(begun.provider, provider);
    assert_eq!(
        begun.held,
        lease::Held {
            run,
            provider_id: provider.id,
            token: 1,
            worker: WORKER.to_owned(),
        }
    );
    let row = world.run(run).await;
    assert_eq!(row.state, run::State::Running);
    assert_eq!(row.worker.as_deref(), Some(WORKER));
    assert_eq!(
        (row.started_at, row.queued_at),
        (Some(begun.at), begun.queued_at)
    );
    let waited = begun.at - begun.queued_at;
    assert_eq!(begun.queued_for, waited.to_std().unwrap());
    assert!(begun.queued_for.as_secs() >= 90);
    assert_eq!(
        row.lease_until.unwrap() - begun.at,
        chrono::TimeDelta::seconds(20)
    );
    assert_eq!(row.next_push_at, None);

    for worker in [WORKER, "worker-2"] {
        assert!(world.begin_as(run, worker).await.is_none());
    }
    assert_eq!(world.run(run).await, row);
}

async fn a_run_that_is_unknown_cancelled_or_over_does_not_begin(world: World) {
    world.add(&["over", "paused"]).await;
    world.claim(10).await;
    let over = world.begun("over").await;
    world
        .commit(&over, &entity::commit::Changes::default())
        .await;
    let paused = world.provider("paused").await.current_run.unwrap();
    provider::pause(&world.db, "paused", "enough", "ops")
        .await
        .unwrap();
    for run in [over.held.run, paused, Uuid::now_v7()] {
        assert!(world.begin(run).await.is_none());
    }
}

async fn a_renewal_extends_the_leases_of_its_own_runs(world: World) {
    world.add(&["mine", "others", "waiting"]).await;
    world.claim(10).await;
    let mine = world.begun("mine").await;
    let others = world.provider("others").await.current_run.unwrap();
    world.begin_as(others, "worker-2").await.unwrap();
    let waiting = world.provider("waiting").await.current_run.unwrap();
    let before = [world.run(others).await, world.run(waiting).await];

    world.expire(mine.held.run).await;
    let asked = [mine.held.run, others, waiting];
    let renewed = renew(&world.db, WORKER, &asked, Duration::from_secs(60)).await;
    assert_eq!(renewed.unwrap(), [(mine.held.run, mine.held.token)]);
    let until = world.run(mine.held.run).await.lease_until.unwrap();
    assert!(until > world.now().await + Duration::from_secs(30));
    let after = [world.run(others).await, world.run(waiting).await];
    assert_eq!(after, before);
}

/// A worker that does not know that it began a run would keep it for ever.
async fn a_run_that_is_not_in_hand_is_not_renewed(world: World) {
    world.add(&["known", "unknown"]).await;
    world.claim(10).await;
    let known = world.begun("known").await;
    let unknown = world.begun("unknown").await;
    let before = world.run(unknown.held.run).await;
    assert_eq!(held(&world.db, WORKER).await.unwrap().len(), 2);
    let renewed = renew(&world.db, WORKER, &[known.held.run], LEASE).await;
    assert_eq!(renewed.unwrap().len(), 1);
    assert_eq!(world.run(unknown.held.run).await, before);
}

async fn a_handed_back_run_is_queued_under_a_higher_token(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    assert!(hand_back(&world.db, &begun.held).await.unwrap());
    let run = world.run(begun.held.run).await;
    assert_eq!(
        (run.state, run.outcome, run.token),
        (run::State::Queued, None, 2)
    );
    assert_eq!(
        (run.worker, run.lease_until, run.started_at),
        (None, None, None)
    );
    let provider = world.provider("acme").await;
    assert_eq!((provider.token, provider.current_run), (2, Some(run.id)));
    assert_eq!(provider.consecutive_crashes, 0);
    assert_eq!(provider.consecutive_failures, 0);
    // Should its return to the queue be lost, it is pushed like any other.
    assert!(run.next_push_at.is_some());

    assert!(!hand_back(&world.db, &begun.held).await.unwrap());
    assert_eq!(world.run(begun.held.run).await.token, 2);
    assert_eq!(world.provider("acme").await.token, 2);
    let again = world.begin(run.id).await.unwrap();
    assert_eq!(again.held.token, 2);
}

async fn a_run_that_was_begun_again_cannot_be_handed_back_by_its_former_holder(world: World) {
    world.add(&["acme"]).await;
    let former = world.begun("acme").await;
    assert!(hand_back(&world.db, &former.held).await.unwrap());
    let present = world.begun("acme").await;
    assert_eq!(present.held.run, former.held.run);
    let before = world.everything().await;
    assert!(!hand_back(&world.db, &former.held).await.unwrap());
    assert_eq!(world.everything().await, before);
}

async fn a_paused_providers_run_cannot_be_handed_back(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    provider::pause(&world.db, "acme", "enough", "ops")
        .await
        .unwrap();
    let before = world.everything().await;
    assert!(!hand_back(&world.db, &begun.held).await.unwrap());
    assert_eq!(world.everything().await, before);
}

async fn a_run_that_is_put_off_waits_for_its_reason(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let reason = Postponed::Suspect;
    assert!(put_off(&world.db, &begun.held, reason).await.unwrap());
    let run = world.run(begun.held.run).await;
    assert_eq!((run.state, run.token, run.worker), (State::Queued, 2, None));
    assert_eq!((run.postponed_for, run.lease_until), (Some(reason), None));
    assert!(!put_off(&world.db, &begun.held, reason).await.unwrap());
    assert_eq!(world.provider("acme").await.token, 2);
    let again = world.begin(run.id).await.unwrap();
    assert_eq!(
        (again.held.token, world.run(run.id).await.postponed_for),
        (2, None)
    );
}

async fn a_worker_that_got_no_answer_finds_out_what_it_holds(world: World) {
    world.add(&["acme"]).await;
    let run = world.claim(1).await[0];
    assert_eq!(lease::of(&world.db, run, WORKER).await.unwrap(), None);
    let begun = world.begin(run).await.unwrap();
    let found = lease::of(&world.db, run, WORKER).await.unwrap();
    assert_eq!(found, Some(begun.held.clone()));
    assert_eq!(lease::of(&world.db, run, "worker-2").await.unwrap(), None);
    world
        .commit(&begun, &entity::commit::Changes::default())
        .await;
    assert_eq!(lease::of(&world.db, run, WORKER).await.unwrap(), None);
}

async fn releasing_puts_all_that_runs_back_to_the_queue(world: World) {
    world.add(&["running", "waiting", "over"]).await;
    world.claim(10).await;
    let running = world.begun("running").await;
    let over = world.begun("over").await;
    world
        .commit(&over, &entity::commit::Changes::default())
        .await;
    let finished = world.run(over.held.run).await;

    assert_eq!(release_all(&world.db).await.unwrap(), 1);
    let run = world.run(running.held.run).await;
    assert_eq!(
        (run.state, run.token, run.worker),
        (run::State::Queued, 2, None)
    );
    assert_eq!(world.provider("running").await.token, 2);
    assert_eq!(world.provider("waiting").await.token, 1);
    assert_eq!(world.run(over.held.run).await, finished);
    assert_eq!(push_overdue(&world.db, 10).await.unwrap().len(), 2);
    assert_eq!(
        world
            .commit(&running, &entity::commit::Changes::default())
            .await,
        entity::commit::Committed::Fenced
    );
    assert!(world.begin(running.held.run).await.is_some());
}

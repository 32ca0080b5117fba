//! Requests that accept what is gone: their runs may take for gone whatever their feeds lack.

use entity::claim::{reap, release_all, take_requests};
use entity::commit::Changes;
use entity::fan_out::close_finished;
use entity::lease::hand_back;
use entity::{invariants, provider, run};
use sea_orm::{ConnectionTrait, TransactionTrait};
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::{PATIENCE, World};

on_both_databases!(
    its_run_gets_the_leave,
    a_run_that_nobody_asked_for_has_no_leave,
    a_run_that_waits_gets_the_leave_and_is_joined,
    a_run_under_way_without_the_leave_is_waited_for,
    a_run_under_way_with_the_leave_is_joined,
    a_request_without_the_leave_joins_any_run,
    a_takeover_keeps_the_leave,
    a_run_that_goes_back_to_the_queue_keeps_the_leave,
    a_run_that_is_handed_back_without_the_leave_gets_it,
    one_request_takes_what_it_can_and_waits_for_the_rest,
    requests_that_wait_are_in_nobodys_way,
    a_request_that_waits_for_a_paused_providers_run_closes,
);

const MINUTE_MS: i64 = 60_000;

async fn take(world: &World) -> Option<Vec<Uuid>> {
    let taken = take_requests(&world.db, 10).await.unwrap();
    taken.map(|pushes| pushes.iter().map(|push| push.id).collect())
}

async fn add_not_due(world: &World, names: &[&str]) {
    world.add(names).await;
    let sql = format!(
        "UPDATE provider SET next_due_at = {}",
        world.in_seconds(600)
    );
    world.execute(&sql, vec![]).await;
}

/// The fan-out is neither sealed nor closed, however often a scheduler looks.
async fn waits(world: &World, fan_out: Uuid, waiting: i64) {
    close_finished(&world.db, -MINUTE_MS).await.unwrap();
    close_finished(&world.db, -MINUTE_MS).await.unwrap();
    let row = world.fan_out(fan_out).await;
    assert_eq!((row.sealed_at, row.closed_at), (None, None));
    assert_eq!(world.progress(fan_out).await.waiting, waiting);
}

async fn closes(world: &World, fan_out: Uuid) {
    close_finished(&world.db, MINUTE_MS).await.unwrap();
    assert!(world.progress(fan_out).await.closed);
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
}

async fn its_run_gets_the_leave(world: World) {
    add_not_due(&world, &["acme", "other"]).await;
    let fan_out = world.request(&["acme"], true).await;
    assert_eq!(take(&world).await.unwrap().len(), 1);
    assert_eq!(world.provider("other").await.current_run, None);
    let begun = world.begun("acme").await;
    assert!(begun.accept_gone);
    assert!(world.fan_out(fan_out).await.sealed_at.is_some());
    world.commit(&begun, &Changes::default()).await;
    closes(&world, fan_out).await;
    // It holds for that one run.
    assert!(!world.begun("acme").await.accept_gone);
}

async fn a_run_that_nobody_asked_for_has_no_leave(world: World) {
    world.add(&["due", "asked"]).await;
    world.request(&["asked"], false).await;
    assert_eq!(take(&world).await.unwrap().len(), 1);
    world.claim(10).await;
    for name in ["due", "asked"] {
        assert!(!world.begun(name).await.accept_gone);
    }
}

async fn a_run_that_waits_gets_the_leave_and_is_joined(world: World) {
    world.add(&["acme", "other"]).await;
    world.claim(10).await;
    let run = world.provider("acme").await.current_run.unwrap();
    let fan_out = world.request(&["acme"], true).await;
    assert_eq!(take(&world).await, Some(vec![]), "it is pushed already");
    assert_eq!(world.progress(fan_out).await.open, 1);
    let begun = world.begin(run).await.unwrap();
    assert!(begun.accept_gone);
    assert!(!world.begun("other").await.accept_gone);
    world.commit(&begun, &Changes::default()).await;
    closes(&world, fan_out).await;
}

async fn a_run_under_way_without_the_leave_is_waited_for(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let fan_out = world.request(&["acme"], true).await;
    for _ in 0..3 {
        assert_eq!(take(&world).await, None, "a scheduler would not stop");
    }
    let run = world.run(begun.held.run).await;
    assert_eq!((run.state, run.accept_gone), (run::State::Running, false));
    waits(&world, fan_out, 1).await;
    assert_eq!(world.progress(fan_out).await.open, 0);

    world.commit(&begun, &Changes::default()).await;
    waits(&world, fan_out, 1).await;
    let runs = take(&world).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_ne!(runs[0], begun.held.run);
    let begun = world.begun("acme").await;
    assert_eq!((begun.held.run, begun.accept_gone), (runs[0], true));
    world.commit(&begun, &Changes::default()).await;
    closes(&world, fan_out).await;
    let progress = world.progress(fan_out).await;
    assert_eq!((progress.waiting, progress.succeeded), (0, 1));
}

async fn a_run_under_way_with_the_leave_is_joined(world: World) {
    add_not_due(&world, &["acme"]).await;
    world.request(&["acme"], true).await;
    take(&world).await.unwrap();
    let begun = world.begun("acme").await;
    let second = world.request(&["acme"], true).await;
    assert_eq!(take(&world).await, Some(vec![]));
    assert_eq!(world.progress(second).await.open, 1);
    world.commit(&begun, &Changes::default()).await;
    closes(&world, second).await;
}

async fn a_request_without_the_leave_joins_any_run(world: World) {
    world.add(&["without"]).await;
    world.begun("without").await;
    add_not_due(&world, &["with", "queued"]).await;
    world.request(&["with", "queued"], true).await;
    take(&world).await.unwrap();
    world.begun("with").await;
    let fan_out = world.request(&["with", "without", "queued"], false).await;
    assert_eq!(take(&world).await, Some(vec![]));
    let progress = world.progress(fan_out).await;
    assert_eq!((progress.waiting, progress.open), (0, 3));
    // What was given is not taken back.
    assert!(world.begun("queued").await.accept_gone);
}

async fn a_takeover_keeps_the_leave(world: World) {
    add_not_due(&world, &["with"]).await;
    let fan_out = world.request(&["with"], true).await;
    take(&world).await.unwrap();
    world.add(&["without"]).await;
    world.claim(10).await;
    for name in ["with", "without"] {
        let begun = world.begun(name).await;
        world.expire(begun.held.run).await;
    }
    assert_eq!(reap(&world.db, 10).await.unwrap().takeovers.len(), 2);
    let with = world.begun("with").await;
    assert!(with.accept_gone);
    assert!(!world.begun("without").await.accept_gone);
    assert_eq!(world.progress(fan_out).await.open, 1);
    world.commit(&with, &Changes::default()).await;
    closes(&world, fan_out).await;
}

async fn a_run_that_goes_back_to_the_queue_keeps_the_leave(world: World) {
    add_not_due(&world, &["acme"]).await;
    world.request(&["acme"], true).await;
    take(&world).await.unwrap();
    let begun = world.begun("acme").await;
    assert!(hand_back(&world.db, &begun.held).await.unwrap());
    assert!(world.begun("acme").await.accept_gone);
    assert_eq!(release_all(&world.db).await.unwrap(), 1);
    assert!(world.begun("acme").await.accept_gone);
}

async fn a_run_that_is_handed_back_without_the_leave_gets_it(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let fan_out = world.request(&["acme"], true).await;
    assert_eq!(take(&world).await, None);
    assert!(hand_back(&world.db, &begun.held).await.unwrap());
    assert_eq!(take(&world).await, Some(vec![]));
    let again = world.begun("acme").await;
    assert_eq!((again.held.run, again.accept_gone), (begun.held.run, true));
    world.commit(&again, &Changes::default()).await;
    closes(&world, fan_out).await;
}

async fn one_request_takes_what_it_can_and_waits_for_the_rest(world: World) {
    world.add(&["running", "queued"]).await;
    world.claim(10).await;
    let running = world.begun("running").await;
    add_not_due(&world, &["idle", "paused"]).await;
    provider::pause(&world.db, "paused", "moving house", "ops")
        .await
        .unwrap();
    let all = ["running", "queued", "idle", "paused"];
    let fan_out = world.request(&all, true).await;
    let idle = take(&world).await.unwrap();
    assert_eq!(idle, [world.provider("idle").await.current_run.unwrap()]);
    assert_eq!(take(&world).await, None);
    waits(&world, fan_out, 1).await;
    assert_eq!(world.progress(fan_out).await.open, 2);
    for name in ["idle", "queued"] {
        let begun = world.begun(name).await;
        assert!(begun.accept_gone);
        world.commit(&begun, &Changes::default()).await;
    }
    waits(&world, fan_out, 1).await;
    world.commit(&running, &Changes::default()).await;
    assert_eq!(take(&world).await.unwrap().len(), 1);
    let last = world.begun("running").await;
    assert!(last.accept_gone);
    world.commit(&last, &Changes::default()).await;
    closes(&world, fan_out).await;
    assert_eq!(world.progress(fan_out).await.succeeded, 3);
}

async fn requests_that_wait_are_in_nobodys_way(world: World) {
    world.add(&["busy"]).await;
    world.begun("busy").await;
    add_not_due(&world, &["other"]).await;
    world.request(&["busy"], true).await;
    let behind = world.request(&["other"], true).await;
    let taken = take_requests(&world.db, 1).await.unwrap().unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(world.progress(behind).await.open, 1);
    // Nor of one who does not ask for as much.
    let joins = world.request(&["busy"], false).await;
    assert_eq!(take(&world).await, Some(vec![]));
    assert_eq!(world.progress(joins).await.open, 1);
}

async fn a_request_that_waits_for_a_paused_providers_run_closes(world: World) {
    world.add(&["acme"]).await;
    world.begun("acme").await;
    let fan_out = world.request(&["acme"], true).await;
    assert_eq!(take(&world).await, None);
    provider::pause(&world.db, "acme", "moving house", "ops")
        .await
        .unwrap();
    assert_eq!(take(&world).await, Some(vec![]));
    closes(&world, fan_out).await;
}

/// The run was seen waiting, and has begun before it could be given the leave.
#[tokio::test]
async fn a_run_that_begins_at_the_same_moment_is_waited_for() {
    let world = World::postgres().await;
    world.add(&["acme"]).await;
    let run = world.claim(1).await[0];
    let fan_out = world.request(&["acme"], true).await;
    let worker = world.db.write.begin().await.unwrap();
    let begin = "UPDATE run SET state = 'running', worker = 'worker-2', next_push_at = NULL, \
                 started_at = now(), lease_until = now() + interval '20 s' WHERE id = $1";
    let begin = world.statement(begin, vec![run.into()]);
    worker.execute_raw(begin).await.unwrap();
    let taking = {
        let db = world.db.clone();
        tokio::spawn(async move { take_requests(&db, 10).await })
    };
    testkit::eventually(PATIENCE, "the scheduler waits for the run", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
        world.number(sql).await == 1
    })
    .await;
    worker.commit().await.unwrap();
    assert_eq!(taking.await.unwrap().unwrap(), Some(vec![]));
    assert!(!world.run(run).await.accept_gone);
    waits(&world, fan_out, 1).await;
    assert_eq!(world.progress(fan_out).await.open, 0);
    assert_eq!(take(&world).await, None);
}

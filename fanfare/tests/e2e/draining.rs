//! Interrupted is not failed: a process that is told to stop finishes its syncs or hands them back.

use entity::run::{Outcome, State};
use entity::{Database, provider, run};
use testkit::{Process, Signal, eventually};

use crate::feed::{Feeds, HELD};
use crate::world::{PATIENCE, World, ends_well, stop};

async fn state(db: &Database) -> (provider::Model, run::Model) {
    let provider = provider::by_name(&db.read, HELD).await.unwrap().unwrap();
    let runs = run::latest(&db.read, provider.id, 10).await.unwrap();
    let [run] = <[run::Model; 1]>::try_from(runs).unwrap();
    (provider, run)
}

async fn finished(db: &Database) -> (provider::Model, run::Model) {
    eventually(PATIENCE, "the run's end", async || {
        let state = state(db).await;
        (state.1.state == State::Finished).then_some(state)
    })
    .await
}

async fn drains(process: &Process) {
    process.signal(Signal::TERM);
    let drains = |line: &str| line.contains("worker drains");
    process.wait_for_line(drains, PATIENCE).await;
}

#[tokio::test]
async fn a_stopping_worker_finishes_the_sync_that_it_is_at() {
    let world = World::distributed().await;
    let db = world.db().await;
    let scheduler = world.start_ready(&["scheduler"]).await;
    let worker = world.start_ready(&["worker"]).await;
    let feeds = Feeds::held(&world).await;
    feeds.fetched(1).await;
    drains(&worker).await;
    assert_eq!(state(&db).await.1.state, State::Running);
    feeds.release();
    ends_well(&worker).await;

    let (provider, run) = state(&db).await;
    assert_eq!(run.outcome, Some(Outcome::Stored));
    assert_eq!(
        (run.events_new, provider.token, feeds.fetches(HELD)),
        (1, 1, 1)
    );
    stop(&scheduler, Signal::TERM).await;
    db.close().await;
}

#[tokio::test]
async fn a_sync_that_takes_too_long_is_handed_back_and_another_worker_takes_it() {
    let world = World::distributed().await.with("FANFARE_DRAIN", "100ms");
    let db = world.db().await;
    let scheduler = world.start_ready(&["scheduler"]).await;
    let first = world.start_ready(&["worker"]).await;
    let feeds = Feeds::held(&world).await;
    feeds.fetched(1).await;
    let (before, held) = state(&db).await;
    stop(&first, Signal::TERM).await;

    let (provider, run) = state(&db).await;
    assert_eq!(
        (run.id, run.state, &run.worker),
        (held.id, State::Queued, &None)
    );
    assert_eq!(run.token, held.token + 1);
    assert_eq!(provider.current_run, Some(run.id));
    unblemished(&before, &provider);

    let second = world.start_ready(&["worker"]).await;
    feeds.fetched(2).await;
    feeds.release();
    let (provider, run) = finished(&db).await;
    assert_eq!((run.id, run.outcome), (held.id, Some(Outcome::Stored)));
    assert_ne!(run.worker, held.worker);
    unblemished(&before, &provider);
    for process in [&scheduler, &second] {
        stop(process, Signal::TERM).await;
    }
    db.close().await;
}

fn unblemished(before: &provider::Model, after: &provider::Model) {
    let health = |provider: &provider::Model| {
        (
            provider.consecutive_failures,
            provider.transient_failures,
            provider.consecutive_crashes,
            provider.last_error.clone(),
        )
    };
    assert_eq!(health(after), health(before));
    assert_eq!(health(after), (0, 0, 0, None));
}

#[tokio::test]
async fn a_single_process_takes_up_at_its_next_start_what_it_handed_back() {
    let world = World::embedded().await.with("FANFARE_DRAIN", "100ms");
    let db = world.db().await;
    let first = world.all().await;
    let feeds = Feeds::held(&world).await;
    feeds.fetched(1).await;
    let (before, held) = state(&db).await;
    stop(&first.process, Signal::TERM).await;
    let (provider, run) = state(&db).await;
    assert_eq!((run.id, run.state), (held.id, State::Queued));
    unblemished(&before, &provider);

    feeds.release();
    let second = world.all().await;
    let (provider, run) = finished(&db).await;
    assert_eq!((run.id, run.outcome), (held.id, Some(Outcome::Stored)));
    unblemished(&before, &provider);
    assert_eq!(second.api.search("").await.len(), 1);
    stop(&second.process, Signal::TERM).await;
    db.close().await;
}

#[tokio::test]
async fn a_single_process_that_was_killed_goes_on_where_it_was() {
    let world = World::embedded().await;
    let db = world.db().await;
    let first = world.all().await;
    let feeds = Feeds::held(&world).await;
    feeds.fetched(1).await;
    let (before, held) = state(&db).await;
    first.process.signal(Signal::KILL);
    first.process.wait(PATIENCE).await;

    feeds.release();
    let second = world.all().await;
    let (provider, run) = finished(&db).await;
    assert_eq!((run.id, run.outcome), (held.id, Some(Outcome::Stored)));
    assert_ne!(run.worker, held.worker);
    unblemished(&before, &provider);
    stop(&second.process, Signal::TERM).await;
    db.close().await;
}

#[tokio::test]
async fn a_second_signal_ends_a_process_at_once() {
    let world = World::embedded().await;
    let serving = world.all().await;
    let feeds = Feeds::held(&world).await;
    feeds.fetched(1).await;
    drains(&serving.process).await;
    serving.process.signal(Signal::TERM);
    let status = serving.process.wait(PATIENCE).await;
    assert_eq!(status.code(), Some(130));
}

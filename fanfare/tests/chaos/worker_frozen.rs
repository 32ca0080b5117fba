//! A worker that stands still (`SIGSTOP`) past its lease and goes on later: it commits nothing.

use std::time::Duration;

use entity::run::{self, Outcome};
use entity::{Database, provider};
use simulator::Behavior;
use testkit::{Process, Signal, eventually};

use crate::checker::Check;
use crate::sql::{self, Gate};
use crate::world::{PATIENCE, World, stop};

const NAME: &str = "provider-0001";

/// Another worker takes over and stores the next round, the frozen one goes on and notices.
async fn overtaken(world: &World, db: &Database, frozen: &Process) {
    world.behave(&Behavior::Normal);
    world.simulator.advance();
    let since = sql::now(db).await;
    let second = world.worker().await;
    eventually(PATIENCE, "the takeover's end", async || {
        outcomes(db).await == [Some(Outcome::Stored), Some(Outcome::Lost)]
    })
    .await;
    let before = version(db).await;

    frozen.signal(Signal::CONT);
    let left = |line: &str| line.contains("run left");
    frozen.wait_for_line(left, PATIENCE).await;
    assert_eq!(version(db).await, before);
    // The first round was served to the frozen worker alone.
    let check = Check::after(world, db, since).stored(NAME, &[1]);
    check.holds().await;
    // It is as good a worker as any afterwards.
    stop(&[&second]).await;
    world.sync(db).await;
    let check = Check::after(world, db, since).stored(NAME, &[1, 2]);
    check.holds().await;
}

async fn outcomes(db: &Database) -> Vec<Option<Outcome>> {
    let provider = provider::by_name(&db.write, NAME).await.unwrap().unwrap();
    let runs = run::latest(&db.write, provider.id, 10).await.unwrap();
    runs.into_iter().map(|run| run.outcome).collect()
}

async fn version(db: &Database) -> i64 {
    sql::value(db, "SELECT version FROM dataset").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_frozen_while_it_fetched_commits_nothing_when_it_goes_on() {
    let world = World::of(1).await;
    let db = world.db().await;
    world.behave(&Behavior::SlowFirstByte { millis: 500 });
    world.apply(&db).await;
    let (scheduler, first) = (world.scheduler().await, world.worker().await);
    world.fetching(1).await;
    first.signal(Signal::STOP);
    // The whole feed waits in the frozen worker's socket.
    eventually(PATIENCE, "the answer", async || {
        world.simulator.served(NAME).unwrap() == [0]
    })
    .await;
    overtaken(&world, &db, &first).await;
    stop(&[&scheduler, &first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_frozen_amid_its_commit_commits_nothing_when_it_goes_on() {
    let world = World::of(1).await;
    let db = world.db().await;
    world.apply(&db).await;
    let gate = Gate::before_commits(&db).await;
    let (scheduler, first) = (world.scheduler().await, world.worker().await);
    sql::waits_for_lock(&db, &first, 1).await;
    first.signal(Signal::STOP);
    gate.open().await;
    // It holds every lock that a commit takes, until the database puts an end to that.
    eventually(
        Duration::from_secs(5),
        "the end of its transaction",
        async || sql::open_transactions(&db, &first).await == 0,
    )
    .await;
    overtaken(&world, &db, &first).await;
    stop(&[&scheduler, &first]).await;
}

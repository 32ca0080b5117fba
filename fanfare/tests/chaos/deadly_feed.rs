//! A feed that kills its worker each time: it is charged with that, its neighbours are cleared.

use std::process::Command;

use axum::Router;
use axum::routing::get;
use entity::run::{self, Outcome};
use entity::{Database, provider};
use simulator::Behavior;
use testkit::{Process, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::checker::Check;
use crate::sql;
use crate::world::{PATIENCE, World, started, stop};

const DEADLY: &str = "deadly";
const NEIGHBOURS: usize = 6;

/// The largest file that the worker may write: the system ends it with the first byte past that.
const FILE_SIZE: u64 = 30 << 20;
/// Too much for memory, so that it is written to a file, and too much for that.
const DEADLY_BYTES: usize = 60 << 20;

/// Serves a well-formed feed of that size.
fn serve_deadly_feed() -> String {
    let mut feed = String::from("<planList><output>");
    feed.push_str(&" ".repeat(DEADLY_BYTES));
    feed.push_str("</output></planList>");
    let listener = testkit::free_listener();
    let url = format!("http://{}/feed", listener.local_addr().unwrap());
    let feed = axum::body::Bytes::from(feed);
    let router = Router::new().route("/feed", get(async move || feed));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Starts a worker under a limit of its files, again and again, until `stop` fires.
fn supervise(world: &World, stop: CancellationToken) -> JoinHandle<Vec<Process>> {
    let mut command = Command::new("prlimit");
    world.settle_in(&mut command);
    command.args([&format!("--fsize={FILE_SIZE}"), "--core=0"]);
    command.args([env!("CARGO_BIN_EXE_fanfare"), "worker"]);
    tokio::spawn(async move {
        let mut died = Vec::new();
        loop {
            let worker = started(&command, "worker").await;
            let ended = eventually_ended(&worker, &stop).await;
            died.push(worker);
            if !ended {
                return died;
            }
        }
    })
}

/// False: it still runs when `stop` fires.
async fn eventually_ended(worker: &Process, stop: &CancellationToken) -> bool {
    loop {
        if !worker.is_running() {
            return true;
        }
        if stop.is_cancelled() {
            return false;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn of_deadly(db: &Database) -> (provider::Model, Vec<Option<Outcome>>) {
    let provider = provider::by_name(&db.write, DEADLY).await.unwrap();
    let provider = provider.unwrap();
    let runs = run::latest(&db.write, provider.id, 10).await.unwrap();
    (provider, runs.into_iter().map(|run| run.outcome).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_kills_its_worker_three_times_is_paused_and_its_neighbours_go_on() {
    let world = World::of(NEIGHBOURS).await;
    let db = world.db().await;
    world.behave(&Behavior::SlowFirstByte { millis: 600 });
    let deadly = format!(
        "[[provider]]\nname = \"{DEADLY}\"\nurl = \"{}\"\nformat = \"plan-list\"\ninterval = \"1s\"\n",
        serve_deadly_feed()
    );
    // Always at work, so that each death finds some of them under way.
    let neighbours = world.simulator.providers_toml("1s");
    world.apply_file(&db, &(neighbours + &deadly)).await;
    let scheduler = world.scheduler().await;
    let enough = CancellationToken::new();
    let workers = supervise(&world, enough.clone());
    eventually(PATIENCE, "the pause", async || {
        of_deadly(&db).await.0.paused_at.is_some()
    })
    .await;
    let since = sql::now(&db).await;

    let (provider, outcomes) = of_deadly(&db).await;
    assert_eq!(outcomes, [Some(Outcome::Lost); 3]);
    let reason = provider.paused_reason.unwrap();
    assert!(reason.contains("died 3 times in a row"), "{reason}");
    let lost = "SELECT count(DISTINCT provider_id) FROM run WHERE outcome = 'lost'";
    let ran_beside = sql::value::<i64>(&db, lost).await - 1;
    assert!(ran_beside > 0, "it was alone each time");

    world.simulator.advance();
    let rest = world.simulator.providers_toml("1d");
    world.behave(&Behavior::Normal);
    world.apply_file(&db, &rest).await;
    enough.cancel();
    let mut workers = workers.await.unwrap();
    let last = workers.pop().unwrap();
    assert_eq!(workers.len(), 3, "each death was the deadly feed's");
    workers.iter().for_each(|worker| world.mourn(worker));
    Check::after(&world, &db, since)
        .paused(DEADLY, "died 3 times in a row")
        .holds()
        .await;
    stop(&[&scheduler, &last]).await;
}

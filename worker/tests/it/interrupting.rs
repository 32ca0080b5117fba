//! Syncs that are dropped on the way: they write nothing, leave nothing, and can be begun again.

use entity::lease::{self, Begun};
use entity::run::{Outcome, State};
use sea_orm::ConnectionTrait;
use simulator::Behavior;
use tokio::task::JoinHandle;
use worker::{Synced, sync_provider};

use crate::large::{NAME, Spooling};
use crate::on_both_databases;
use crate::world::{PATIENCE, World};

on_both_databases!(
    a_sync_that_is_dropped_amid_its_fetch_leaves_nothing,
    a_sync_that_is_dropped_while_it_reads_leaves_nothing,
    a_sync_that_is_dropped_before_it_knows_what_is_stored_leaves_nothing,
    a_sync_that_is_dropped_amid_its_commit_leaves_nothing,
);

const MEMORY: usize = 64 << 10;

async fn spooling(world: World) -> Spooling {
    Spooling::new(world, 4_000, MEMORY, 8 << 30).await
}

struct Syncing {
    begun: Begun,
    task: JoinHandle<Result<Synced, sea_orm::DbErr>>,
}

impl Syncing {
    fn start(spooling: &Spooling, begun: Begun) -> Self {
        let (tools, of_task) = (spooling.world.tools.clone(), begun.clone());
        let task = tokio::spawn(async move { sync_provider(&tools, &of_task).await });
        Self { begun, task }
    }

    /// Drops it while it is under way.
    async fn drops(&mut self) {
        assert!(!self.task.is_finished(), "it is under way");
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
    }

    /// Checks that it might never have been.
    async fn leaves_nothing(self, spooling: &Spooling) {
        testkit::eventually(PATIENCE, "nothing is left", async || {
            spooling.has_left_nothing()
        })
        .await;
        let world = &spooling.world;
        let run = self.begun.held.run;
        assert_eq!(world.run(run).await.state, State::Running);
        assert!(world.events(NAME).await.is_empty());
        assert_eq!(world.version().await, 0);
        assert!(world.changes(run).await.is_empty());
        assert!(lease::hand_back(&world.db, &self.begun.held).await.unwrap());
        spooling.simulated.behave(NAME, Behavior::Normal);
        let (finish, again) = world.sync(NAME).await;
        assert_eq!((finish.outcome, again.id), (Outcome::Stored, run));
        spooling.simulated.holds(world, NAME, &[0]).await;
        assert!(spooling.has_left_nothing());
    }
}

async fn start(spooling: &Spooling) -> Syncing {
    Syncing::start(spooling, spooling.world.begin(NAME).await)
}

async fn a_sync_that_is_dropped_amid_its_fetch_leaves_nothing(world: World) {
    let spooling = spooling(world).await;
    spooling.simulated.behave(NAME, Behavior::Endless);
    let mut syncing = start(&spooling).await;
    testkit::eventually(PATIENCE, "the body goes to disk", async || {
        spooling.on_disk() > MEMORY as u64
    })
    .await;
    syncing.drops().await;
    syncing.leaves_nothing(&spooling).await;
}

async fn a_sync_that_is_dropped_while_it_reads_leaves_nothing(world: World) {
    let spooling = spooling(world).await;
    let body = spooling.body().await;
    let mut syncing = start(&spooling).await;
    testkit::eventually(PATIENCE, "what differs goes to disk", async || {
        spooling.on_disk() > body
    })
    .await;
    syncing.drops().await;
    syncing.leaves_nothing(&spooling).await;
}

async fn a_sync_that_is_dropped_before_it_knows_what_is_stored_leaves_nothing(mut world: World) {
    world.narrow().await;
    let spooling = spooling(world).await;
    let body = spooling.body().await;
    let begun = spooling.world.begin(NAME).await;
    // The only connection.
    let other = spooling.world.db.begin().await.unwrap();
    let mut syncing = Syncing::start(&spooling, begun);
    testkit::eventually(PATIENCE, "the body is there", async || {
        spooling.on_disk() == body
    })
    .await;
    syncing.drops().await;
    other.rollback().await.unwrap();
    syncing.leaves_nothing(&spooling).await;
}

async fn a_sync_that_is_dropped_amid_its_commit_leaves_nothing(world: World) {
    let spooling = spooling(world).await;
    let body = spooling.body().await;
    let mut syncing = start(&spooling).await;
    testkit::eventually(PATIENCE, "what differs goes to disk", async || {
        spooling.on_disk() > body
    })
    .await;
    // On PostgreSQL the commit has written its events when it comes to this; on SQLite it can't begin.
    let other = spooling.world.db.begin().await.unwrap();
    let lock = "UPDATE provider SET paused_until = NULL";
    other.execute_unprepared(lock).await.unwrap();
    testkit::eventually(PATIENCE, "the body is read", async || {
        spooling.on_disk() < body
    })
    .await;
    assert!(spooling.on_disk() > 0, "what differs is still needed");
    syncing.drops().await;
    other.rollback().await.unwrap();
    syncing.leaves_nothing(&spooling).await;
}

//! Three schedulers, of which one is killed or frozen in the middle of a tick: no provider is
//! synced twice, none is forgotten, and the tick's fan-out closes.

use chrono::{DateTime, Utc};
use entity::Database;
use entity::fan_out;
use testkit::{Process, Signal, eventually};
use uuid::Uuid;

use crate::checker::Check;
use crate::queue_keys;
use crate::sql::{self, Gate};
use crate::world::{PATIENCE, World, closed, stop};

const PROVIDERS: i64 = 8;

/// Three schedulers and a worker, with all providers synced once.
struct Running {
    world: World,
    db: Database,
    schedulers: [Process; 3],
    worker: Process,
}

impl Running {
    async fn start() -> Self {
        let world = World::of(usize::try_from(PROVIDERS).unwrap()).await;
        let db = world.db().await;
        world.apply(&db).await;
        let schedulers = [
            world.scheduler().await,
            world.scheduler().await,
            world.scheduler().await,
        ];
        let worker = world.worker().await;
        world.sync(&db).await;
        Self {
            world,
            db,
            schedulers,
            worker,
        }
    }

    /// Makes all providers due to the first scheduler, and returns when it has claimed them and
    /// cannot push them.
    async fn claimed_and_not_pushed(&self) -> Tick {
        let [victim, others @ ..] = &self.schedulers;
        others
            .iter()
            .for_each(|scheduler| scheduler.signal(Signal::STOP));
        self.world.redis.freeze();
        self.world.simulator.advance();
        let since = sql::now(&self.db).await;
        sql::run(&self.db, "UPDATE provider SET next_due_at = now()").await;
        let queued = "SELECT count(*) FROM run WHERE state = 'queued'";
        eventually(PATIENCE, "the claim", async || {
            sql::value::<i64>(&self.db, queued).await == PROVIDERS
        })
        .await;
        assert!(victim.is_running());
        let newest = "SELECT id FROM fan_out WHERE trigger = 'tick' ORDER BY id DESC LIMIT 1";
        Tick {
            since,
            fan_out: sql::value(&self.db, newest).await,
        }
    }

    fn thaw_others(&self) {
        let [_, others @ ..] = &self.schedulers;
        others
            .iter()
            .for_each(|scheduler| scheduler.signal(Signal::CONT));
    }

    /// Moves time on to where the tick's runs are pushed again and its fan-out is given up.
    async fn a_minute_passes(&self) {
        let pushed = "UPDATE run SET next_push_at = now() WHERE state = 'queued'";
        sql::run(&self.db, pushed).await;
        let abandoned = "UPDATE fan_out SET started_at = started_at - interval '1 minute' \
                         WHERE sealed_at IS NULL";
        sql::run(&self.db, abandoned).await;
    }

    /// Each provider was synced exactly once, for this very fan-out, and goes on.
    async fn synced_once(self, tick: Tick) {
        let Self { world, db, .. } = &self;
        let progress = closed(db, tick.fan_out).await;
        assert_eq!((progress.succeeded, progress.lost), (PROVIDERS, 0));
        Check::after(world, db, tick.since).holds().await;
        let runs = format!(
            "SELECT count(*) FROM run WHERE queued_at > '{}'",
            tick.since.to_rfc3339()
        );
        assert_eq!(sql::value::<i64>(db, &runs).await, PROVIDERS);

        world.sync(db).await;
        Check::after(world, db, tick.since).holds().await;
        let living = self.schedulers.iter().filter(|it| it.is_running());
        let living: Vec<_> = living.chain([&self.worker]).collect();
        stop(&living).await;
    }
}

struct Tick {
    since: DateTime<Utc>,
    fan_out: Uuid,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_scheduler_had_claimed_when_it_was_killed_is_pushed_by_another() {
    let running = Running::start().await;
    let tick = running.claimed_and_not_pushed().await;
    running.world.kill(&running.schedulers[0]).await;
    running.world.redis.thaw();
    assert_eq!(queue_keys::left(&running.world).await, Ok(()));
    running.thaw_others();
    running.a_minute_passes().await;
    running.synced_once(tick).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_scheduler_had_pushed_when_it_was_killed_is_sealed_by_another() {
    let running = Running::start().await;
    let db = &running.db;
    let tick = running.claimed_and_not_pushed().await;
    let row = format!("SELECT 1 FROM fan_out WHERE id = '{}'", tick.fan_out);
    let gate = Gate::close(db, &row).await;
    running.world.redis.thaw();
    eventually(PATIENCE, "the pushed runs' end", async || {
        let progress = fan_out::progress(&db.write, tick.fan_out).await.unwrap();
        progress.unwrap().succeeded == PROVIDERS
    })
    .await;
    let sealing = "SELECT count(*) FROM pg_stat_activity \
                   WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE fan_out%'";
    eventually(PATIENCE, "its waiting to seal", async || {
        sql::value::<i64>(db, sealing).await > 0
    })
    .await;
    running.world.kill(&running.schedulers[0]).await;
    // The killed scheduler's session would still do what it was asked for.
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    sql::run(db, end).await;
    gate.open().await;
    running.a_minute_passes().await;
    running.thaw_others();
    running.synced_once(tick).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_was_frozen_before_its_push_pushes_nothing_twice() {
    let running = Running::start().await;
    let tick = running.claimed_and_not_pushed().await;
    running.schedulers[0].signal(Signal::STOP);
    running.world.redis.thaw();
    assert_eq!(queue_keys::left(&running.world).await, Ok(()));
    running.thaw_others();
    running.a_minute_passes().await;
    eventually(PATIENCE, "the others' syncs", async || {
        let progress = fan_out::progress(&running.db.write, tick.fan_out).await;
        progress.unwrap().unwrap().succeeded == PROVIDERS
    })
    .await;
    running.schedulers[0].signal(Signal::CONT);
    running.synced_once(tick).await;
}

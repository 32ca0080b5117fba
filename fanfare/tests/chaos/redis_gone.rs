//! A Redis that is emptied, frozen, killed or gone: it costs seconds, and no feed.

use std::time::Duration;

use entity::Database;
use simulator::Behavior;
use testkit::Process;
use uuid::Uuid;

use crate::checker::Check;
use crate::watch::Watch;
use crate::world::{World, closed, stop};
use crate::{queue_keys, sql};

const PROVIDERS: usize = 16;

/// Two schedulers, two workers with few slots and an API that is asked all the time.
struct Running {
    world: World,
    db: Database,
    processes: Vec<Process>,
    watch: Watch,
}

impl Running {
    async fn start() -> Self {
        let mut world = World::of(PROVIDERS).await;
        world.set("FANFARE_WORKER_CONCURRENCY", "2");
        let db = world.db().await;
        world.apply(&db).await;
        let (api, origin) = world.api().await;
        let mut processes = vec![api];
        for role in ["scheduler", "scheduler", "worker", "worker"] {
            processes.push(world.start_role(role).await);
        }
        world.sync(&db).await;
        Self {
            world,
            db,
            processes,
            watch: Watch::start(&origin),
        }
    }

    /// Asks for a sync of everything, and returns with most of its jobs still in Redis.
    async fn amid_a_fan_out(&self) -> Uuid {
        self.world.behave(&Behavior::SlowFirstByte { millis: 300 });
        self.world.simulator.advance();
        let asked = self.world.request(&self.db).await;
        self.world.fetching(4).await;
        asked
    }

    /// Everything goes on by itself, and went well: no process ended, no run failed.
    async fn goes_on(self, fan_out: Uuid) {
        let since = sql::now(&self.db).await;
        let progress = closed(&self.db, fan_out).await;
        assert_eq!((progress.failed, progress.lost), (0, 0), "{progress:?}");
        self.world.sync(&self.db).await;
        Check::after(&self.world, &self.db, since).holds().await;
        self.watch.served_throughout().await;
        stop(&self.processes.iter().collect::<Vec<_>>()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn emptying_redis_amid_a_fan_out_forgets_no_provider() {
    let running = Running::start().await;
    let fan_out = running.amid_a_fan_out().await;
    queue_keys::flush(&running.world).await;
    running.goes_on(fan_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_comes_back_empty_after_half_a_minute_is_waited_for() {
    let mut running = Running::start().await;
    let fan_out = running.amid_a_fan_out().await;
    running.world.redis.kill().await;
    // The fault is that it takes so long.
    tokio::time::sleep(Duration::from_secs(30)).await;
    running.world.redis.start_again().await;
    running.goes_on(fan_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_frozen_for_ten_seconds_is_waited_for() {
    let running = Running::start().await;
    let fan_out = running.amid_a_fan_out().await;
    running.world.redis.freeze();
    // The fault is that it takes so long.
    tokio::time::sleep(Duration::from_secs(10)).await;
    running.world.redis.thaw();
    running.goes_on(fan_out).await;
}

//! A job that is delivered twice, at once or later: it has one effect.

use entity::run::{self, Outcome};
use entity::{Database, claim, provider};
use queue::{Producer, Push, QueueConfig, SyncJob, TraceContext};
use testkit::{Process, eventually};
use uuid::Uuid;

use crate::checker::Check;
use crate::queue_keys;
use crate::sql::{self, Gate};
use crate::world::{PATIENCE, World, stop};

const NAME: &str = "provider-0001";

/// One claimed run, two workers, and a queue to push it to.
struct Running {
    world: World,
    db: Database,
    workers: [Process; 2],
    producer: Producer,
    job: SyncJob,
}

impl Running {
    async fn start() -> Self {
        let mut world = World::of(1).await;
        // Whoever begins the run waits for the test, for longer than a short lease allows.
        world.set("FANFARE_LEASE", "20s");
        world.set("FANFARE_WORKER_CONCURRENCY", "1");
        let db = world.db().await;
        world.apply(&db).await;
        let workers = [world.worker().await, world.worker().await];
        let claimed = claim::claim_due(&db, Uuid::now_v7(), None, 1).await;
        let job = SyncJob {
            run: claimed.unwrap().unwrap()[0].id,
        };
        let config = QueueConfig {
            redis_url: Some(world.redis.url().parse().unwrap()),
            ..QueueConfig::default()
        };
        Self {
            producer: queue::open(config).await.unwrap().producer(),
            world,
            db,
            workers,
            job,
        }
    }

    async fn push(&self) {
        let push = Push {
            job: self.job,
            trace: TraceContext::default(),
        };
        let queued = self.producer.push(&[push]).await.unwrap();
        assert_eq!(queued, 1);
    }

    /// Returns once so many workers wait for a lock.
    async fn waiting(&self, workers: i64) {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        eventually(PATIENCE, "workers that wait", async || {
            sql::value::<i64>(&self.db, waiting).await == workers
        })
        .await;
    }

    /// The queue forgets that a worker has the job, and delivers it once more.
    async fn deliver_again(&self) {
        queue_keys::flush(&self.world).await;
        self.push().await;
    }

    async fn stored(&self) {
        let stored = "SELECT count(*) FROM run WHERE outcome = 'stored'";
        eventually(PATIENCE, "the commit", async || {
            sql::value::<i64>(&self.db, stored).await == 1
        })
        .await;
    }

    /// Every delivery is over.
    async fn drained(&self) {
        eventually(PATIENCE, "an empty queue", async || {
            queue_keys::left(&self.world).await.is_ok()
        })
        .await;
    }

    /// There was one run with one commit, and nothing else happened.
    async fn one_effect(self) {
        let Self { world, db, .. } = &self;
        self.drained().await;
        let provider = provider::by_name(&db.write, NAME).await.unwrap().unwrap();
        let runs = run::latest(&db.write, provider.id, 10).await.unwrap();
        let outcomes: Vec<_> = runs.iter().map(|run| (run.id, run.outcome)).collect();
        assert_eq!(outcomes, [(self.job.run, Some(Outcome::Stored))]);
        assert_eq!((provider.token, provider.current_run), (1, None));
        assert_eq!(
            sql::value::<i64>(db, "SELECT version FROM dataset").await,
            1
        );

        let since = sql::now(db).await;
        // The claim that this test made by itself is sealed by whoever comes later.
        sql::run(db, "UPDATE fan_out SET sealed_at = now()").await;
        let scheduler = world.scheduler().await;
        world.sync(db).await;
        Check::after(world, db, since).holds().await;
        stop(&[&scheduler, &self.workers[0], &self.workers[1]]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_two_workers_begin_at_once_is_done_by_one() {
    let running = Running::start().await;
    let row = format!("SELECT 1 FROM run WHERE id = '{}'", running.job.run);
    let gate = Gate::close(&running.db, &row).await;
    running.push().await;
    running.waiting(1).await;
    running.deliver_again().await;
    running.waiting(2).await;
    gate.open().await;
    running.stored().await;
    running.one_effect().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_comes_again_amid_its_commit_and_after_it_is_dropped() {
    let running = Running::start().await;
    let gate = Gate::before_commits(&running.db).await;
    running.push().await;
    running.waiting(1).await;
    running.deliver_again().await;
    // The other worker has dropped it, for the first is stuck.
    running.drained().await;
    running.waiting(1).await;
    gate.open().await;
    running.stored().await;
    running.push().await;
    running.drained().await;
    running.one_effect().await;
}

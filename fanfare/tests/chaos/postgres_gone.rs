//! A PostgreSQL that is restarted, killed or gone amid commits: every feed is stored whole or not
//! at all, no process ends, and no provider is blamed.

use std::time::Duration;

use entity::Database;
use simulator::Behavior;
use testkit::{Process, eventually};
use uuid::Uuid;

use crate::checker::Check;
use crate::sql::{self, Gate};
use crate::world::{LEASE, PATIENCE, World, closed, stop};

const PROVIDERS: usize = 12;

const NOTHING: &str = "SELECT 1";
const ENDED: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE wait_event_type = 'Lock'";

struct Running {
    world: World,
    db: Database,
    /// Two schedulers, two workers, an API.
    processes: Vec<Process>,
    origin: String,
}

impl Running {
    async fn start() -> Self {
        let world = World::of(PROVIDERS).await;
        let db = world.db().await;
        world.apply(&db).await;
        let (api, origin) = world.api().await;
        let mut processes = Vec::new();
        for role in ["worker", "worker", "scheduler", "scheduler"] {
            processes.push(world.start_role(role).await);
        }
        processes.push(api);
        world.sync(&db).await;
        Self {
            world,
            db,
            processes,
            origin,
        }
    }

    /// Asks for a sync of everything, and returns with some of it amid its commit and some still
    /// being fetched. Runs a statement while the commits wait.
    async fn amid_commits(&self, meanwhile: &str) -> Uuid {
        let names = self.world.simulator.provider_names();
        for name in &names[PROVIDERS / 2..] {
            let slow = Behavior::SlowFirstByte { millis: 700 };
            self.world.simulator.set_behavior(name, slow).unwrap();
        }
        // So much happens meanwhile that each feed has changed.
        for _ in 0..30 {
            self.world.simulator.advance();
        }
        let gate = Gate::before_commits(&self.db).await;
        let asked = self.world.request(&self.db).await;
        eventually(PATIENCE, "commits that wait", async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            sql::value::<i64>(&self.db, waiting).await >= 3
        })
        .await;
        sql::run(&self.db, meanwhile).await;
        gate.open().await;
        asked
    }

    /// Looks into the database with new connections.
    async fn reconnect(&mut self) {
        self.db = self.world.db().await;
    }

    /// Everything goes on by itself, and nobody is blamed.
    async fn goes_on(&self, fan_out: Uuid) {
        let since = sql::now(&self.db).await;
        let progress = closed(&self.db, fan_out).await;
        assert_eq!(progress.failed, 0, "{progress:?}");
        let lost = "SELECT count(*) FROM run WHERE outcome = 'lost'";
        assert_eq!(sql::value::<i64>(&self.db, lost).await, 0);
        self.world.behave(&Behavior::Normal);
        self.world.sync(&self.db).await;
        Check::after(&self.world, &self.db, since).holds().await;
        assert!(self.processes.iter().all(Process::is_running));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/v1/events/search", self.origin);
        // Its first answers may still come over a connection that has ended.
        eventually(PATIENCE, "an answer of the API", async || {
            client.get(&url).send().await.unwrap().status() == 200
        })
        .await;
    }

    async fn stop(self) {
        stop(&self.processes.iter().collect::<Vec<_>>()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_restarted_amid_commits_costs_no_feed() {
    let mut running = Running::start().await;
    let fan_out = running.amid_commits(NOTHING).await;
    running.world.postgres.stop().await;
    running.world.postgres.start_again().await;
    running.reconnect().await;
    running.goes_on(fan_out).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_killed_amid_commits_costs_no_feed() {
    let mut running = Running::start().await;
    for _ in 0..3 {
        let fan_out = running.amid_commits(NOTHING).await;
        running.world.postgres.kill().await;
        running.world.postgres.start_again().await;
        running.reconnect().await;
        running.goes_on(fan_out).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_gone_for_half_a_minute_blames_no_worker() {
    let mut running = Running::start().await;
    let fan_out = running.amid_commits(NOTHING).await;
    running.world.postgres.kill().await;
    // The fault is that it takes so long.
    tokio::time::sleep(Duration::from_secs(30)).await;
    running.world.postgres.start_again().await;
    running.reconnect().await;
    running.goes_on(fan_out).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_amid_its_commit_hands_its_run_back() {
    let running = Running::start().await;
    let db = &running.db;
    let fan_out = running.amid_commits(ENDED).await;
    running.goes_on(fan_out).await;
    let handed_back = "SELECT count(*) FROM run WHERE token > 3";
    assert!(sql::value::<i64>(db, handed_back).await > 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_wait_for_longer_than_a_lease_cost_no_run() {
    let running = Running::start().await;
    running.world.simulator.advance();
    let gate = Gate::before_commits(&running.db).await;
    let fan_out = running.world.request(&running.db).await;
    // The fault is that it takes so long.
    tokio::time::sleep(3 * LEASE).await;
    gate.open().await;
    running.goes_on(fan_out).await;
    running.stop().await;
}

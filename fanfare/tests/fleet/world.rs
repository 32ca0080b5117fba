//! A fleet: simulated providers, a database, a queue, and as many workers and schedulers as asked.

use std::time::Duration;

use entity::host::Politeness;
use entity::provider::{self, Spec};
use entity::{Config, Database};
use queue::{Queue, QueueConfig};
use sea_orm::ConnectionTrait;
use simulator::Simulator;
use testkit::SharedServer;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A safety net: nothing here takes nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const LEASE: Duration = Duration::from_secs(2);

pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) queue: Queue,
    pub(crate) simulator: Simulator,
    namespace: String,
    redis: SharedServer,
    stop: CancellationToken,
    roles: Vec<JoinHandle<anyhow::Result<()>>>,
    _database: testkit::Database,
}

impl World {
    /// Nothing runs yet but the providers.
    pub(crate) async fn new(simulated: simulator::Config) -> Self {
        let database = testkit::Database::postgres().await;
        let redis = testkit::redis_url().await;
        let mut config = Config::new(database.url().parse().unwrap());
        config.max_connections = 20;
        config.timeout = PATIENCE;
        let namespace = testkit::queue_namespace();
        let queue = QueueConfig {
            redis_url: Some(redis.parse().unwrap()),
            namespace: namespace.clone(),
            ..QueueConfig::default()
        };
        let stop = CancellationToken::new();
        let listener = testkit::free_listener();
        Self {
            db: entity::connect(&config).await.unwrap(),
            queue: queue::open(queue).await.unwrap(),
            simulator: simulator::start(listener, simulated, stop.clone()),
            namespace,
            redis,
            stop,
            roles: Vec::new(),
            _database: database,
        }
    }

    /// Adds simulated providers under a host name of the loopback network.
    pub(crate) async fn add(&self, names: &[String], host: &str, interval: Duration) {
        let specs: Vec<Spec> = names
            .iter()
            .map(|name| {
                let url = self.simulator.feed_url_on(name, host).parse().unwrap();
                Spec::new(name.clone(), url, "plan-list".into(), interval)
            })
            .collect();
        provider::apply(&self.db, &specs, false, false)
            .await
            .unwrap();
    }

    pub(crate) fn start_scheduler(&mut self) {
        let config = scheduler::Config {
            tick: Duration::from_millis(50),
            lease: LEASE,
            ..scheduler::Config::default()
        };
        let (db, producer) = (self.db.clone(), self.queue.producer());
        self.roles.push(tokio::spawn(scheduler::run(
            config,
            db,
            producer,
            self.stop.clone(),
        )));
    }

    /// Starts a worker that ends with the world.
    pub(crate) fn start_worker(&mut self, slots: usize, politeness: Politeness) {
        let name = format!("worker-{}", self.roles.len());
        let mut config = worker::Config::new(name);
        config.concurrency = slots;
        config.lease = LEASE;
        config.drain = Duration::from_millis(100);
        config.politeness = politeness;
        config.fetch.allow = worker::fetch::Networks::loopback();
        let (db, queue) = (self.db.clone(), self.queue.clone());
        let stop = self.stop.clone();
        self.roles.push(tokio::spawn(async move {
            worker::run(config, db, &queue, stop).await
        }));
    }

    /// Ends the role that was started last as if its process had died.
    pub(crate) async fn kill_last(&mut self) {
        let role = self.roles.pop().unwrap();
        role.abort();
        assert!(role.await.unwrap_err().is_cancelled());
    }

    /// Empties the queue behind everyone's back.
    pub(crate) async fn flush_queue(&self) {
        let client = redis::Client::open(&*self.redis).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut keys = redis::cmd("KEYS");
        keys.arg(format!("*{}*", self.namespace));
        let keys: Vec<String> = keys.query_async(&mut connection).await.unwrap();
        if !keys.is_empty() {
            let mut delete = redis::cmd("DEL");
            delete.arg(keys).exec_async(&mut connection).await.unwrap();
        }
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql);
        let row = self.db.write.query_one_raw(statement).await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for role in self.roles {
            role.await.unwrap().unwrap();
        }
        assert_eq!(entity::invariants::violations(&self.db).await.unwrap(), []);
    }
}

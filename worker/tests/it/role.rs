//! A worker that runs, with its queue.

use std::time::Duration;

use queue::{Push, Queue, QueueConfig, SyncJob, TraceContext};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber;
use uuid::Uuid;
use worker::{Config, fetch};

use crate::world::{PATIENCE, World, fetch_config};

pub(crate) struct Role {
    pub(crate) queue: Queue,
    pub(crate) shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

/// Short enough that a test can wait for what follows from it.
pub(crate) fn config(name: &str) -> Config {
    Config {
        lease: Duration::from_secs(2),
        fetch: fetch_config(fetch::Limits::default()),
        ..Config::new(name.to_owned())
    }
}

pub(crate) async fn memory() -> Queue {
    queue::open(QueueConfig::default()).await.unwrap()
}

/// A queue of the test's own in Redis, and what keeps that Redis alive.
pub(crate) async fn redis() -> (Queue, testkit::SharedServer) {
    let server = testkit::redis_url().await;
    let config = QueueConfig {
        redis_url: Some(server.parse().unwrap()),
        namespace: testkit::queue_namespace(),
        ..QueueConfig::default()
    };
    (queue::open(config).await.unwrap(), server)
}

pub(crate) async fn push(queue: &Queue, run: Uuid) {
    let push = Push {
        job: SyncJob { run },
        trace: TraceContext::default(),
    };
    queue.producer().push(&[push]).await.unwrap();
}

impl Role {
    pub(crate) fn start(world: &World, queue: &Queue, config: Config) -> Self {
        Self::start_told(
            world,
            queue,
            config,
            tracing::subscriber::NoSubscriber::new(),
        )
    }

    /// Starts one whose spans are kept, see [`testkit::spans`].
    pub(crate) fn start_traced(world: &World, queue: &Queue, config: Config) -> Self {
        let _ = testkit::spans();
        let everyones = tracing::dispatcher::get_default(tracing::Dispatch::clone);
        Self::start_told(world, queue, config, everyones)
    }

    /// Starts one whose spans go to `subscriber`.
    pub(crate) fn start_told(
        world: &World,
        queue: &Queue,
        config: Config,
        subscriber: impl Into<tracing::Dispatch>,
    ) -> Self {
        let (queue, shutdown) = (queue.clone(), CancellationToken::new());
        let (db, stop) = (world.db.clone(), shutdown.clone());
        let running = {
            let queue = queue.clone();
            async move { worker::run(config, db, &queue, stop).await }
        };
        Self {
            running: tokio::spawn(running.with_subscriber(subscriber)),
            queue,
            shutdown,
        }
    }

    /// Until the queue has neither a job that waits nor one in hand.
    pub(crate) async fn idle(&self) {
        idle(&self.queue).await;
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.stopped().await;
    }

    pub(crate) async fn stopped(self) {
        let stopped = tokio::time::timeout(PATIENCE, self.running).await;
        stopped.expect("the worker stops").unwrap().unwrap();
    }
}

pub(crate) async fn idle(queue: &Queue) {
    testkit::eventually(PATIENCE, "the queue is empty", async || {
        let depth = queue.producer().depth().await.unwrap();
        (depth.waiting, depth.in_flight) == (0, 0)
    })
    .await;
}

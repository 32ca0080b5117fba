//! A scheduler that runs.

use std::time::Duration;

use scheduler::Config;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{PATIENCE, World};

pub(crate) struct Role {
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

/// Ticks far more often than a test waits.
pub(crate) fn config() -> Config {
    Config {
        tick: Duration::from_millis(20),
        batch: 50,
        ..Config::default()
    }
}

impl Role {
    pub(crate) fn start(world: &World, config: Config) -> Self {
        let shutdown = CancellationToken::new();
        let producer = world.queue.producer();
        let running = scheduler::run(config, world.db.clone(), producer, shutdown.clone());
        Self {
            running: tokio::spawn(running),
            shutdown,
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(PATIENCE, self.running).await;
        stopped.expect("the scheduler stops").unwrap().unwrap();
    }
}

//! Opening the queue, and refusing servers that would lose jobs.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    Consumer, Producer, QueueConfig,
    memory::Memory,
    outage::Silent,
    producer::{PoolUse, Source},
    redis::{ReachError, Redis},
    turns::Turns,
};

/// An open queue. Clones share it.
#[derive(Debug, Clone)]
pub struct Queue {
    source: Source,
    config: Arc<QueueConfig>,
    silent: Silent,
    turns: Turns,
}

/// Why the queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The namespace would make unreadable keys.
    #[error(
        "queue namespace `{0}` is not usable: write 1 to 64 letters, digits, dots, dashes or underscores"
    )]
    Namespace(String),
    /// Nobody answers there, or not as a Redis that lets us in.
    #[error(
        "connect to redis at {address}: check the url, its credentials and that the server runs"
    )]
    Connect {
        /// Host and port.
        address: String,
        /// What happened.
        #[source]
        source: ReachError,
    },
    /// The connection stands, but the server does not tell about itself.
    #[error("ask redis at {address} for its version: let its user run INFO")]
    Inspect {
        /// Host and port.
        address: String,
        /// What happened.
        #[source]
        source: ReachError,
    },
    /// The server is too old.
    #[error("redis at {address} has version {found}: upgrade it to 7 or later")]
    Version {
        /// Host and port.
        address: String,
        /// What the server says.
        found: String,
    },
    /// The server is part of a cluster.
    #[error(
        "redis at {address} runs in cluster mode, which the queue does not support: use a single redis, with a replica if it must stay available"
    )]
    Cluster {
        /// Host and port.
        address: String,
    },
}

/// Opens the queue. With Redis it connects and checks the server; in this process it cannot fail
/// but for the namespace.
pub async fn open(config: QueueConfig) -> Result<Queue, OpenError> {
    check_namespace(&config.namespace)?;
    let config = Arc::new(config);
    let source = match &config.redis_url {
        None => Source::Memory(Memory::new(&config)),
        Some(url) => {
            let redis = Redis::new(url, &config).map_err(|source| OpenError::Connect {
                address: url.address(),
                source,
            })?;
            check_server(&redis, url.address()).await?;
            Source::Redis(Arc::new(redis))
        }
    };
    Ok(Queue {
        source,
        config,
        silent: Silent::default(),
        turns: Turns::default(),
    })
}

impl Queue {
    /// The end that pushes.
    pub fn producer(&self) -> Producer {
        Producer(self.source.clone())
    }

    /// Whether the queue answers its consumers in this process, as far as they know; true before there
    /// is one.
    pub fn answers(&self) -> bool {
        !self.silent.is()
    }

    /// Whether a consumer in this process, though nothing keeps it, has not looked for jobs for longer
    /// than `longest`, or its worker has taken up none of those that it was handed. An outage of the
    /// queue does not count, nor do handlers that take their time; give it ten seconds or more.
    pub fn stalled(&self, longest: Duration) -> bool {
        self.turns.stalled(longest)
    }

    /// How the pool of connections is used now, without waiting; `None` for a queue in this process.
    /// Consumers wait on connections of their own, one each, which do not count.
    pub fn pool(&self) -> Option<PoolUse> {
        match &self.source {
            Source::Redis(redis) => Some(redis.pool_use()),
            Source::Memory(_) => None,
        }
    }

    /// The end that an apalis worker consumes from; it does nothing until the worker runs.
    ///
    /// It holds no more than `slots` jobs (at least one). The worker ends when `shutdown` fires and
    /// its running handlers are done. `worker_name` is for logs and for people who look into Redis;
    /// it need not be unique.
    pub fn consumer(
        &self,
        worker_name: &str,
        slots: usize,
        shutdown: CancellationToken,
    ) -> Consumer {
        Consumer::new(
            self.source.clone(),
            Arc::clone(&self.config),
            self.silent.clone(),
            self.turns.clone(),
            worker_name,
            slots,
            &shutdown,
        )
    }
}

fn check_namespace(namespace: &str) -> Result<(), OpenError> {
    let usable = (1..=64).contains(&namespace.len())
        && namespace
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if usable {
        Ok(())
    } else {
        Err(OpenError::Namespace(namespace.to_owned()))
    }
}

async fn check_server(redis: &Redis, address: String) -> Result<(), OpenError> {
    if let Err(source) = redis.ping().await {
        return Err(OpenError::Connect { address, source });
    }
    let info = match redis.info().await {
        Ok(info) => info,
        Err(source) => return Err(OpenError::Inspect { address, source }),
    };
    let found = field(&info, "redis_version").unwrap_or("unknown");
    let major = found.split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < 7) {
        let found = found.to_owned();
        return Err(OpenError::Version { address, found });
    }
    if field(&info, "cluster_enabled") == Some("1") {
        return Err(OpenError::Cluster { address });
    }
    Ok(())
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

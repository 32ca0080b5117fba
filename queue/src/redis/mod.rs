//! The queue in Redis.
//!
//! The keys are those of apalis-redis, so that its tooling reads our queue. All of them carry the
//! namespace as hash tag:
//!
//! | key | type | holds |
//! | --- | --- | --- |
//! | `{fanfare}:active` | list | ids that wait, head first |
//! | `{fanfare}:data` | hash | id to payload, of all that wait or are in flight |
//! | `{fanfare}:meta:<id>` | hash | `attempts`, `max_attempts`, `status`, `locked_by`, `traceparent`, `tracestate`, `again` if it was pushed while in flight |
//! | `{fanfare}:inflight` | sorted set | ids that consumers hold, scored by when they were taken: microseconds of the server's own clock |
//!
//! An id is in the data hash and in either the list or the set. Every step between these states is
//! one script, so a crash leaves nothing between them. The score is the receipt of who took a job:
//! an acknowledgement with an older one changes nothing. No key outlives the last job.

mod examine;
mod push;
mod source;

use std::sync::Arc;

use apalis_redis::Config;
use deadpool_redis::{Manager, Pool, PoolError, Runtime};
use redis::{AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};

use crate::{Depth, PoolUse, QueueConfig, RedisUrl};

pub use examine::{ExamineError, Examined, Part, RedisPlace, RefusedCommand, examine};
pub(crate) use source::RedisSource;

/// Redis cannot be reached, or refuses. Trying again later is safe.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// No connection within the limits of the configuration.
    #[error("no connection to redis")]
    Connection(#[source] PoolError),
    /// A command failed, or its answer did not come in time.
    #[error("redis did not carry out a command")]
    Command(#[from] RedisError),
}

/// A pool of connections to one queue's server.
#[derive(Debug)]
pub(crate) struct Redis {
    pool: Pool,
    client: Client,
    keys: Keys,
    config: Arc<QueueConfig>,
}

#[derive(Debug)]
struct Keys {
    active: String,
    data: String,
    in_flight: String,
    meta: String,
}

impl Keys {
    fn of(namespace: &str) -> Self {
        let layout = Config::default().queue(format!("{{{namespace}}}"));
        Self {
            active: layout.active_jobs_list(),
            data: layout.job_data_hash(),
            in_flight: layout.inflight_jobs_set(),
            meta: layout.job_meta_hash(),
        }
    }
}

impl Redis {
    pub(crate) fn new(url: &RedisUrl, config: &Arc<QueueConfig>) -> Result<Self, ReachError> {
        // The client's own limit for an answer, 500 ms, is less than a fork or a failover takes.
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.response_timeout));
        let manager = Manager::new_with_config(url.connection_info(), limits)?;
        let pool = Pool::builder(manager)
            .max_size(config.pool_size.max(1))
            .wait_timeout(Some(config.wait_timeout))
            .create_timeout(Some(config.connect_timeout))
            .recycle_timeout(Some(config.response_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime is given, and nothing else is checked");
        Ok(Self {
            pool,
            client: Client::open(url.connection_info())?,
            keys: Keys::of(&config.namespace),
            config: Arc::clone(config),
        })
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.config.namespace
    }

    pub(crate) async fn ping(&self) -> Result<(), ReachError> {
        let mut connection = self.connection().await?;
        let answer = redis::cmd("PING").query_async(&mut connection).await;
        self.trusted(answer)
    }

    pub(crate) async fn info(&self) -> Result<String, ReachError> {
        let mut connection = self.connection().await?;
        let answer = redis::cmd("INFO").query_async(&mut connection).await;
        self.trusted(answer)
    }

    pub(crate) async fn depth(&self) -> Result<Depth, ReachError> {
        let mut connection = self.connection().await?;
        let answer = redis::pipe()
            .llen(&self.keys.active)
            .zcard(&self.keys.in_flight)
            .query_async(&mut connection)
            .await;
        let (waiting, in_flight) = self.trusted(answer)?;
        Ok(Depth { waiting, in_flight })
    }

    pub(crate) fn pool_use(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse {
            used: status.size.saturating_sub(status.available) as u64,
            idle: status.available.min(status.size) as u64,
            max: status.max_size as u64,
        }
    }

    /// A connection of the pool that has just answered. It is multiplexed: the clone leaves its
    /// place in the pool free, and may be kept for as long as it works.
    async fn connection(&self) -> Result<MultiplexedConnection, ReachError> {
        let pooled = self.pool.get().await.map_err(ReachError::Connection)?;
        Ok(MultiplexedConnection::clone(&pooled))
    }

    /// After a failure no idle connection is trusted: an old primary still answers pings.
    fn trusted<T>(&self, answer: Result<T, RedisError>) -> Result<T, ReachError> {
        if answer.is_err() {
            self.pool.retain(|_, _| false);
        }
        Ok(answer?)
    }
}

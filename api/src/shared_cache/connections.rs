//! Connections to Redis, and one question on one of them.

use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime, TimeoutType};
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult,
};

use super::SharedCacheConfig;

/// Why Redis gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// All connections are in use.
    #[error("no connection to redis became free in time")]
    Busy,
    /// None could be opened.
    #[error("connect to redis")]
    Connect(#[source] PoolError),
    /// The connection broke.
    #[error("the connection to redis broke")]
    Broken(#[source] RedisError),
    /// Redis did not answer in time.
    #[error("redis did not answer within {within:?}")]
    Silent {
        /// How long was waited.
        within: Duration,
    },
    /// Redis answered that it does not do that.
    #[error("redis refused a command")]
    Refused(#[source] RedisError),
}

#[derive(Debug)]
pub(super) struct Connections(Pool);

impl Connections {
    pub(super) fn new(url: &str, config: &SharedCacheConfig) -> RedisResult<Self> {
        // The limit for answers is our own: the client would go on using the connection.
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_within))
            .set_response_timeout(None);
        let manager = Manager::new_with_config(url.into_connection_info()?, limits)?;
        let pool = Pool::builder(manager)
            .max_size(config.connections.max(1))
            .wait_timeout(Some(config.get_within))
            .recycle_timeout(Some(config.get_within))
            .create_timeout(Some(config.connect_within))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime is given, and nothing else is checked");
        Ok(Self(pool))
    }

    /// What Redis answers to one command within that time of having a connection.
    ///
    /// To be waited for to its end: a connection whose answer is still to come is closed, and never
    /// used again.
    pub(super) async fn ask<T>(&self, command: &Cmd, within: Duration) -> Result<T, Trouble>
    where
        T: FromRedisValue,
    {
        let mut connection = match self.0.get().await {
            Ok(connection) => connection,
            Err(PoolError::Timeout(TimeoutType::Wait)) => return Err(Trouble::Busy),
            Err(error) => return Err(Trouble::Connect(error)),
        };
        let answer = command.query_async(&mut connection);
        let trouble = match tokio::time::timeout(within, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.code().is_some() => return Err(Trouble::Refused(error)),
            Ok(Err(error)) => Trouble::Broken(error),
            Err(_) => Trouble::Silent { within },
        };
        drop(Connection::take(connection));
        Err(trouble)
    }
}

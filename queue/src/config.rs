//! How to open the queue.

use std::{fmt, str::FromStr, time::Duration};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// Where the queue lives and how long it waits for it. The defaults suit production.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// The Redis that holds the queue; `None` keeps it in this process.
    pub redis_url: Option<RedisUrl>,
    /// Names the queue among others in one Redis: up to 64 of `A-Z a-z 0-9 . _ -`.
    pub namespace: String,
    /// Connections to Redis in the pool. Each consumer has one more of its own, to wait on.
    pub pool_size: usize,
    /// Limit for opening a connection, TLS and authentication included.
    pub connect_timeout: Duration,
    /// Limit for waiting for a free connection of the pool.
    pub wait_timeout: Duration,
    /// Limit for the answer to one command.
    pub response_timeout: Duration,
    /// How long one blocking wait for jobs may last; a new one follows at once.
    pub block: Duration,
    /// A job that has been with a consumer for longer than this is delivered again when it is
    /// pushed again. Younger ones are left alone.
    pub redeliver_after: Duration,
    /// What a consumer has neither acknowledged nor returned for this long is deleted from Redis;
    /// it must be longer than any job takes.
    pub forget_after: Duration,
    /// How long a consumer that stops tries to bring its last acknowledgements home.
    pub close_timeout: Duration,
    /// Waiting jobs that the in-process queue holds; more are refused.
    pub memory_limit: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            redis_url: None,
            namespace: "fanfare".to_owned(),
            pool_size: 8,
            connect_timeout: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
            block: Duration::from_secs(3),
            redeliver_after: Duration::from_secs(5),
            forget_after: Duration::from_secs(3600),
            close_timeout: Duration::from_secs(5),
            memory_limit: 1_000_000,
        }
    }
}

/// The address of a Redis, such as `rediss://user:password@host:6379/0`.
///
/// Credentials show in neither `Debug` nor `Display`.
#[derive(Clone)]
pub struct RedisUrl(ConnectionInfo);

impl RedisUrl {
    pub(crate) fn connection_info(&self) -> ConnectionInfo {
        self.0.clone()
    }

    /// Host and port, or the socket's path.
    pub(crate) fn address(&self) -> String {
        self.0.addr().to_string()
    }
}

/// A text that is no address of a Redis. It does not repeat the text, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a redis url: write redis://[user:password@]host[:port][/database], or rediss:// for tls"
)]
pub struct RedisUrlError(#[source] redis::RedisError);

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(url: &str) -> Result<Self, RedisUrlError> {
        url.into_connection_info().map(Self).map_err(RedisUrlError)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.addr() {
            ConnectionAddr::TcpTls { .. } => "rediss",
            ConnectionAddr::Unix(_) => "redis+unix",
            _ => "redis",
        };
        let secret = match (
            self.0.redis_settings().username(),
            self.0.redis_settings().password(),
        ) {
            (None, None) => "",
            _ => "***@",
        };
        let database = self.0.redis_settings().db();
        write!(f, "{scheme}://{secret}{}/{database}", self.address())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_show() {
        let url: RedisUrl = "rediss://admin:hunter2@cache.example:7000/3"
            .parse()
            .unwrap();
        let config = QueueConfig {
            redis_url: Some(url.clone()),
            ..QueueConfig::default()
        };
        assert_eq!(url.to_string(), "rediss://***@cache.example:7000/3");
        for text in [format!("{url:?}"), format!("{config:?}")] {
            assert!(
                !text.contains("hunter2") && !text.contains("admin"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_url_says_what_to_write_and_keeps_its_secret() {
        let error = "http://user:hunter2@host".parse::<RedisUrl>().unwrap_err();
        assert!(error.to_string().contains("redis://"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

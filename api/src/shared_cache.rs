//! Answers that the API's processes share, in a Redis of their own.
//!
//! A process that has lost it, or never had it, answers from its database: nothing here fails, and
//! nothing waits for longer than a few milliseconds. What is read is believed only if it says
//! itself which question it answers (see `value`), so that no mix-up of keys, connections or
//! releases can show one answer for another.
//!
//! The keys are `fanfare:cache:` and the BLAKE3 hash of the question. Each has a time to live; a
//! `maxmemory` and an evicting policy are the operator's to set, so this must not be the queue's
//! Redis.

mod breaker;
mod connections;
mod value;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redis::RedisError;
use tokio::sync::{Semaphore, oneshot};

use breaker::{Breaker, Pass};
use connections::{Connections, Trouble};

/// The longest answer that is shared, in bytes: longer ones would keep others waiting.
const MOST_BYTES: usize = 1 << 20;

/// Answers on their way to Redis at once; more are not sent.
const PUTS: usize = 16;

/// How the cache is used. The defaults suit a server nearby.
#[derive(Debug, Clone)]
pub struct SharedCacheConfig {
    /// How long an answer is kept.
    pub time_to_live: Duration,
    /// How long somebody waits for an answer, from question to answer.
    pub get_within: Duration,
    /// How long storing an answer may take, once there is a connection.
    pub put_within: Duration,
    /// How long opening a connection may take, TLS and authentication included. Nobody waits for
    /// it longer than `get_within`.
    pub connect_within: Duration,
    /// Connections to Redis. Each carries one question at a time.
    pub connections: usize,
}

impl Default for SharedCacheConfig {
    fn default() -> Self {
        Self {
            time_to_live: Duration::from_secs(600),
            get_within: Duration::from_millis(5),
            put_within: Duration::from_millis(50),
            connect_within: Duration::from_millis(250),
            connections: 8,
        }
    }
}

/// A text that is no address of a Redis. It does not repeat the text, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a redis url: write redis://[user:password@]host[:port][/database], or rediss:// for tls"
)]
pub struct CacheUrlError(#[source] RedisError);

/// A question, with all that its answer depends on: equal texts have equal answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// The text stands with the answer, and is compared when it is read.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn text(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Where it stands in Redis.
    fn name(&self) -> String {
        format!("fanfare:cache:{}", blake3::hash(self.text()).to_hex())
    }
}

/// Answers in a Redis that may be slow, frozen or gone. Clones are the same.
#[derive(Clone)]
pub struct SharedCache(Arc<Inner>);

struct Inner {
    config: SharedCacheConfig,
    connections: Connections,
    breaker: Arc<Breaker>,
    puts: Arc<Semaphore>,
    /// Whether Redis did not take the last answer: it is full, or a replica.
    refuses: AtomicBool,
}

impl fmt::Debug for SharedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.0.config;
        f.debug_tuple("SharedCache").field(config).finish()
    }
}

impl SharedCache {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn open(url: &str, config: SharedCacheConfig) -> Result<Self, CacheUrlError> {
        let connections = Connections::new(url, &config).map_err(CacheUrlError)?;
        Ok(Self(Arc::new(Inner {
            config,
            connections,
            breaker: Arc::default(),
            puts: Arc::new(Semaphore::new(PUTS)),
            refuses: AtomicBool::new(false),
        })))
    }

    /// The answer to that question, if Redis has it and says so in time.
    pub(crate) async fn look(&self, key: &Key) -> Look {
        let Some(pass) = self.0.breaker.pass() else {
            return Look::LeftAlone;
        };
        let (give, given) = oneshot::channel();
        let (inner, name) = (Arc::clone(&self.0), key.name());
        // A task of its own goes on when nobody waits any more: a connection is used again only
        // when its answer has been read.
        tokio::spawn(async move {
            let found = inner.look_up(&name, pass).await;
            // Whoever asked may have gone.
            drop(give.send(found));
        });
        match tokio::time::timeout(self.0.config.get_within, given).await {
            Ok(Ok(Ok(Some(value)))) => value::decode(value, key).map_or(Look::Nothing, Look::Found),
            Ok(Ok(Ok(None))) => Look::Nothing,
            Ok(Ok(Err(Silent)) | Err(_)) | Err(_) => Look::Failed,
        }
    }

    /// Whether nobody asks because it failed.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.0.breaker.is_open()
    }

    /// Has the answer to that question stored, if Redis can be had and not too much is on its way
    /// there already. Never waits.
    pub(crate) fn put(&self, key: Key, answer: Bytes) {
        if answer.len() > MOST_BYTES {
            return;
        }
        let Some(pass) = self.0.breaker.pass_if_closed() else {
            return;
        };
        let Ok(permit) = Arc::clone(&self.0.puts).try_acquire_owned() else {
            return;
        };
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let _permit = permit;
            inner.store(&key, &answer, pass).await;
        });
    }
}

/// What a look for an answer led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// The answer.
    Found(Bytes),
    /// There is none.
    Nothing,
    /// Redis did not say, or not in time.
    Failed,
    /// Nobody was asked: Redis has failed too often lately.
    LeftAlone,
}

impl Look {
    pub(crate) fn found(self) -> Option<Bytes> {
        match self {
            Self::Found(answer) => Some(answer),
            Self::Nothing | Self::Failed | Self::LeftAlone => None,
        }
    }
}

/// Redis has not said whether it has an answer.
struct Silent;

impl Inner {
    async fn look_up(&self, name: &str, pass: Pass) -> Result<Option<Vec<u8>>, Silent> {
        let get = redis::Cmd::get(name);
        let within = self.config.get_within;
        match self.connections.ask(&get, within).await {
            Ok(found) => {
                pass.succeeded();
                Ok(found)
            }
            // What stands there is not ours, and Redis is well.
            Err(Trouble::Refused(error)) if error.code() == Some("WRONGTYPE") => {
                pass.succeeded();
                Ok(None)
            }
            Err(Trouble::Busy) => Err(Silent),
            Err(trouble) => {
                pass.failed(&trouble);
                Err(Silent)
            }
        }
    }

    async fn store(&self, key: &Key, answer: &[u8], pass: Pass) {
        let milliseconds = self.config.time_to_live.as_millis().max(1);
        let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
        let value = value::encode(key, answer);
        let set = redis::Cmd::pset_ex(key.name(), value, milliseconds);
        let within = self.config.put_within;
        match self.connections.ask(&set, within).await {
            Ok(()) => {
                pass.succeeded();
                if self.refuses.swap(false, Ordering::Relaxed) {
                    tracing::info!("the shared cache takes answers again");
                }
            }
            // It may still have answers for us.
            Err(Trouble::Refused(error)) => {
                if !self.refuses.swap(true, Ordering::Relaxed) {
                    let error = telemetry::Chain(&error).to_string();
                    tracing::warn!(error, "the shared cache takes no answers");
                }
            }
            Err(Trouble::Busy) => {}
            Err(trouble) => pass.failed(&trouble),
        }
    }
}

#[cfg(test)]
mod tests;

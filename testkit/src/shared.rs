//! The servers that all tests share.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use crate::{PostgresServer, RedisServer};

// The only statics of the workspace: the tests of one process share a server, and the harness
// gives them no other place to meet. The servers end with the last test that uses them.
static POSTGRES: Mutex<Weak<PostgresServer>> = Mutex::const_new(Weak::new());
static REDIS: Mutex<Weak<RedisServer>> = Mutex::const_new(Weak::new());

/// A shared server's URL, to be kept for as long as the server is needed.
#[derive(Clone)]
pub struct SharedServer {
    url: String,
    _owner: Option<Arc<dyn Send + Sync>>,
}

impl Deref for SharedServer {
    type Target = str;

    fn deref(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for SharedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// A superuser's URL of the PostgreSQL that `scripts/test` has started
/// (`FANFARE_TEST_DATABASE_URL`), or of one that this process shares.
///
/// Use [`Database::postgres`](crate::Database::postgres) for anything that writes.
///
/// # Panics
/// When there is none and none can be started.
pub async fn postgres_url() -> SharedServer {
    if let Ok(url) = std::env::var("FANFARE_TEST_DATABASE_URL") {
        return SharedServer { url, _owner: None };
    }
    let mut shared = POSTGRES.lock().await;
    let server = match shared.upgrade() {
        Some(server) => server,
        None => Arc::new(PostgresServer::start_with(&["max_connections=300"]).await),
    };
    *shared = Arc::downgrade(&server);
    SharedServer {
        url: server.url(),
        _owner: Some(server),
    }
}

/// The URL of the Redis that `scripts/test` has started (`FANFARE_TEST_REDIS_URL`), or of one
/// that this process shares. Tests keep apart by [`queue_namespace`](crate::queue_namespace).
///
/// # Panics
/// When there is none and none can be started.
pub async fn redis_url() -> SharedServer {
    if let Ok(url) = std::env::var("FANFARE_TEST_REDIS_URL") {
        return SharedServer { url, _owner: None };
    }
    let mut shared = REDIS.lock().await;
    let server = match shared.upgrade() {
        Some(server) => server,
        None => Arc::new(RedisServer::start().await),
    };
    *shared = Arc::downgrade(&server);
    SharedServer {
        url: server.url(),
        _owner: Some(server),
    }
}

//! HTTP in, events out.
//!
//! Reads answer from the database and from caches of what it said: none of them writes, and none waits
//! for a provider or for the queue. Search keeps to a published contract, `contract/search.openapi.yaml`; every other
//! route speaks in its envelope, errors included.

mod admin;
mod admission;
mod cache;
mod cache_control;
mod change;
mod client;
mod context;
mod cors;
mod cursor;
mod difference;
mod docs;
mod encoding;
mod entry;
mod error;
mod event;
mod flight;
mod follow;
mod front;
mod health;
mod history;
mod limits;
mod metrics;
mod openapi;
mod paced;
mod providers;
mod query;
mod question;
mod rate;
mod reader;
mod render;
mod respond;
mod route;
mod router;
mod search;
mod secure;
mod serve;
mod shared_cache;
mod spool;
mod standing;
mod trace;

use std::path::PathBuf;
use std::time::Duration;

use entity::Database;
use opentelemetry::metrics::Meter;
use telemetry::EndedSpans;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use admin::{AdminToken, BadToken};
pub use cache_control::CacheControl;
pub use client::{BadProxy, Peer, TrustedProxies};
pub use context::Context;
pub use cors::{BadOrigin, Cors};
use error::Error;
pub use front::{Answering, Payload, Service};
pub use openapi::{openapi, openapi_json};
pub use rate::{BadRate, PerSecond, Rate};
use router::router;
pub use shared_cache::{CacheUrlError, SharedCache, SharedCacheConfig};

/// How the API behaves. Where it listens and what it reads from are arguments of [`run`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Longest wait for the database's first answer to a request; then it counts as unreachable.
    pub database_timeout: Duration,
    /// Longest time for a whole request, up to the beginning of its answer.
    pub request_timeout: Duration,
    /// How long the process is not ready but still takes requests, once shutdown is asked for: time
    /// for whoever balances the load to notice.
    pub drain_delay: Duration,
    /// Longest time after that for open requests to end.
    pub drain_timeout: Duration,
    /// What caches between us and the client may do.
    pub cache_control: CacheControl,
    /// Bytes of memory for answers that are kept.
    pub cache_bytes: u64,
    /// A Redis in which processes share their answers.
    pub shared_cache: Option<SharedCache>,
    /// Requests that read the database at once.
    pub queries: usize,
    /// Requests that may wait for that. Whoever comes then is turned away.
    pub waiting: usize,
    /// Folder for answers that are too large for memory; the system's for temporary files without it.
    pub spool_folder: Option<PathBuf>,
    /// Bytes that all such answers may take at once.
    pub spool_bytes: u64,
    /// How long a replica may lack a commit before the primary is read instead.
    pub replica_lag: Duration,
    /// Connections at once. Beyond them only probes are answered.
    pub connections: usize,
    /// Longest time for a request's head to come, and for a connection to be idle.
    pub header_timeout: Duration,
    /// A client has to take [`Config::least_write`] bytes of an answer in each such period.
    pub write_timeout: Duration,
    /// See [`Config::write_timeout`].
    pub least_write: usize,
    /// Measures the API; nothing is measured without it.
    pub meter: Option<Meter>,
    /// Records spans of answers that are at hand; they have none without it.
    pub spans_of_hits: Option<EndedSpans>,
    /// Whether `/metrics` is answered: for whoever collects them, not for clients.
    pub exposes_metrics: bool,
    /// The build, as `/v1/health` tells it.
    pub version: String,
    /// What opens the routes that change something; there are none without it.
    pub admin_token: Option<AdminToken>,
    /// How often each client may ask; as often as it likes without it.
    pub rate: Option<Rate>,
    /// Proxies that are believed whom they speak for.
    pub trusted_proxies: TrustedProxies,
    /// Other origins whose pages may read the answers.
    pub cors: Cors,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            cache_control: CacheControl::default(),
            cache_bytes: 64 * 1024 * 1024,
            shared_cache: None,
            queries: 10,
            waiting: 512,
            spool_folder: None,
            spool_bytes: 2 * 1024 * 1024 * 1024,
            replica_lag: Duration::from_secs(5),
            connections: 10_000,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            least_write: 64 * 1024,
            meter: None,
            spans_of_hits: None,
            exposes_metrics: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            admin_token: None,
            rate: None,
            trusted_proxies: TrustedProxies::default(),
            cors: Cors::Off,
        }
    }
}

/// Serves on `listener` until `shutdown` fires and the open requests have ended, or their deadline
/// is over; connections that are still open then end with the process.
///
/// # Errors
/// None at present: a listener that fails is tried again.
pub async fn run(
    config: Config,
    listener: TcpListener,
    db: Database,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let context = Context::new(config, db, shutdown);
    tokio::select! {
        () = context.follow() => {}
        () = serve::serve(context.clone(), listener) => {}
    }
    Ok(())
}

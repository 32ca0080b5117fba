//! HTTP in, events out.
//!
//! Reads answer from the database alone: none of them writes, and none waits for a provider or for
//! the queue. Search keeps to a published contract, `contract/search.openapi.yaml`; every other
//! route speaks in its envelope, errors included.

mod admin;
mod client;
mod context;
mod cors;
mod docs;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "no route compresses its answers yet")
)]
mod encoding;
mod error;
mod event;
mod health;
mod limits;
mod openapi;
mod providers;
mod query;
mod rate;
mod render;
mod router;
mod search;
mod secure;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "no route shares its answers yet")
)]
mod shared_cache;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "no route spools its answers yet")
)]
mod spool;
mod trace;

use std::future::IntoFuture;
use std::time::Duration;

use anyhow::Context as _;
use axum::serve::ListenerExt;
use entity::Database;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use admin::{AdminToken, BadToken, Refused};
pub use client::{BadProxy, Peer, TrustedProxies};
pub use context::Context;
pub use cors::{BadOrigin, Cors};
pub use error::Error;
pub use openapi::{openapi, openapi_json};
pub use rate::{BadRate, PerSecond, Rate};
pub use router::router;

/// How the API behaves. Where it listens and what it reads from are arguments of [`run`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Longest wait for the database's first answer to a request; then it counts as unreachable.
    pub database_timeout: Duration,
    /// Longest time for a whole request.
    pub request_timeout: Duration,
    /// Longest time for open requests to end once shutdown is asked for.
    pub drain_timeout: Duration,
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
            drain_timeout: Duration::from_secs(10),
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
/// The listener failed for good.
pub async fn run(
    config: Config,
    listener: TcpListener,
    db: Database,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let drain_timeout = config.drain_timeout;
    let router = router(Context::new(config, db, shutdown.clone()));
    // Answers are small and written whole: waiting to fill a packet only delays them. Where the
    // option can't be set the answers are late, not wrong.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain_timeout).await;
    };
    tokio::select! {
        served = serving => served.context("serve HTTP"),
        () = deadline => {
            tracing::warn!(?drain_timeout, "requests are cut off: they did not end in time");
            Ok(())
        }
    }
}

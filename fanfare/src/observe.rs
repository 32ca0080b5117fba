//! A scheduler's or worker's own small HTTP server, for probes.

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listen::listen;
use crate::options::ObserveOptions;

/// Serves `/healthz` and `/readyz` until `shutdown` fires, if an address is set.
pub(crate) async fn start(
    options: &ObserveOptions,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(address) = options.observe_listen else {
        return Ok(());
    };
    let listener = listen(address, "--observe-listen").await?;
    let address = listener.local_addr().context("a socket has an address")?;
    tracing::info!(%address, "probes are answered");
    tokio::spawn(serve(listener, shutdown.clone()));
    Ok(())
}

async fn serve(listener: TcpListener, shutdown: CancellationToken) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ok\n" }));
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = served.await {
        tracing::warn!(%error, "probes are no longer answered");
    }
}

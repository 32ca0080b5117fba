//! Instruments, and what they have measured as text.

use std::sync::OnceLock;

use opentelemetry::metrics::Meter;
use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Registry, TextEncoder};
use tokio::sync::Semaphore;

/// The registry behind [`exposition`], once telemetry is set up.
static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// Makes this project's instruments. What is made before telemetry is set up measures nothing.
#[must_use]
pub fn meter() -> Meter {
    opentelemetry::global::meter(crate::SCOPE)
}

/// Upper bounds of histogram buckets, in seconds.
pub mod bounds {
    /// Of an API request: answers at hand take microseconds, large windows seconds.
    pub const REQUEST: [f64; 16] = [
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
        2.5, 5.0, 10.0,
    ];
    /// Of a stage of a run, or a whole one: from a 304 nearby to a feed that takes minutes.
    pub const RUN: [f64; 15] = [
        0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
    ];
    /// Of what a backlog makes wait, and of fan-outs: up to an hour.
    pub const BACKLOG: [f64; 15] = [
        0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0,
    ];
}

/// All metrics in Prometheus' text format, version 0.0.4.
///
/// # Errors
/// Telemetry is not set up, or a metric can't be written.
pub fn exposition() -> Result<String, ExpositionError> {
    let registry = REGISTRY.get().ok_or(ExpositionError::NotSetUp)?;
    Ok(TextEncoder::new().encode_to_string(&registry.gather())?)
}

/// The content type of [`exposition`].
pub const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// As many scrapes at once: several Prometheus ask, and each for all that there is.
static SCRAPES: Semaphore = Semaphore::const_new(2);

/// [`exposition`] for whoever asks over the network: off the async threads, and two at once.
///
/// # Errors
/// As [`exposition`], and [`ExpositionError::Busy`].
pub async fn scrape() -> Result<String, ExpositionError> {
    let place = SCRAPES.try_acquire().map_err(|_| ExpositionError::Busy)?;
    let gathering = tokio::task::spawn_blocking(move || {
        // Held until it is done, also if nobody waits for it any more.
        let _place = place;
        exposition()
    });
    gathering.await.map_err(|_| ExpositionError::Failed)?
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum ExpositionError {
    /// As many are being written as may be at once.
    #[error("the metrics are being read by too many at once")]
    Busy,
    /// An instrument's callback panicked.
    #[error("the metrics could not be gathered")]
    Failed,
    /// [`crate::init`] was not called.
    #[error("telemetry is not set up")]
    NotSetUp,
    /// A metric can't be written.
    #[error("write the metrics")]
    Write(#[from] prometheus::Error),
}

/// A reader that keeps what is measured for `registry`.
pub(crate) fn reader(registry: &Registry) -> PrometheusExporter {
    opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .expect("a registry without collectors takes one")
}

/// Makes `registry` the process'. A second one is not taken.
pub(crate) fn publish(registry: Registry) {
    let _ = REGISTRY.set(registry);
}

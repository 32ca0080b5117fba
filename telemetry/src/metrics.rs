//! Instruments, and what they have measured as text.

use std::sync::OnceLock;

use opentelemetry::metrics::Meter;
use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Registry, TextEncoder};

/// The registry behind [`exposition`], once telemetry is set up.
static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// Makes this project's instruments. What is made before telemetry is set up measures nothing.
#[must_use]
pub fn meter() -> Meter {
    opentelemetry::global::meter("fanfare")
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

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum ExpositionError {
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

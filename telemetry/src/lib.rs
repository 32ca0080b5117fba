//! Logs, traces and metrics: set up once by the binary, flushed when it ends.
//!
//! Every process makes trace ids, so that a run can be followed by its logs and through the queue
//! also where nothing is exported, and keeps its metrics for whoever asks it for them. Spans and metrics
//! leave it by OTLP when the standard `OTEL_*` variables say so.

mod attributes;
mod chain;
mod context;
mod counted;
mod detached;
mod export;
mod log;
mod metrics;
mod process;
mod pulse;
mod resource;
mod sampling;
mod sending;
mod spans;
mod variables;

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::Registry;
use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry as Spans};

pub use attributes::{describe, fail, number};
pub use chain::Chain;
pub use context::{
    TraceContext, current_trace_context, set_parent, trace_id, trace_id_of, traceparent,
};
pub use detached::{DetachedSpan, Joins};
pub use export::{Destination, Export, ExportError, Transport};
use log::Look;
pub use metrics::{EXPOSITION, ExpositionError, bounds, exposition, meter, scrape};
pub use process::tell_of_process;
pub use pulse::Pulse;
pub use sending::Sending;
pub use spans::{EndedSpans, ended_spans, layer};
pub use variables::BadVariable;

/// As whom this project's spans and instruments are made, whichever way.
const SCOPE: &str = "fanfare";

/// As long as a process waits for its last spans and metrics to be taken.
const FLUSHED_WITHIN: Duration = Duration::from_secs(5);

/// What a process says about itself, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// The role, as `fanfare-worker`; `OTEL_SERVICE_NAME` wins over it.
    pub service_name: String,
    /// The version of the binary.
    pub service_version: String,
    /// Tells this process from others of its role.
    pub instance_id: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which events are logged, in `tracing`'s filter syntax: `info,sqlx=warn`.
    pub log_filter: String,
    /// Where spans and metrics go.
    pub export: Export,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people when standard error is a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line, with `trace_id` and `span_id` inside a span.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter does not parse.
    #[error("log filter `{filter}`")]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The exporter could not be made.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The process has a subscriber already.
    #[error("set the process' subscriber")]
    Subscriber(#[source] TryInitError),
}

/// Sets up logging to standard error, trace ids, and export where it is configured.
///
/// The process must have a default TLS provider if it exports. Call once, and keep the guard.
///
/// # Errors
/// When the configuration is invalid, or this was called before.
pub fn init(config: &Config) -> Result<Guard, Error> {
    init_to(config, std::io::stderr)
}

/// Does what [`init`] does, with log lines written by `writer`, each in one piece: something that shares
/// standard error with others.
///
/// # Errors
/// As [`init`].
pub fn init_to<W>(config: &Config, writer: W) -> Result<Guard, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let look = Look::new(config.log_format, std::io::stderr().is_terminal());
    let registry = Registry::new();
    let metrics = measure(config, &registry)?;
    metrics::publish(registry);
    // Before the spans' processor is made, which counts what it takes.
    opentelemetry::global::set_meter_provider(metrics.clone());
    let (subscriber, guard) = build(config, metrics, look, writer)?;
    subscriber.try_init().map_err(Error::Subscriber)?;
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    opentelemetry::global::set_tracer_provider(guard.traces.clone());
    if config.export.traces != Destination::Off {
        spans::publish(EndedSpans::of(&guard.traces));
    }
    Ok(guard)
}

/// What is measured goes to `registry`, and where it is exported to.
fn measure(config: &Config, registry: &Registry) -> Result<SdkMeterProvider, ExportError> {
    let provider = SdkMeterProvider::builder()
        .with_resource(resource::of(config))
        .with_reader(metrics::reader(registry));
    export::metrics(&config.export.metrics, provider)
}

/// The log filter rules the log alone: spans are made whether or not their events are logged.
fn build<W>(
    config: &Config,
    metrics: SdkMeterProvider,
    look: Look,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, Guard), Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.log_filter).map_err(|source| Error::Filter {
        filter: config.log_filter.clone(),
        source,
    })?;
    let resource = resource::of(config);
    let guard = Guard {
        traces: export::traces(&config.export.traces, resource)?,
        metrics,
    };
    let spans = spans::layer(&guard.traces);
    // Spans come first: the log line of an event asks for the ids of the span around it.
    let subscriber = Spans::default()
        .with(spans)
        .with(log::layer_for(look, writer).with_filter(filter));
    Ok((subscriber, guard))
}

/// Keeps telemetry going, and flushes it at the end.
#[must_use = "telemetry is flushed by `shutdown`"]
#[derive(Debug)]
pub struct Guard {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
}

impl Guard {
    /// Sends what has not been sent yet; gives up after five seconds, with a warning in the log.
    pub async fn shutdown(self) {
        self.shutdown_within(FLUSHED_WITHIN).await;
    }

    async fn shutdown_within(self, deadline: Duration) {
        let Self { traces, metrics } = self;
        // Both wait for a thread of theirs, which waits for the network.
        let traces = tokio::task::spawn_blocking(move || traces.shutdown_with_timeout(deadline));
        let metrics = tokio::task::spawn_blocking(move || metrics.shutdown_with_timeout(deadline));
        let both = async { tokio::join!(traces, metrics) };
        let Ok((traces, metrics)) = tokio::time::timeout(deadline, both).await else {
            return tracing::warn!(?deadline, "telemetry was not flushed in time");
        };
        for (signal, flushed) in [("traces", traces), ("metrics", metrics)] {
            match flushed {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(signal, %error, "telemetry was not flushed"),
                Err(error) => tracing::warn!(signal, %error, "telemetry was not flushed"),
            }
        }
    }
}

#[cfg(test)]
mod tests;

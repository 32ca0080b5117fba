//! Spans of what is over already, past `tracing`: a request that took microseconds can't pay for a
//! span of many times that.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Tracer, TracerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::SCOPE;
use crate::context::remote;

/// What [`ended_spans`] gives, once telemetry is set up and exports spans.
static ENDED: OnceLock<EndedSpans> = OnceLock::new();

/// Records spans of what is over already; `None` where no span goes anywhere.
#[must_use]
pub fn ended_spans() -> Option<EndedSpans> {
    ENDED.get().cloned()
}

/// Makes these the process'. Second ones are not taken.
pub(crate) fn publish(spans: EndedSpans) {
    let _ = ENDED.set(spans);
}

/// Records spans of what is over already.
#[derive(Debug, Clone)]
pub struct EndedSpans(SdkTracer);

impl EndedSpans {
    /// Records by way of this provider, its sampler and its processors.
    #[must_use]
    pub fn of(provider: &SdkTracerProvider) -> Self {
        Self(provider.tracer(SCOPE))
    }

    /// Records a server's span that has taken so long until now, if the sampler wants it. Only then
    /// are its attributes asked for.
    ///
    /// A `traceparent` makes it continue that trace; a malformed one counts as none.
    pub fn server(
        &self,
        name: &'static str,
        (traceparent, tracestate): (Option<&str>, Option<&str>),
        took: Duration,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) {
        let parent = remote(traceparent, tracestate).unwrap_or_default();
        let end = SystemTime::now();
        let builder = SpanBuilder {
            span_kind: Some(SpanKind::Server),
            start_time: Some(end.checked_sub(took).unwrap_or(end)),
            ..SpanBuilder::from_name(name)
        };
        // The sampler is the provider's own, asked by the provider itself. None of the standard ones
        // looks at attributes.
        let mut span = self.0.build_with_context(builder, &parent);
        if span.is_recording() {
            span.set_attributes(attributes());
            span.end_with_timestamp(end);
        }
    }
}

/// Makes a span of each of `tracing`'s, except of what exports them: that would go on for ever.
pub fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SCOPE))
        .with_threads(false)
        .with_location(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(traced())
}

/// What the exporter itself does is never traced: it would export for ever.
fn traced() -> Targets {
    let exporter = [
        "h2",
        "hyper",
        "hyper_util",
        "tonic",
        "tower",
        "opentelemetry",
        "opentelemetry_sdk",
    ];
    let exporter = exporter
        .into_iter()
        .chain(["opentelemetry_otlp", "reqwest", "rustls"]);
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets(exporter.map(|target| (target, LevelFilter::OFF)))
}

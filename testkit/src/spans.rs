//! The spans that this process makes, kept for a test to look at.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
pub use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Spans of this process that have ended, of all of its tests.
#[derive(Debug, Clone, Default)]
pub struct Spans(Arc<Mutex<Vec<SpanData>>>);

/// Has this process make spans, as a role's start does, and keeps them from the first call on.
#[must_use]
pub fn spans() -> &'static Spans {
    static SPANS: OnceLock<Spans> = OnceLock::new();
    SPANS.get_or_init(|| {
        let spans = Spans::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(Kept(spans.clone()))
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("test"))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        global::set_tracer_provider(provider);
        tracing_subscriber::registry()
            .with(tracing_subscriber::filter::LevelFilter::INFO)
            .with(layer)
            .try_init()
            .expect("no other subscriber is the process'");
        spans
    })
}

impl Spans {
    /// Those of one trace, in the order of their ends.
    #[must_use]
    pub fn of_trace(&self, trace: TraceId) -> Vec<SpanData> {
        self.that(|span| span.span_context.trace_id() == trace)
    }

    /// Those that refer to a span from a trace of their own.
    #[must_use]
    pub fn linked_to(&self, to: SpanId) -> Vec<SpanData> {
        self.that(|span| {
            span.links
                .iter()
                .any(|link| link.span_context.span_id() == to)
        })
    }

    /// Those with that attribute, shown as text.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Vec<SpanData> {
        self.that(|span| attribute(span, key).as_deref() == Some(value))
    }

    fn that(&self, fits: impl Fn(&SpanData) -> bool) -> Vec<SpanData> {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.iter().filter(|span| fits(span)).cloned().collect()
    }
}

/// The value of a span's attribute as text.
#[must_use]
pub fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let attributes = span.attributes.iter();
    let mut found = attributes.filter(|attribute| attribute.key.as_str() == key);
    found.next().map(|attribute| attribute.value.to_string())
}

#[derive(Debug)]
struct Kept(Spans);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut spans = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(batch);
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

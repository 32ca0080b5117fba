//! Spans of a test's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry::Value;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use telemetry::EndedSpans;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

/// What was exported, in order.
#[derive(Debug, Clone, Default)]
struct Exported(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Exported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

pub(crate) struct Recorded {
    exported: Exported,
    provider: SdkTracerProvider,
}

impl Recorded {
    pub(crate) fn with(sampler: Sampler) -> Self {
        Self::with_ids(sampler, RandomIdGenerator::default())
    }

    /// Each trace that begins gets this id.
    pub(crate) fn with_trace(sampler: Sampler, trace: TraceId) -> Self {
        Self::with_ids(sampler, Always(trace))
    }

    fn with_ids(sampler: Sampler, ids: impl IdGenerator + 'static) -> Self {
        let exported = Exported::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exported.clone())
            .with_sampler(sampler)
            .with_id_generator(ids)
            .build();
        Self { exported, provider }
    }

    pub(crate) fn ended_spans(&self) -> EndedSpans {
        EndedSpans::of(&self.provider)
    }

    /// Has the spans of this thread recorded as a process records them.
    pub(crate) fn subscribe(&self) -> DefaultGuard {
        let subscriber = Registry::default().with(telemetry::layer(&self.provider));
        tracing::subscriber::set_default(subscriber)
    }

    /// What was recorded since this was last asked.
    pub(crate) fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut *self.exported.0.lock().unwrap())
    }
}

#[derive(Debug)]
struct Always(TraceId);

impl IdGenerator for Always {
    fn new_trace_id(&self) -> TraceId {
        self.0
    }

    fn new_span_id(&self) -> SpanId {
        RandomIdGenerator::default().new_span_id()
    }
}

/// The only one.
pub(crate) fn one(spans: Vec<SpanData>) -> SpanData {
    let names: Vec<_> = spans.iter().map(|span| span.name.clone()).collect();
    match <[SpanData; 1]>::try_from(spans) {
        Ok([span]) => span,
        Err(_) => panic!("not one span: {names:?}"),
    }
}

/// Each with its type; whether its text is a constant does not matter.
pub(crate) fn attributes(span: &SpanData) -> BTreeMap<String, Value> {
    let attributes = span.attributes.iter();
    let told: BTreeMap<_, _> = attributes
        .map(|attribute| {
            let value = match &attribute.value {
                Value::String(text) => text.as_str().to_owned().into(),
                other => other.clone(),
            };
            (attribute.key.to_string(), value)
        })
        .collect();
    assert_eq!(told.len(), span.attributes.len(), "none is told twice");
    told
}

/// An attribute as text; nothing if it is not there.
pub(crate) fn text(span: &SpanData, name: &str) -> String {
    let told = attributes(span);
    told.get(name)
        .map_or_else(String::new, |value| value.to_string())
}

//! The trace that the current work belongs to, in and out of the process.
//!
//! W3C Trace Context: `traceparent` is `00-<trace id>-<parent span id>-<flags>` in lower-case
//! hexadecimal; `tracestate` carries what vendors add.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// What travels with a job or a request so that its receiver continues the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The sender's span.
    pub traceparent: String,
    /// What vendors add; `None` when there is nothing.
    pub tracestate: Option<String>,
}

/// The current span's context, to be sent along; `None` outside a traced span.
#[must_use]
pub fn current_trace_context() -> Option<TraceContext> {
    current_span_context()?;
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Context::current(), &mut carrier);
    Some(TraceContext {
        traceparent: carrier.remove("traceparent")?,
        tracestate: carrier
            .remove("tracestate")
            .filter(|state| !state.is_empty()),
    })
}

/// The current span's `traceparent`; `None` outside a traced span.
#[must_use]
pub fn traceparent() -> Option<String> {
    current_trace_context().map(|context| context.traceparent)
}

/// The current span's trace id, as it stands in logs; `None` outside a traced span.
#[must_use]
pub fn trace_id() -> Option<String> {
    current_span_context().map(|context| context.trace_id().to_string())
}

/// Makes the span continue a trace that began elsewhere, and tells whether it does.
///
/// It must come before the span is first entered. A missing or malformed `traceparent` leaves
/// the span where it is.
pub fn set_parent(
    span: &tracing::Span,
    traceparent: Option<&str>,
    tracestate: Option<&str>,
) -> bool {
    remote(traceparent, tracestate).is_some_and(|parent| span.set_parent(parent).is_ok())
}

/// A context with nothing but the sender's span, if `traceparent` is well-formed.
pub(crate) fn remote(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Context> {
    let headers = Headers {
        traceparent: traceparent?,
        tracestate,
    };
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let valid = parent.span().span_context().is_valid();
    valid.then_some(parent)
}

struct Headers<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.traceparent),
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// The `traceparent` of a span.
pub(crate) fn format(span: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        span.trace_id(),
        span.span_id(),
        span.trace_flags() & TraceFlags::SAMPLED
    )
}

/// The trace id within a `traceparent`, as it stands in logs; `None` if there is none.
#[must_use]
pub fn trace_id_of(traceparent: &str) -> Option<String> {
    let sender = remote(Some(traceparent), None)?;
    Some(sender.span().span_context().trace_id().to_string())
}

/// Entering a span makes its context the current one.
pub(crate) fn current_span_context() -> Option<SpanContext> {
    let context = Context::current();
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}

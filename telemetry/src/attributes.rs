//! What spans are told besides their fields.

use opentelemetry::KeyValue;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Gives a span attributes that the log's lines within it do not repeat.
pub fn describe<const N: usize>(span: &Span, attributes: [KeyValue; N]) {
    for attribute in attributes {
        span.set_attribute(attribute.key, attribute.value);
    }
}

/// Marks a span as failed, by one of few words. It must have the fields `otel.status_code` and
/// `error.type`.
pub fn fail(span: &Span, error_type: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error_type);
}

/// A number as spans take it: one without a sign would become text.
#[must_use]
pub fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

//! The producer's span of a job, by OpenTelemetry's conventions for messaging.

use std::fmt::Display;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;

use crate::{DetachedSpan, Joins};

/// The span of a job from when it is to be pushed until it is in the queue: `send sync`.
#[derive(Debug)]
#[must_use = "the span ends when this is dropped"]
pub struct Sending(DetachedSpan);

impl Sending {
    /// Begins now, for the job of `run` in a queue: what keeps it (`redis`), and its name.
    pub fn begin(joins: Joins<'_>, system: &'static str, queue: &str, run: &dyn Display) -> Self {
        let mut span = DetachedSpan::begin("send sync", SpanKind::Producer, joins);
        span.tell(|| {
            let run = run.to_string();
            [
                KeyValue::new("messaging.system", system),
                KeyValue::new("messaging.destination.name", queue.to_owned()),
                KeyValue::new("messaging.operation.name", "send"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.message.id", run.clone()),
                KeyValue::new("fanfare.run", run),
            ]
        });
        Self(span)
    }

    /// What the job carries; `None` where the process makes no traces.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.0.traceparent()
    }

    /// Marks it as failed, by one of few words.
    pub fn fail(&mut self, error_type: &'static str) {
        self.0.fail(error_type);
    }
}

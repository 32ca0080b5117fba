//! Spans of a tick that are known only once they are over.

use std::collections::HashMap;
use std::time::SystemTime;

use entity::Kind;
use entity::claim::{Claim, Lost};
use entity::fan_out::Closed;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use telemetry::{DetachedSpan, Joins, number};
use uuid::Uuid;

/// The span of a batch that is claimed, within the span of its fan-out.
pub(crate) fn claim(kind: Kind, fan_out: Uuid) -> tracing::Span {
    tracing::info_span!(
        "claim",
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        db.system.name = kind.system_name(),
        db.operation.name = CLAIMS_BY,
        fanfare.fan_out = %fan_out,
        fanfare.runs = tracing::field::Empty,
        error.type = tracing::field::Empty,
    )
}

const CLAIMS_BY: &str = "INSERT";

/// What one transaction takes up of what was asked for: whose it is shows only meanwhile.
pub(crate) struct Taken {
    since: SystemTime,
    fan_outs: HashMap<Uuid, (Option<String>, i64)>,
}

impl Taken {
    pub(crate) fn begin() -> Self {
        Self {
            since: SystemTime::now(),
            fan_outs: HashMap::new(),
        }
    }

    pub(crate) fn note(&mut self, claim: Claim<'_>) {
        let of_it = self.fan_outs.entry(claim.fan_out);
        of_it
            .or_insert_with(|| (claim.traceparent.map(str::to_owned), 0))
            .1 += 1;
    }

    /// It is done, or has failed: makes a span in the trace of each fan-out.
    pub(crate) fn end(self, kind: Kind, failed: Option<&'static str>) {
        let now = SystemTime::now();
        for (fan_out, (traceparent, runs)) in self.fan_outs {
            let joins = Joins::Parent(traceparent.as_deref());
            let mut span = DetachedSpan::began_at("claim", SpanKind::Client, joins, self.since);
            span.tell(|| {
                [
                    KeyValue::new("db.system.name", kind.system_name()),
                    KeyValue::new("db.operation.name", CLAIMS_BY),
                    KeyValue::new("fanfare.fan_out", fan_out.to_string()),
                    KeyValue::new("fanfare.runs", runs),
                ]
            });
            if let Some(error_type) = failed {
                span.fail(error_type);
            }
            span.ended_at(now);
        }
    }
}

/// A run that was lost with its worker, whose own span of it never ended.
pub(crate) fn lost(lost: &Lost) {
    let joins = Joins::Parent(lost.traceparent.as_deref());
    let mut span = DetachedSpan::begin("run lost", SpanKind::Internal, joins);
    span.tell(|| {
        [
            KeyValue::new("fanfare.run", lost.id.to_string()),
            KeyValue::new("fanfare.provider", lost.provider.clone()),
            KeyValue::new("fanfare.outcome", "lost"),
            KeyValue::new(
                "messaging.client.id",
                lost.worker.clone().unwrap_or_default(),
            ),
        ]
    });
    span.fail("lost");
}

/// A fan-out that is over, as a part of its trace. Its instants are placed by how long ago they were
/// by the database's clock, whose difference to this machine's does not matter then.
pub(crate) fn closed(closed: &Closed) {
    if closed.traceparent.is_none() {
        return;
    }
    let now = SystemTime::now();
    let end = now.checked_sub(closed.ended_ago).unwrap_or(now);
    let start = end.checked_sub(closed.duration).unwrap_or(end);
    let joins = Joins::Parent(closed.traceparent.as_deref());
    let mut span = DetachedSpan::began_at("fan-out closed", SpanKind::Internal, joins, start);
    span.tell(|| {
        [
            KeyValue::new("fanfare.fan_out", closed.id.to_string()),
            KeyValue::new("fanfare.trigger", closed.trigger.name()),
            KeyValue::new("fanfare.runs", number(closed.runs)),
            KeyValue::new("fanfare.failed", number(closed.failed)),
        ]
    });
    span.ended_at(end);
}

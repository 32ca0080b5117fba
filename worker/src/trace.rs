//! What a run's spans say besides where it is.

use std::time::{Duration, SystemTime};

use entity::Kind;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use queue::{Producer, SyncJob};
use reqwest::StatusCode;
use telemetry::{DetachedSpan, fail, number};
use tracing::Span;
use tracing::field::Empty;
use url::Url;
use uuid::Uuid;

/// The span of a job in this worker's hands, which has its run's other spans within it.
pub(crate) fn process(job: SyncJob, queue: &Producer, worker: &str) -> Span {
    let span = tracing::info_span!(
        "process sync",
        otel.kind = "consumer",
        otel.status_code = Empty,
        fanfare.run = %job.run,
        fanfare.provider = Empty,
        fanfare.outcome = Empty,
        error.type = Empty,
    );
    // Not as fields, which every line of the log within the run would have.
    telemetry::describe(
        &span,
        [
            KeyValue::new("messaging.system", queue.system()),
            KeyValue::new("messaging.destination.name", queue.namespace().to_owned()),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.message.id", job.run.to_string()),
            KeyValue::new("messaging.client.id", worker.to_owned()),
        ],
    );
    span
}

/// A span of what one transaction does.
pub(crate) fn begin(kind: Kind) -> Span {
    tracing::info_span!(
        "begin",
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = kind.system_name(),
        db.operation.name = "UPDATE",
        error.type = Empty,
    )
}

/// The span of a run's commit, of so many changes.
pub(crate) fn store(kind: Kind, rows: u64) -> Span {
    tracing::info_span!(
        "store",
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = kind.system_name(),
        db.operation.name = "COMMIT",
        fanfare.rows = number(rows),
        error.type = Empty,
    )
}

/// The span of a fetch from a host, its redirects and its body included. The host has its port with
/// it, where that is not the scheme's.
pub(crate) fn fetch(host: &str) -> Span {
    let with_port = host.rsplit_once(':');
    let with_port = with_port.and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
    let (address, port) = with_port.map_or((host, None), |(name, port)| (name, Some(port)));
    tracing::info_span!(
        "fetch",
        otel.status_code = Empty,
        server.address = address,
        server.port = port,
        fanfare.bytes = Empty,
        fanfare.wire_bytes = Empty,
        error.type = Empty,
    )
}

/// The span of one request, the first or one after so many redirects. What follows the address'
/// question mark may be a key.
pub(crate) fn get(url: &Url, redirects: usize) -> Span {
    let span = tracing::info_span!(
        "GET",
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = "GET",
        url.full = Empty,
        server.address = url.host_str(),
        server.port = url.port_or_known_default().map(i64::from),
        http.response.status_code = Empty,
        http.request.resend_count = Empty,
        error.type = Empty,
    );
    if !span.is_disabled() {
        let mut shown = url.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        // Neither fails: whatever has no host is not fetched.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        span.record("url.full", shown.as_str());
    }
    if redirects > 0 {
        span.record("http.request.resend_count", number(redirects as u64));
    }
    span
}

/// Tells how a request was answered.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_client_error() || status.is_server_error() {
        fail(span, status.as_str());
    }
}

/// The span of parsing a body of so many bytes.
pub(crate) fn parse(bytes: u64) -> Span {
    tracing::info_span!(
        "parse",
        otel.status_code = Empty,
        fanfare.bytes = number(bytes),
        error.type = Empty,
    )
}

/// The span of looking up what is known and comparing with it.
pub(crate) fn compare() -> Span {
    tracing::info_span!("compare", fanfare.known = Empty, fanfare.different = Empty)
}

/// Makes the span of a run's wait in the queue, which ended when its begin was asked for. Only its
/// length is the database's: the claim was another machine's.
pub(crate) fn waited(run: Uuid, asked: SystemTime, queued_for: Duration) {
    let since = asked.checked_sub(queued_for).unwrap_or(asked);
    let mut span = DetachedSpan::child_began_at("wait", SpanKind::Internal, since);
    span.tell(|| [KeyValue::new("fanfare.run", run.to_string())]);
    span.ended_at(asked);
}

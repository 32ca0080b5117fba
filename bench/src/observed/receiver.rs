//! A receiver of OTLP over HTTP in a process of its own, as cheap as one can be: it counts spans and
//! bytes, and keeps nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::api::server::{self, Server};
use crate::show;

/// What has come so far.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Received {
    /// Requests with spans.
    pub(crate) batches: u64,
    pub(crate) spans: u64,
    /// Of those requests.
    pub(crate) bytes: u64,
}

impl Received {
    /// What has come since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            batches: self.batches - before.batches,
            spans: self.spans - before.spans,
            bytes: self.bytes - before.bytes,
        }
    }
}

/// The parent's side.
pub(crate) struct Receiver {
    server: Server,
    client: reqwest::Client,
}

impl Receiver {
    pub(crate) async fn start(log: &Path) -> anyhow::Result<Self> {
        // Whoever came first has set the process' provider, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        let server = Server::start(["receiver"], log).await?;
        Ok(Self { server, client })
    }

    /// Where it takes telemetry, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub(crate) async fn received(&self) -> anyhow::Result<Received> {
        let asked = self.client.get(format!("{}/received", self.endpoint()));
        let told = asked.send().await?.error_for_status()?.bytes().await?;
        serde_json::from_slice(&told).context("the receiver tells something else")
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.client);
        self.server.stop().await
    }
}

#[derive(Debug, Default)]
struct Counters {
    batches: AtomicU64,
    spans: AtomicU64,
    bytes: AtomicU64,
}

/// Receives until the standard input ends; the first line on the standard output is the address.
pub(crate) async fn run() -> anyhow::Result<()> {
    let router = Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/metrics", post(async |_: Bytes| ()))
        .route("/received", get(received))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::<Counters>::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr().context("a socket has an address")?;
    show::line(&address.to_string());
    let stop = server::until_input_ends();
    tokio::select! {
        served = axum::serve(listener, router) => Ok(served?),
        () = stop.cancelled() => Ok(()),
    }
}

async fn traces(State(counters): State<Arc<Counters>>, body: Bytes) {
    counters.batches.fetch_add(1, Ordering::Relaxed);
    let bytes = body.len() as u64;
    counters.bytes.fetch_add(bytes, Ordering::Relaxed);
    counters.spans.fetch_add(spans_in(&body), Ordering::Relaxed);
}

async fn received(State(counters): State<Arc<Counters>>) -> Json<Received> {
    Json(Received {
        batches: counters.batches.load(Ordering::Relaxed),
        spans: counters.spans.load(Ordering::Relaxed),
        bytes: counters.bytes.load(Ordering::Relaxed),
    })
}

/// How many spans a request holds: they stand in field 2 of what stands in field 2 of each message in
/// its field 1 (`opentelemetry/proto/trace/v1/trace.proto`), and are stepped over.
fn spans_in(request: &[u8]) -> u64 {
    let of_scope = |scope| Fields(scope).filter(|(field, _)| *field == 2).count() as u64;
    let of_resource = |resource| {
        let scopes = Fields(resource).filter(|(field, _)| *field == 2);
        scopes.map(|(_, scope)| of_scope(scope)).sum::<u64>()
    };
    let resources = Fields(request).filter(|(field, _)| *field == 1);
    resources.map(|(_, resource)| of_resource(resource)).sum()
}

/// The fields of a protobuf message that have a length, up to its end or to what is none.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const WITH_LENGTH: u64 = 2;
        let tag = self.varint()?;
        if tag & 7 != WITH_LENGTH {
            return None;
        }
        let length = usize::try_from(self.varint()?).ok()?;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some((tag >> 3, field))
    }
}

impl Fields<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of a message; short enough for one byte of length.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let head = [number << 3 | 2, u8::try_from(content.len()).unwrap()];
        [&head[..], content].concat()
    }

    #[test]
    fn spans_are_counted_without_being_read() {
        let span = field(2, b"a span");
        let scope = field(
            2,
            &[field(1, b"scope"), span.clone(), span.clone()].concat(),
        );
        let other = field(2, &[span.clone(), field(3, b"schema")].concat());
        let resource = field(1, &[field(1, b"resource"), scope.clone(), other].concat());
        let request = [resource.clone(), field(1, &scope)].concat();
        assert_eq!(spans_in(&request), 3 + 2);
        assert_eq!(spans_in(b""), 0);
        assert_eq!(spans_in(&request[..request.len() - 1]), 3);
        assert_eq!(spans_in(&[0xff; 20]), 0);
    }
}

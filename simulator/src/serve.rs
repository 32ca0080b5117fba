//! One fetch of one feed: which behaviour answers, with which headers.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HOST, HeaderName, LAST_MODIFIED,
    LOCATION, RETRY_AFTER, VARY,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use crate::behavior::Behavior;
use crate::body::{self, Chunks, Delivery, Ending};
use crate::conditions::{etag, http_date, last_modified, not_modified, takes_gzip};
use crate::document::{Document, Variant};
use crate::gzip::Gzip;
use crate::provider;
use crate::simulator::Simulator;
use crate::stats::Visit;

const XML: &str = "application/xml; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Maintenance</title><meta charset=utf-8></head>\n\
    <body><p>We will be back soon.<br>Thank you & good night.</body></html>\n";

/// `GET /providers/{name}/feed`
pub(crate) async fn feed(
    State(simulator): State<Simulator>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let index = match simulator.index(&name) {
        Ok(index) => index,
        Err(unknown) => return (StatusCode::NOT_FOUND, format!("{unknown}\n")).into_response(),
    };
    let visit = simulator.visit(index, host(&headers));
    let behavior = simulator.take_behavior(index);
    if let Behavior::SlowFirstByte { millis } = behavior {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    Fetch {
        round: simulator.round(),
        simulator,
        index,
        headers,
        visit,
    }
    .answer(behavior)
    .await
}

/// The host that a client believes to talk to, without the port.
fn host(headers: &HeaderMap) -> &str {
    let host = headers
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

struct Fetch {
    simulator: Simulator,
    index: usize,
    round: u64,
    headers: HeaderMap,
    visit: Visit,
}

impl Fetch {
    async fn answer(self, behavior: Behavior) -> Response {
        match behavior {
            Behavior::Normal | Behavior::SlowFirstByte { .. } => self.sound(None),
            Behavior::SlowBody { bytes_per_second } => self.sound(Some(bytes_per_second)),
            // Dropped with the connection, when the client or the server leaves.
            Behavior::Hang => std::future::pending().await,
            Behavior::Status { code } => self.status(code, None),
            Behavior::TooManyRequests { retry_after } => {
                self.status(429, Some((RETRY_AFTER, retry_after.to_string())))
            }
            Behavior::Unavailable { retry_after } => self.status(
                503,
                retry_after.map(|seconds| (RETRY_AFTER, seconds.to_string())),
            ),
            Behavior::ServerError | Behavior::FailTimes { .. } => self.status(500, None),
            Behavior::RedirectLoop => {
                let here = provider::feed_url("", &provider::name(self.index));
                self.status(302, Some((LOCATION, here)))
            }
            Behavior::Redirect { to } => self.status(302, Some((LOCATION, to))),
            Behavior::Truncated => self.half(Ending::Broken).await,
            Behavior::CutDocument => self.half(Ending::Complete).await,
            Behavior::NotXml => self.other(
                "page",
                HTML,
                Box::new(std::iter::once(Bytes::from_static(PAGE.as_bytes()))),
            ),
            Behavior::Malformed => self.variant("malformed", Variant::Mismatched),
            Behavior::WrongRoot => self.variant("root", Variant::WrongRoot),
            Behavior::Endless => self.variant("endless", Variant::Endless),
            Behavior::Empty => self.variant("empty", Variant::Empty),
        }
    }

    fn sound(self, bytes_per_second: Option<u64>) -> Response {
        let digest = self.digest("");
        let changed = last_modified(self.round);
        let gzip = takes_gzip(&self.headers);
        let validators = [
            (ETAG, etag(&digest, gzip)),
            (LAST_MODIFIED, http_date(changed)),
            (VARY, vary()),
        ];
        if not_modified(&self.headers, &digest, Some(changed)) {
            return self.unchanged(validators);
        }
        let chunks = Box::new(self.document(Variant::Sound));
        let ending = Ending::Served { round: self.round };
        (
            validators,
            self.deliver(XML, chunks, ending, gzip, bytes_per_second),
        )
            .into_response()
    }

    /// A document that is not the round's feed. It has an `ETag` of its own: a reader that remembers it although
    /// it could not use the document will be told that nothing has changed.
    fn other(self, kind: &str, content_type: &'static str, chunks: Chunks) -> Response {
        let digest = self.digest(kind);
        let gzip = takes_gzip(&self.headers);
        let validators = [(ETAG, etag(&digest, gzip)), (VARY, vary())];
        if not_modified(&self.headers, &digest, None) {
            return self.unchanged(validators);
        }
        (
            validators,
            self.deliver(content_type, chunks, Ending::Complete, gzip, None),
        )
            .into_response()
    }

    fn variant(self, kind: &str, variant: Variant) -> Response {
        let chunks = Box::new(self.document(variant));
        self.other(kind, XML, chunks)
    }

    /// The first half of the feed: broken off under the whole length and the sound `ETag`, or as if that were all.
    async fn half(self, ending: Ending) -> Response {
        let document = self.document(Variant::Sound);
        let counted =
            tokio::task::spawn_blocking(move || document.map(|chunk| chunk.len()).sum::<usize>())
                .await;
        let Ok(length) = counted else {
            return self.status(500, None);
        };
        let (digest, promised) = match ending {
            Ending::Broken => (self.digest(""), length),
            _ => (self.digest("cut"), length / 2),
        };
        let chunks = body::take(self.document(Variant::Sound), length / 2);
        let headers = [
            (ETAG, etag(&digest, false)),
            (CONTENT_LENGTH, promised.to_string()),
        ];
        (headers, self.deliver(XML, chunks, ending, false, None)).into_response()
    }

    fn deliver(
        self,
        content_type: &'static str,
        chunks: Chunks,
        ending: Ending,
        gzip: bool,
        bytes_per_second: Option<u64>,
    ) -> Response {
        self.visit.answered(StatusCode::OK);
        let chunks = if gzip {
            Box::new(Gzip::new(chunks))
        } else {
            chunks
        };
        let mut delivery = Delivery::new(chunks, self.visit, ending);
        let length = delivery
            .known_length()
            .filter(|_| !matches!(ending, Ending::Broken));
        let delivery = bytes_per_second
            .into_iter()
            .fold(delivery, Delivery::slowed);
        let mut response = ([(CONTENT_TYPE, content_type)], delivery.into_body()).into_response();
        if let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        if gzip {
            response.headers_mut().insert(
                CONTENT_ENCODING,
                axum::http::HeaderValue::from_static("gzip"),
            );
        }
        response
    }

    fn unchanged<const N: usize>(self, validators: [(HeaderName, String); N]) -> Response {
        self.visit.answered(StatusCode::NOT_MODIFIED);
        (StatusCode::NOT_MODIFIED, validators, Body::empty()).into_response()
    }

    fn status(self, code: u16, header: Option<(HeaderName, String)>) -> Response {
        let status = StatusCode::from_u16(code)
            .ok()
            .filter(|status| !status.is_informational());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, format!("{status}\n")).into_response();
        if let Some((name, value)) = header {
            match value.parse() {
                Ok(value) => drop(response.headers_mut().insert(name, value)),
                Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
            }
        }
        self.visit.answered(response.status());
        response
    }

    fn document(&self, variant: Variant) -> Document {
        Document::new(
            self.simulator.world(self.index, self.round),
            provider::spelling(self.index),
            variant,
        )
    }

    fn digest(&self, document: &str) -> String {
        self.simulator.digest(self.index, self.round, document)
    }
}

fn vary() -> String {
    "Accept-Encoding".to_owned()
}

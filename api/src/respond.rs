//! From an answer to HTTP: conditional requests, what caches are told, how stale it is.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH,
};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use entity::dataset::Version;
use tracing::Span;

use crate::cache::Asked;
use crate::encoding::Encoding;
use crate::entry::{self, Entry, matches, validators};
use crate::metrics::InMemory;
use crate::reader::large::Large;
use crate::reader::{Answer, Answered, Layer, answer, at_hand};
use crate::standing::Standing;
use crate::{Context, Error};

/// Seconds for which it has been unknown whether there is a newer answer.
pub(crate) const DATASET_STALE: HeaderName = HeaderName::from_static("dataset-stale");

/// What the cache had to do with it (RFC 9211).
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The answer to what was asked, in the coding and on the condition that the request's headers name.
///
/// # Errors
/// See [`answer`].
pub(crate) async fn respond(
    context: &Context,
    standing: &Arc<Standing>,
    asked: &Arc<Asked>,
    headers: &HeaderMap,
) -> Result<Response<Body>, Error> {
    let encoding = Encoding::negotiate(headers.get_all(ACCEPT_ENCODING));
    if let Some(response) = not_modified(context, standing, asked, encoding, headers) {
        if let Some(metrics) = context.metrics() {
            metrics.in_memory(InMemory::Hit);
        }
        return Ok(response);
    }
    let answered = answer(context, standing, asked, encoding).await?;
    record(answered.layer, answered.answer.version());
    Ok(match &answered.answer {
        Answer::Kept(entry) => of_entry(entry, &answered, headers).map(Body::from),
        Answer::Large(large) => {
            let mut response = of_large(context, large, asked, encoding);
            mark(response.headers_mut(), answered.layer, answered.stale_for);
            response
        }
    })
}

/// The answer, and the version that it belongs to, if this process has it at hand: without waiting
/// for anything.
pub(crate) fn respond_at_once(
    context: &Context,
    standing: &Standing,
    asked: &Asked,
    headers: &HeaderMap,
) -> Option<(Response<Bytes>, Version)> {
    let encoding = match headers.get(ACCEPT_ENCODING) {
        None => Encoding::Identity,
        Some(_) => Encoding::negotiate(headers.get_all(ACCEPT_ENCODING)),
    };
    let answered = at_hand(context, standing, asked, encoding)?;
    if let Some(metrics) = context.metrics() {
        metrics.in_memory(answered.found(standing));
    }
    match &answered.answer {
        Answer::Kept(entry) => Some((of_entry(entry, &answered, headers), entry.version)),
        Answer::Large(_) => None,
    }
}

/// Tells the request's span where the answer came from.
pub(crate) fn record(layer: Layer, version: Version) {
    let span = Span::current();
    span.record("fanfare.cache", layer.name());
    span.record("fanfare.dataset.version", version.number);
}

/// 304 where the client has the very representation that this version has, which is known from the
/// validator alone.
fn not_modified(
    context: &Context,
    standing: &Standing,
    asked: &Asked,
    encoding: Encoding,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    let condition = headers.get(IF_NONE_MATCH)?;
    let etag = entry::etag(standing.version, &asked.canonical, encoding);
    // What exists is not known here, and only that is what an asterisk asks.
    if condition == "*" || !has(headers, &etag) {
        return None;
    }
    let told = context.for_caches();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = validators(&asked.question, standing.version, Some(&etag), told);
    mark(response.headers_mut(), Layer::Hit, standing.stale_for());
    Span::current().record("fanfare.cache", Layer::Hit.name());
    Some(response)
}

/// Whether the client has the representation; the list that says so can stand in several fields.
fn has(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let mut listed = headers.get_all(IF_NONE_MATCH).iter();
    listed.any(|condition| matches(condition, etag))
}

fn of_entry(entry: &Entry, answered: &Answered, headers: &HeaderMap) -> Response<Bytes> {
    let unchanged = entry.etag.as_ref().is_some_and(|etag| has(headers, etag));
    let (status, body, of_it) = if unchanged {
        (StatusCode::NOT_MODIFIED, Bytes::new(), &entry.not_modified)
    } else {
        (entry.status, entry.body.clone(), &entry.headers)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = of_it.clone();
    mark(response.headers_mut(), answered.layer, answered.stale_for);
    response
}

fn of_large(
    context: &Context,
    large: &Arc<Large>,
    asked: &Asked,
    encoding: Encoding,
) -> Response<Body> {
    let etag = entry::etag(large.version, &asked.canonical, encoding);
    let told = context.for_caches();
    let mut headers = validators(&asked.question, large.version, Some(&etag), told);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let source = large.spool.read();
    // Whoever reads it keeps it going.
    let held = Arc::clone(large);
    let source = futures::StreamExt::map(source, move |chunk| {
        let _ = &held;
        chunk
    });
    let body = match encoding.name() {
        Some(name) => {
            headers.insert(CONTENT_ENCODING, name);
            Body::from_stream(encoding.compress_stream(source))
        }
        None => {
            if let Some(length) = large.spool.len_if_finished() {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            Body::from_stream(source)
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// Says where an answer came from and, if so, how stale it is.
pub(crate) fn mark(headers: &mut HeaderMap, layer: Layer, stale_for: Option<Duration>) {
    let status = match layer {
        Layer::Hit => HeaderValue::from_static("fanfare; hit"),
        Layer::Shared | Layer::Miss => HeaderValue::from_static("fanfare; fwd=miss"),
    };
    headers.insert(CACHE_STATUS, status);
    if let Some(stale_for) = stale_for {
        let seconds = HeaderValue::from(stale_for.as_secs());
        headers.insert(AGE, seconds.clone());
        headers.insert(DATASET_STALE, seconds);
    }
}

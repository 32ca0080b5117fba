//! What a request may not exceed, whatever its route.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use crate::Error;

/// Longest path and query, in bytes. No answer of ours leads to one of a tenth of it.
pub(crate) const TARGET_BYTES: usize = 8 * 1024;

/// All of a request's headers, names and values, in bytes.
pub(crate) const HEADER_BYTES: usize = 16 * 1024;

/// Largest body, in bytes. Reads have none.
pub(crate) const BODY_BYTES: u64 = 64 * 1024;

/// Answers a request within its limits, whatever becomes of its handler.
///
/// One layer for all of them: each one more would cost as much as a good part of an answer.
pub(crate) async fn keep(longest: Duration, request: Request, next: Next) -> Response {
    if let Err(error) = size(&request) {
        return error.into_response();
    }
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(longest, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => panicked(&*panic).into_response(),
        Err(_) => Error::TimedOut { limit: longest }.into_response(),
    }
}

/// Refuses what is too large before anyone reads it.
fn size(request: &Request) -> Result<(), Error> {
    let target = request.uri().path_and_query();
    if target.is_some_and(|target| target.as_str().len() > TARGET_BYTES) {
        let limit = TARGET_BYTES;
        return Err(Error::UriTooLong { limit });
    }
    let headers = request.headers().iter();
    let bytes = headers.map(|(name, value)| name.as_str().len() + value.len());
    if bytes.sum::<usize>() > HEADER_BYTES {
        let limit = HEADER_BYTES;
        return Err(Error::HeadersTooLarge { limit });
    }
    if request.body().size_hint().lower() > BODY_BYTES {
        let limit = BODY_BYTES;
        return Err(Error::BodyTooLarge { limit });
    }
    Ok(())
}

/// What a handler that panicked is answered for.
fn panicked(payload: &(dyn Any + Send)) -> Error {
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without a message");
    Error::Panicked(message.to_owned())
}

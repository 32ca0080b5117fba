//! What a request may not exceed, whatever its route.

use std::any::Any;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::Error;

/// Longest path and query, in bytes. No answer of ours leads to one of a tenth of it.
pub(crate) const TARGET_BYTES: usize = 8 * 1024;

/// All of a request's headers, names and values, in bytes.
pub(crate) const HEADER_BYTES: usize = 16 * 1024;

/// Largest body, in bytes. Reads have none.
pub(crate) const BODY_BYTES: u64 = 64 * 1024;

/// Refuses what is too large before anyone reads it.
pub(crate) async fn size(request: Request, next: Next) -> Result<Response, Error> {
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
    Ok(next.run(request).await)
}

/// Ends a request that takes longer than `limit`.
pub(crate) async fn time(limit: Duration, request: Request, next: Next) -> Result<Response, Error> {
    tokio::time::timeout(limit, next.run(request))
        .await
        .map_err(|_| Error::TimedOut { limit })
}

/// Answers for a handler that panicked.
pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without a message");
    Error::Panicked(message.to_owned()).into_response()
}

//! What caches between us and the client may do (RFC 9111, RFC 5861).

use std::time::Duration;

use axum::http::HeaderValue;

/// For how long caches may give out an answer, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheControl {
    /// Without asking us.
    pub max_age: Duration,
    /// Past that, while they ask us.
    pub stale_while_revalidate: Duration,
    /// Past that, while we don't answer.
    pub stale_if_error: Duration,
}

impl Default for CacheControl {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(1),
            stale_while_revalidate: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(300),
        }
    }
}

impl CacheControl {
    /// The header `Cache-Control`.
    pub(crate) fn header(&self) -> HeaderValue {
        let text = format!(
            "public, max-age={}, stale-while-revalidate={}, stale-if-error={}",
            self.max_age.as_secs(),
            self.stale_while_revalidate.as_secs(),
            self.stale_if_error.as_secs()
        );
        HeaderValue::try_from(text).expect("words and numbers may stand in a header")
    }
}

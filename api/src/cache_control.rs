//! What caches between us and the client may do (RFC 9111, RFC 5861).

use std::time::Duration;

use axum::http::HeaderValue;

use crate::cors::Cors;

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
    fn header(&self) -> HeaderValue {
        let text = format!(
            "public, max-age={}, stale-while-revalidate={}, stale-if-error={}",
            self.max_age.as_secs(),
            self.stale_while_revalidate.as_secs(),
            self.stale_if_error.as_secs()
        );
        HeaderValue::try_from(text).expect("words and numbers may stand in a header")
    }
}

/// What every answer that may be kept tells caches, the same for all.
#[derive(Debug, Clone)]
pub(crate) struct ForCaches {
    /// The header `Cache-Control`.
    pub(crate) control: HeaderValue,
    /// The header `Vary`: request headers that answers depend on.
    pub(crate) vary: HeaderValue,
}

impl ForCaches {
    pub(crate) fn new(control: &CacheControl, cors: &Cors) -> Self {
        Self {
            control: control.header(),
            vary: HeaderValue::from_static(match cors {
                Cors::Origins(_) => "accept-encoding, origin",
                Cors::Off | Cors::Any => "accept-encoding",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_told_how_long_they_may_keep_what() {
        let control = CacheControl {
            max_age: Duration::from_secs(7),
            ..CacheControl::default()
        };
        let told = ForCaches::new(&control, &Cors::Off);
        let expected = "public, max-age=7, stale-while-revalidate=5, stale-if-error=300";
        assert_eq!(told.control, expected);
        assert_eq!(told.vary, "accept-encoding");
        let some = Cors::Origins(vec![HeaderValue::from_static("https://app.example")]);
        let told = ForCaches::new(&control, &some);
        assert_eq!(told.vary, "accept-encoding, origin");
    }
}

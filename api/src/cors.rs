//! Which pages of other origins may read the answers, by the Fetch standard's CORS protocol.
//!
//! The admin routes are not for browsers: neither their method nor their token is allowed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::Url;

use crate::Error;
use crate::render::DATASET_VERSION;

/// Origins whose pages may read the answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cors {
    /// None but our own.
    #[default]
    Off,
    /// All.
    Any,
    /// These.
    Origins(Vec<HeaderValue>),
}

/// An entry of a list of origins that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// Not what a browser sends.
    #[error(
        "`{0}` is not an origin: give scheme://host or scheme://host:port with nothing after it, \
         such as https://app.example,http://localhost:3000, or * for all"
    )]
    Unreadable(String),
    /// A pattern, which would never match.
    #[error("`{0}` is a pattern: name each origin in full, or give * alone for all")]
    Pattern(String),
}

/// A list with commas, or a star; nothing is none.
impl FromStr for Cors {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        match text.trim() {
            "" => Ok(Self::Off),
            "*" => Ok(Self::Any),
            list => list
                .split(',')
                .map(|entry| origin(entry.trim()))
                .collect::<Result<_, _>>()
                .map(Self::Origins),
        }
    }
}

impl fmt::Display for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => Ok(()),
            Self::Any => f.write_str("*"),
            Self::Origins(origins) => {
                let origins: Vec<_> = origins.iter().filter_map(|it| it.to_str().ok()).collect();
                f.write_str(&origins.join(","))
            }
        }
    }
}

/// An origin as browsers send it: in lower case, and without the scheme's own port.
fn origin(entry: &str) -> Result<HeaderValue, BadOrigin> {
    if entry.contains('*') {
        return Err(BadOrigin::Pattern(entry.to_owned()));
    }
    serialized(entry).ok_or_else(|| BadOrigin::Unreadable(entry.to_owned()))
}

fn serialized(entry: &str) -> Option<HeaderValue> {
    let url = Url::parse(entry).ok()?;
    let (_, authority) = entry.split_once("://")?;
    // What the URL's own parts tell is not enough: it takes an empty path for a slash.
    if authority.contains(['/', '?', '#', '@', '\\']) {
        return None;
    }
    let (scheme, host) = (
        url.scheme(),
        url.host_str().filter(|host| !host.is_empty())?,
    );
    let origin = match url.port() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    HeaderValue::try_from(origin).ok()
}

/// How long a browser may remember what is allowed.
const REMEMBERED: Duration = Duration::from_secs(3600);

impl Cors {
    /// Adds what every answer carries where all pages may read it, for those that no layer sees.
    pub(crate) fn open(&self, headers: &mut HeaderMap) {
        if *self == Self::Any {
            let any = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            let names = READ.map(|name| name.as_str().to_owned()).join(",");
            if let Ok(names) = HeaderValue::try_from(names) {
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, names);
            }
        }
    }

    /// The layer that answers browsers; none if nothing is allowed.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let origins = match self {
            Self::Off => return None,
            Self::Any => AllowOrigin::any(),
            Self::Origins(origins) => AllowOrigin::list(origins.iter().cloned()),
        };
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::HEAD, Method::OPTIONS])
            .allow_headers(SENT)
            .expose_headers(READ)
            .max_age(REMEMBERED);
        Some(layer)
    }
}

/// Headers that a page may send.
const SENT: [HeaderName; 5] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::IF_NONE_MATCH,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Headers that a page may read besides those that it always may.
const READ: [HeaderName; 9] = [
    DATASET_VERSION,
    HeaderName::from_static("dataset-stale"),
    header::ETAG,
    header::LINK,
    header::RETRY_AFTER,
    header::AGE,
    HeaderName::from_static("cache-status"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
];

/// Answers on every route for a method that it does not have: `OPTIONS` asks which it has, and the
/// router adds them in the header `Allow`.
pub(crate) async fn other_method(method: Method) -> Response {
    match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => Error::MethodNotAllowed.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_browsers_send_origins() {
        for (list, read) in [
            ("", ""),
            ("*", "*"),
            (" * ", "*"),
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443", "https://app.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            (
                "https://a.example, https://b.example",
                "https://a.example,https://b.example",
            ),
        ] {
            let cors: Cors = list.parse().unwrap();
            assert_eq!(cors.to_string(), read, "{list}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_what_to_give() {
        for (list, says) in [
            (
                "app.example",
                "`app.example` is not an origin: give scheme://host",
            ),
            ("https://app.example/", "nothing after it"),
            ("https://app.example/page", "nothing after it"),
            ("https://app.example?x", "nothing after it"),
            ("https://app.example#x", "nothing after it"),
            ("https://me@app.example", "is not an origin"),
            ("https://app.example:99999", "is not an origin"),
            ("https://", "is not an origin"),
            ("null", "is not an origin"),
            ("localhost:3000", "is not an origin"),
            ("https://a.example,", "`` is not an origin"),
            ("https://*.example", "name each origin in full"),
            ("https://a.example,*", "give * alone for all"),
        ] {
            let refused = list.parse::<Cors>().unwrap_err().to_string();
            assert!(refused.contains(says), "{list}: {refused}");
        }
    }
}

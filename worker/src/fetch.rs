//! Fetching a feed over HTTP: conditional, bounded in time and size, and suspicious of redirects.
//!
//! HTTP semantics are RFC 9110's, caching validators RFC 9110 section 13's. Only this module knows
//! reqwest.

mod error;
mod retry_after;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use reqwest::header::{
    ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Response, StatusCode, redirect};
use url::Url;

pub use error::FetchError;
pub use reqwest::Client;
pub use retry_after::retry_after;

/// What fetching may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// Of a body, decompressed, in bytes.
    pub body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(15),
            body: 64 << 20,
        }
    }
}

/// Redirects that are followed before the fetch fails.
const REDIRECTS: usize = 5;

/// Makes the client that all fetches of a process share. Proxies are used only if `proxy` names one.
///
/// # Errors
/// The proxy's address is not one, or there is no TLS.
pub fn client(limits: &Limits, proxy: Option<&Url>) -> Result<Client, reqwest::Error> {
    // Whoever came first has set the process' provider, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("fanfare/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .read_timeout(limits.idle)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(4)
        .redirect(redirect::Policy::custom(follow));
    match proxy {
        None => builder.no_proxy(),
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone())?),
    }
    .build()
}

fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let downgrade = attempt
        .previous()
        .last()
        .is_some_and(|from| from.scheme() == "https" && attempt.url().scheme() == "http");
    if downgrade {
        attempt.error(error::Downgrade)
    } else if attempt.previous().len() > REDIRECTS {
        attempt.error(error::TooManyRedirects(REDIRECTS))
    } else {
        attempt.follow()
    }
}

/// What to fetch.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// From where.
    pub url: &'a str,
    /// For the whole of it, from the first packet to the last.
    pub timeout: Duration,
    /// `ETag` of what is known already.
    pub etag: Option<&'a str>,
    /// `Last-Modified` of what is known already.
    pub last_modified: Option<&'a str>,
}

/// What came back.
#[derive(Debug)]
pub enum Fetched {
    /// 304: what is known still holds.
    NotModified,
    /// A whole feed.
    Feed(Feed),
}

/// A whole feed.
#[derive(Debug)]
pub struct Feed {
    /// The body, decompressed.
    pub body: Bytes,
    /// Its validators, for the next time.
    pub etag: Option<String>,
    /// The same.
    pub last_modified: Option<String>,
}

/// Fetches a feed, or finds it unmodified. Holds no resource but the connection while it waits.
///
/// # Errors
/// See [`FetchError`]. A body that breaks off is an error, never a short feed.
pub async fn fetch(
    client: &Client,
    limits: &Limits,
    request: &Request<'_>,
) -> Result<Fetched, FetchError> {
    tokio::time::timeout(request.timeout, exchange(client, limits, request))
        .await
        .unwrap_or(Err(FetchError::TotalTimeout {
            limit: request.timeout,
        }))
}

async fn exchange(
    client: &Client,
    limits: &Limits,
    request: &Request<'_>,
) -> Result<Fetched, FetchError> {
    let conditions = [
        (IF_NONE_MATCH, request.etag),
        (IF_MODIFIED_SINCE, request.last_modified),
    ];
    let sent = conditions
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .fold(client.get(request.url), |sent, (name, value)| {
            sent.header(name, value)
        });
    let response = sent
        .send()
        .await
        .map_err(|source| FetchError::from_request(source, limits))?;
    let conditional = request.etag.is_some() || request.last_modified.is_some();
    match response.status() {
        StatusCode::NOT_MODIFIED if conditional => Ok(Fetched::NotModified),
        status if status.is_success() => read(response, limits).await.map(Fetched::Feed),
        status => Err(FetchError::Status {
            status: status.as_u16(),
            retry_after: retry_after(response.headers(), Utc::now()),
        }),
    }
}

async fn read(mut response: Response, limits: &Limits) -> Result<Feed, FetchError> {
    let etag = header(response.headers(), ETAG);
    let last_modified = header(response.headers(), LAST_MODIFIED);
    let too_large = FetchError::TooLarge { limit: limits.body };
    if response
        .content_length()
        .is_some_and(|length| length > limits.body)
    {
        return Err(too_large);
    }
    let mut body = BytesMut::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|source| FetchError::from_body(source, limits))?
    {
        if body.len() as u64 + piece.len() as u64 > limits.body {
            return Err(too_large);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Feed {
        body: body.freeze(),
        etag,
        last_modified,
    })
}

/// A validator is remembered as it was sent; one that is not text, or absurdly long, is not.
fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    const LONGEST: usize = 1024;
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= LONGEST).then(|| value.to_owned())
}

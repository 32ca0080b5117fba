//! Fetching a feed over HTTP: conditional, bounded in time and size, and suspicious of where it
//! leads.
//!
//! HTTP semantics are RFC 9110's, caching validators RFC 9110 section 13's. Only this module knows
//! reqwest. A fetch goes: check the address, connect to checked addresses only (`resolve`,
//! `networks`), ask with the provider's credentials (`credentials`), follow redirects (`redirect`),
//! and spool the body while it is decoded and digested (`body`, `decode`).

mod body;
mod config;
mod credentials;
mod date;
mod decode;
mod error;
mod freshness;
mod limits;
mod networks;
mod redirect;
mod resolve;
mod retry_after;

use std::net::IpAddr;
use std::time::Duration;

use chrono::Utc;
use entity::provider::Access;
use reqwest::header::{
    ACCEPT_ENCODING, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Client, Response, StatusCode};
use tracing::Instrument;
use url::{Host, Url};

pub use config::{BadProxy, Config, ConfigError, Proxy};
pub use credentials::CredentialError;
pub use error::{AddressError, FetchError};
pub use freshness::fresh_for;
pub use limits::Limits;
pub use networks::{BadNetwork, Networks};
pub use redirect::Refused;
pub use resolve::Lookup;
pub use retry_after::retry_after;

use self::body::{Bounds, Received};
use self::decode::ContentCoding;
use self::redirect::Trail;
use crate::spool::{Spool, Spools};
use crate::trace;

/// What to fetch.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// From where.
    pub url: &'a str,
    /// For the whole of it, from the first packet to the last.
    pub timeout: Duration,
    /// Instead of [`Limits::body`].
    pub max_body: Option<u64>,
    /// What its host wants to see, and nobody else.
    pub access: &'a Access,
    /// `ETag` of what is known already.
    pub etag: Option<&'a str>,
    /// `Last-Modified` of what is known already.
    pub last_modified: Option<&'a str>,
}

/// What came back.
#[derive(Debug)]
pub struct Fetched {
    /// The feed, if it is another.
    pub answer: Answer,
    /// The HTTP status of the last answer.
    pub status: u16,
    /// Bytes of the body on the wire.
    pub wire: u64,
    /// What the provider says about asking again.
    pub caching: Caching,
    /// Where the feed has moved for good.
    pub moved_to: Option<String>,
}

/// Whether there is a feed.
#[derive(Debug)]
pub enum Answer {
    /// 304: what is known still holds.
    NotModified,
    /// A whole feed.
    Feed(Feed),
}

/// A whole feed.
#[derive(Debug)]
pub struct Feed {
    /// The body, decompressed.
    pub body: Spool,
    /// BLAKE3 of the body.
    pub digest: [u8; 32],
    /// Its validators, for the next time.
    pub etag: Option<String>,
    /// The same.
    pub last_modified: Option<String>,
}

/// What a provider says about asking again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caching {
    /// For how long the answer is fresh, see [`fresh_for`].
    pub fresh_for: Option<Duration>,
    /// For how long it wants to be left alone, see [`retry_after`].
    pub retry_after: Option<Duration>,
}

/// Fetches feeds. Made once a process; clones share connections and spools.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    limits: Limits,
    allow: Networks,
    spools: Spools,
}

impl Fetcher {
    /// Looks names up as the system does. Proxies are used only if the configuration names one.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_lookup(config, resolve::system())
    }

    /// Looks names up in another way.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn with_lookup(config: Config, lookup: Lookup) -> Result<Self, ConfigError> {
        Ok(Self {
            client: config::client(&config, lookup)?,
            limits: config.limits,
            allow: config.allow,
            spools: Spools::open(config.spool)?,
        })
    }

    /// What a fetch may cost.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The spools that bodies go to, for whatever else is to count towards their budget.
    pub fn spools(&self) -> &Spools {
        &self.spools
    }

    /// Fetches a feed, or finds it unmodified. Holds no resource but the connection while it waits.
    ///
    /// # Errors
    /// See [`FetchError`]. A body that breaks off is an error, never a short feed.
    pub async fn fetch(&self, request: &Request<'_>) -> Result<Fetched, FetchError> {
        tokio::time::timeout(request.timeout, self.exchange(request))
            .await
            .unwrap_or(Err(FetchError::TotalTimeout {
                limit: request.timeout,
            }))
    }

    async fn exchange(&self, request: &Request<'_>) -> Result<Fetched, FetchError> {
        let (response, moved_to) = self.ask(request).await?;
        let now = Utc::now();
        let status = response.status();
        let caching = Caching {
            fresh_for: fresh_for(response.headers(), now),
            retry_after: retry_after(response.headers(), now),
        };
        let (answer, wire) = match status {
            StatusCode::NOT_MODIFIED if !conditions(request).is_empty() => (Answer::NotModified, 0),
            StatusCode::PARTIAL_CONTENT => return Err(refused(status, caching)),
            status if status.is_success() => {
                let (feed, wire) = self.read(response, request).await?;
                (Answer::Feed(feed), wire)
            }
            status => return Err(refused(status, caching)),
        };
        Ok(Fetched {
            answer,
            status: status.as_u16(),
            wire,
            caching,
            moved_to,
        })
    }

    /// Asks, and follows redirects to the answer that is none.
    async fn ask(&self, request: &Request<'_>) -> Result<(Response, Option<String>), FetchError> {
        let start = address(request.url).map_err(FetchError::Address)?;
        self.permit(&start)?;
        let credentials = credentials::resolve(request.access).await?;
        let mut trail = Trail::new(start, self.limits.redirects);
        loop {
            let mut headers = conditions(request);
            if trail.is_home() {
                headers.extend(credentials.clone());
            }
            let span = trace::get(trail.here(), trail.redirects());
            let response = self
                .ask_once(trail.here(), headers)
                .instrument(span.clone())
                .await
                .inspect_err(|error| telemetry::fail(&span, &error.kind()))?;
            trace::answered(&span, response.status());
            drop(span);
            if !redirect::is_redirect(response.status()) {
                return Ok((response, trail.moved_to()));
            }
            trail.follow(response.status(), response.headers())?;
            self.permit(trail.here())?;
        }
    }

    async fn ask_once(&self, url: &Url, headers: HeaderMap) -> Result<Response, FetchError> {
        let limits = &self.limits;
        let sent = self
            .client
            .get(url.clone())
            .header(ACCEPT_ENCODING, decode::ACCEPTED)
            .headers(headers)
            .send();
        let response = tokio::time::timeout(limits.first_byte, sent)
            .await
            .map_err(|_| FetchError::FirstByteTimeout {
                limit: limits.first_byte,
            })?
            .map_err(|source| FetchError::from_request(source, limits))?;
        if size(response.headers()) > limits.headers {
            return Err(FetchError::HeadersTooLarge {
                limit: limits.headers,
            });
        }
        Ok(response)
    }

    /// Judges an address that needs no resolver; names are judged when they are resolved.
    fn permit(&self, url: &Url) -> Result<(), FetchError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::from(address),
            Some(Host::Ipv6(address)) => IpAddr::from(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.allow
            .permit(address)
            .map_err(|kind| FetchError::Forbidden {
                host: url.host_str().unwrap_or_default().to_owned(),
                address,
                kind,
            })
    }

    async fn read(
        &self,
        response: Response,
        request: &Request<'_>,
    ) -> Result<(Feed, u64), FetchError> {
        let coding = ContentCoding::of(response.headers())?;
        let bounds = Bounds {
            wire: self.limits.wire,
            body: request.max_body.unwrap_or(self.limits.body),
            ratio: self.limits.ratio,
            idle: self.limits.idle,
        };
        bounds.announced(response.content_length().unwrap_or(0), &coding)?;
        let etag = validator(response.headers(), ETAG);
        let last_modified = validator(response.headers(), LAST_MODIFIED);
        let Received { body, digest, wire } =
            body::receive(response, coding, bounds, self.spools.writer()).await?;
        let feed = Feed {
            body,
            digest,
            etag,
            last_modified,
        };
        Ok((feed, wire))
    }
}

fn address(url: &str) -> Result<Url, AddressError> {
    let url = Url::parse(url).map_err(AddressError::Unreadable)?;
    if !redirect::is_http(&url) {
        Err(AddressError::Scheme)
    } else if redirect::has_userinfo(&url) {
        Err(AddressError::Userinfo)
    } else {
        Ok(url)
    }
}

/// A validator that can't be sent back is as good as none.
fn conditions(request: &Request<'_>) -> HeaderMap {
    [
        (IF_NONE_MATCH, request.etag),
        (IF_MODIFIED_SINCE, request.last_modified),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?.parse().ok()?)))
    .collect()
}

fn refused(status: StatusCode, caching: Caching) -> FetchError {
    FetchError::Status {
        status: status.as_u16(),
        retry_after: caching.retry_after,
    }
}

/// Of a header's lines, each with what stands around it on the wire.
fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum()
}

/// A validator is remembered as it was sent; one that is not text, or absurdly long, is not.
fn validator(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    const LONGEST: usize = 1024;
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= LONGEST).then(|| value.to_owned())
}

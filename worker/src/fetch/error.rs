//! What can go wrong in a fetch, in words that an operator understands.

use std::borrow::Cow;
use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use super::credentials::CredentialError;
use super::decode::ACCEPTED;
use super::limits::{HEADERS, Limits};
use super::redirect::Refused;
use super::resolve::Unresolved;
use crate::spool::SpoolError;

/// Why there is no feed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// What is to be fetched from is no address for it.
    #[error("the provider's address can't be fetched from: {0}")]
    Address(AddressError),
    /// It leads to where nothing may be fetched from.
    #[error(
        "the provider's host `{host}` leads to {address}, which is {kind}: list its network in \
         FANFARE_ALLOW_NETWORKS if that is meant"
    )]
    Forbidden {
        /// As the address or a redirect has it.
        host: String,
        /// What it stands for.
        address: IpAddr,
        /// What kind of address that is.
        kind: &'static str,
    },
    /// What the provider wants to see is not there.
    #[error("the provider can't be asked: {0}")]
    Credentials(#[from] CredentialError),
    /// Its host is not known.
    #[error("can't connect to the provider: {}", unresolved(.source))]
    Dns {
        /// What the resolver said.
        #[source]
        source: reqwest::Error,
    },
    /// Whether its host is known was not told in time.
    #[error("the name of the provider's host was not resolved within {}", show(.limit))]
    DnsTimeout {
        /// How long was waited.
        limit: Duration,
    },
    /// Nobody answers there.
    #[error("can't connect to the provider: {}", innermost(.source))]
    Connect {
        /// What the system said.
        #[source]
        source: reqwest::Error,
    },
    /// Nobody answers there in time.
    #[error("no connection to the provider within {}", show(.limit))]
    ConnectTimeout {
        /// How long was waited.
        limit: Duration,
    },
    /// A connection, but no answer.
    #[error("the provider did not begin to answer within {}", show(.limit))]
    FirstByteTimeout {
        /// How long was waited.
        limit: Duration,
    },
    /// Silence amid an answer.
    #[error("the provider sent nothing for {}", show(.limit))]
    IdleTimeout {
        /// How long was waited.
        limit: Duration,
    },
    /// The whole of it took too long.
    #[error("the fetch took longer than the provider's timeout of {}", show(.limit))]
    TotalTimeout {
        /// The provider's setting.
        limit: Duration,
    },
    /// An answer that is no feed.
    #[error("the provider answered with status {status}{}", explain(*.status))]
    Status {
        /// The HTTP status.
        status: u16,
        /// How long the provider asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// More about the answer than answer.
    #[error("the answer's headers exceed the limit of {limit} bytes or of {HEADERS} fields")]
    HeadersTooLarge {
        /// In bytes.
        limit: usize,
    },
    /// More to transfer than may be.
    #[error("the body exceeds the limit of {limit} bytes on the wire")]
    WireTooLarge {
        /// In bytes.
        limit: u64,
    },
    /// More to read than may be.
    #[error("the body exceeds the limit of {limit} bytes")]
    BodyTooLarge {
        /// In bytes, decompressed.
        limit: u64,
    },
    /// Next to nothing on the wire, and no end of it here.
    #[error("the body decompresses to more than the limit of {limit} times its size on the wire")]
    RatioTooLarge {
        /// How many times.
        limit: u64,
    },
    /// A redirect that is not followed.
    #[error("redirect refused: {0}")]
    Redirect(#[from] Refused),
    /// It is compressed in a way that nobody asked for.
    #[error(
        "the body has the content coding `{name}`, which was not asked for: only {ACCEPTED} are \
         understood"
    )]
    UnknownCoding {
        /// Its name.
        name: String,
    },
    /// It is compressed over and over.
    #[error("the body is compressed several times over, which is not understood")]
    SeveralCodings,
    /// The compressed body is damaged, or ends too early.
    #[error("the body can't be decompressed ({coding}): {source}")]
    Decode {
        /// How it is compressed.
        coding: String,
        /// What the decoder said.
        #[source]
        source: std::io::Error,
    },
    /// The answer broke off.
    #[error("the body broke off: {}", innermost(.source))]
    Body {
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
    /// There is no place to keep it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The process stops.
    #[error("the fetch was interrupted")]
    Interrupted,
    /// Anything else about the exchange.
    #[error("the exchange with the provider failed: {}", innermost(.source))]
    Exchange {
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
}

/// Why nothing can be fetched from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("it is not a URL ({0})")]
    Unreadable(url::ParseError),
    /// Neither HTTP nor HTTPS.
    #[error("it does not start with http:// or https://")]
    Scheme,
    /// What looks like the host would be none.
    #[error("it holds a user or password")]
    Userinfo,
}

impl FetchError {
    pub(super) fn from_request(source: reqwest::Error, limits: &Limits) -> Self {
        // The address is known to whoever reads the error, and may hold a key.
        let source = source.without_url();
        match cause(&source) {
            Some(Unresolved::Forbidden {
                host,
                address,
                kind,
            }) => {
                return Self::Forbidden {
                    host: host.clone(),
                    address: *address,
                    kind,
                };
            }
            Some(Unresolved::Timeout { limit, .. }) => return Self::DnsTimeout { limit: *limit },
            Some(Unresolved::Failed { .. } | Unresolved::NoAddress { .. }) => {
                return Self::Dns { source };
            }
            None => {}
        }
        if cause(&source).is_some_and(hyper::Error::is_parse_too_large) {
            Self::HeadersTooLarge {
                limit: limits.headers,
            }
        } else if source.is_connect() && source.is_timeout() {
            Self::ConnectTimeout {
                limit: limits.connect,
            }
        } else if source.is_connect() {
            Self::Connect { source }
        } else {
            Self::Exchange { source }
        }
    }

    pub(super) fn from_body(source: reqwest::Error) -> Self {
        Self::Body {
            source: source.without_url(),
        }
    }

    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The failure in one of few words, for spans: the HTTP status, if that is the failure.
    pub fn kind(&self) -> Cow<'static, str> {
        let kind = match self {
            Self::Status { status, .. } => return status.to_string().into(),
            Self::Address(_) => "address",
            Self::Forbidden { .. } => "forbidden_address",
            Self::Credentials(_) => "credentials",
            Self::Dns { .. } => "dns",
            Self::DnsTimeout { .. } => "dns_timeout",
            Self::Connect { .. } => "connect",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::FirstByteTimeout { .. } => "first_byte_timeout",
            Self::IdleTimeout { .. } => "idle_timeout",
            Self::TotalTimeout { .. } => "total_timeout",
            Self::HeadersTooLarge { .. } => "headers_too_large",
            Self::WireTooLarge { .. } => "wire_too_large",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::RatioTooLarge { .. } => "ratio_too_large",
            Self::Redirect(_) => "redirect",
            Self::UnknownCoding { .. } | Self::SeveralCodings => "content_coding",
            Self::Decode { .. } => "decode",
            Self::Body { .. } => "body",
            Self::Spool(_) => "spool",
            Self::Interrupted => "interrupted",
            Self::Exchange { .. } => "exchange",
        };
        kind.into()
    }

    /// Whether nobody was reached: a fault of some network or machine, most likely for a moment.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Dns { .. }
                | Self::DnsTimeout { .. }
                | Self::Connect { .. }
                | Self::ConnectTimeout { .. }
        )
    }

    /// Whether the fault is this worker's and says nothing about the provider.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Spool(_) | Self::Interrupted)
    }
}

fn show(duration: &Duration) -> humantime::FormattedDuration {
    humantime::format_duration(*duration)
}

fn explain(status: u16) -> &'static str {
    match status {
        206 => ": it was asked for the whole feed",
        304 => ": it was asked for the feed, not whether it has changed",
        401 | 403 => ": it wants other credentials, or does not want us",
        404 | 410 => ": there is no feed at this address",
        429 => ": it is asked too often",
        500..=599 => ": it is in trouble itself",
        _ => "",
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut error: &dyn Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn unresolved(error: &reqwest::Error) -> String {
    cause::<Unresolved>(error).map_or_else(|| innermost(error), ToString::to_string)
}

/// What of this kind is behind an error.
fn cause<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut error: &dyn Error = error;
    loop {
        error = error.source()?;
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
    }
}

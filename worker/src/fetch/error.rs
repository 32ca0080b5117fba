//! What can go wrong in a fetch, in words that an operator understands.

use std::error::Error;
use std::time::Duration;

use super::Limits;

/// Why there is no feed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
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
    /// Silence amid an answer, or before it.
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
    /// More than fits.
    #[error("the body exceeds the limit of {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// A redirect that is not followed.
    #[error("redirect refused: {}", innermost(.source))]
    Redirect {
        /// Which rule it broke.
        #[source]
        source: reqwest::Error,
    },
    /// The answer broke off, or can't be decompressed.
    #[error("the body broke off or can't be decoded: {}", innermost(.source))]
    Body {
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
    /// Anything else about the exchange.
    #[error("the exchange with the provider failed: {}", innermost(.source))]
    Exchange {
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
}

impl FetchError {
    pub(super) fn from_request(source: reqwest::Error, limits: &Limits) -> Self {
        // The address is known to whoever reads the error, and may hold a key.
        let source = source.without_url();
        if source.is_connect() && source.is_timeout() {
            Self::ConnectTimeout {
                limit: limits.connect,
            }
        } else if source.is_connect() {
            Self::Connect { source }
        } else if source.is_timeout() {
            Self::IdleTimeout { limit: limits.idle }
        } else if source.is_redirect() {
            Self::Redirect { source }
        } else {
            Self::Exchange { source }
        }
    }

    pub(super) fn from_body(source: reqwest::Error, limits: &Limits) -> Self {
        if source.is_timeout() {
            Self::IdleTimeout { limit: limits.idle }
        } else {
            Self::Body {
                source: source.without_url(),
            }
        }
    }

    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A redirect from HTTPS to HTTP.
#[derive(Debug, thiserror::Error)]
#[error("it leads from https to http")]
pub(super) struct Downgrade;

/// One redirect too many.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} in a row")]
pub(super) struct TooManyRedirects(pub(super) usize);

fn show(duration: &Duration) -> humantime::FormattedDuration {
    humantime::format_duration(*duration)
}

fn explain(status: u16) -> &'static str {
    match status {
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

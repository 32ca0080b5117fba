//! A provider as its operator wants it.

use std::time::Duration;

use url::Url;

use super::Access;

/// The longest that one fetch may take, of a provider that says nothing else.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Intervals to the next visit at most, where nothing is said.
pub(super) const MOST_INTERVALS: u32 = 4;

/// One provider as its operator wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The stable key: lower-case letters, digits and hyphens.
    pub name: String,
    /// Where its feed is, over HTTP or HTTPS.
    pub url: Url,
    /// What its feed is written in.
    pub format: String,
    /// From one visit to the next.
    pub interval: Duration,
    /// An IANA time zone, for naive times in the feed.
    pub timezone: String,
    /// The longest that one fetch may take.
    pub timeout: Duration,
    /// What it wants to see before it answers.
    pub access: Access,
    /// The longest time to the next visit that the feed's own caching headers can bring about; four
    /// intervals where nothing is said.
    pub max_interval: Option<Duration>,
    /// The largest body, decompressed, in bytes; the worker's limit where nothing is said.
    pub max_body: Option<u64>,
    /// When a feed's vanishing is held.
    pub hold: Hold,
}

/// A feed that lacks more than both of these of what it had is taken for half a feed: what it lacks
/// stays, and is held. Only events that are not over count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Of what is known, 0 to 100; with 100 nothing is ever held.
    pub percent: u8,
    /// In events.
    pub events: u32,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            percent: 50,
            events: 20,
        }
    }
}

impl Spec {
    /// A provider with nothing said that need not be: times in UTC, half a minute for a fetch.
    pub fn new(name: String, url: Url, format: String, interval: Duration) -> Self {
        Self {
            name,
            url,
            format,
            interval,
            timezone: "UTC".to_owned(),
            timeout: DEFAULT_TIMEOUT,
            access: Access::default(),
            max_interval: None,
            max_body: None,
            hold: Hold::default(),
        }
    }

    /// The address' host and port, in the form under which fetches are counted.
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

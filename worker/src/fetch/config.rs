//! How feeds are fetched, and the client that follows from it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, redirect};
use url::Url;

use super::limits::{HEADERS, Limits};
use super::networks::Networks;
use super::resolve::{Guard, Lookup};
use crate::spool::{SpoolConfig, SpoolError};

/// How feeds are fetched.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What a fetch may cost.
    pub limits: Limits,
    /// Where one may fetch from besides the public internet.
    pub allow: Networks,
    /// A proxy for all fetches; none is used without it, whatever the environment says. Names are
    /// then resolved by it, and are its to guard; addresses are still judged here. Its own is not.
    pub proxy: Option<Proxy>,
    /// How providers reach whoever runs this: an address of mail or of a page, shown to them.
    pub contact: Option<String>,
    /// Where bodies go.
    pub spool: SpoolConfig,
}

/// The address of an HTTP proxy, which may hold a password: printed without what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(Url);

impl FromStr for Proxy {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        let url = Url::parse(text).map_err(BadProxy::Unreadable)?;
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            _ => Err(BadProxy::Scheme),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.0.scheme())
    }
}

/// Why something is no address of a proxy; does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// It is no URL.
    #[error("it is not a URL ({0}): give one such as http://proxy.example:3128")]
    Unreadable(url::ParseError),
    /// It is no HTTP proxy.
    #[error("the proxy's address does not start with http:// or https://")]
    Scheme,
}

/// Why nothing can be fetched in that way.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be shown to providers.
    #[error(
        "the contact {0:?} can't be sent to providers: give an address of mail or of a page, \
         without control characters or brackets"
    )]
    Contact(String),
    /// There is no place for bodies.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// There is no TLS, or nothing to connect with.
    #[error("can't make the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// Makes the client that all fetches of a process share.
pub(super) fn client(config: &Config, lookup: Lookup) -> Result<Client, ConfigError> {
    // Whoever came first has set the process' provider, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let limits = &config.limits;
    let proxy = config.proxy.as_ref().map(|Proxy(url)| url);
    let guard = Guard {
        lookup,
        allow: config.allow.clone(),
        limit: limits.dns,
        exempt: proxy.and_then(|proxy| proxy.host_str().map(str::to_owned)),
    };
    // HTTP/2 counts more per field, and its own refusal could not be told from other faults.
    let list = u32::try_from(limits.headers.saturating_mul(4)).unwrap_or(u32::MAX);
    let builder = Client::builder()
        .user_agent(user_agent(config.contact.as_deref())?)
        .connect_timeout(limits.connect)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(4)
        .http1_max_headers(HEADERS)
        .http2_max_header_list_size(list)
        .redirect(redirect::Policy::none())
        .referer(false)
        .dns_resolver(Arc::new(guard))
        // Those of the environment are not used.
        .no_proxy();
    let builder = match proxy {
        None => builder,
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone())?),
    };
    Ok(builder.build()?)
}

fn user_agent(contact: Option<&str>) -> Result<HeaderValue, ConfigError> {
    let name = concat!("fanfare/", env!("CARGO_PKG_VERSION"));
    let Some(contact) = contact.filter(|contact| !contact.is_empty()) else {
        return Ok(HeaderValue::from_static(name));
    };
    let bad = |c: char| c.is_control() || matches!(c, '(' | ')' | '\\');
    Some(contact)
        .filter(|contact| !contact.contains(bad))
        .and_then(|contact| HeaderValue::from_str(&format!("{name} (+{contact})")).ok())
        .ok_or_else(|| ConfigError::Contact(contact.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_agent_says_who_asks_and_how_to_reach_them() {
        let version = env!("CARGO_PKG_VERSION");
        let plain = format!("fanfare/{version}");
        assert_eq!(user_agent(None).unwrap(), plain.as_str());
        assert_eq!(user_agent(Some("")).unwrap(), plain.as_str());
        let contact = user_agent(Some("ops@example.org")).unwrap();
        assert_eq!(contact, format!("{plain} (+ops@example.org)").as_str());
    }

    #[test]
    fn a_contact_that_could_forge_a_header_is_refused() {
        for contact in ["a\r\nhost: b", "a\0", "a\tb", "a\u{7f}", "a) evil/1", "a\\"] {
            let error = user_agent(Some(contact)).unwrap_err().to_string();
            assert!(error.contains("can't be sent to providers"), "{error}");
            assert!(!error.contains(|c: char| c.is_control()), "{error}");
        }
    }

    #[test]
    fn a_proxys_password_is_not_printed() {
        let config = Config {
            proxy: Some("http://user:hunter2@proxy.example:3128".parse().unwrap()),
            ..Config::default()
        };
        let printed = format!("{config:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

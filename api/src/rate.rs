//! How often a client may ask: each answer tells it, and one who asks too often is told to wait.

mod limiter;
mod setting;
mod tell;

use std::sync::Arc;

use axum::http::{HeaderMap, Method, Request};

use crate::client::{Client, Peer, TrustedProxies};
use crate::{Config, health};

use limiter::Limiter;
pub(crate) use limiter::Verdict;
pub use setting::{BadRate, PerSecond, Rate};
pub(crate) use tell::tell;

/// A limiter, and whom it believes.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    limiter: Arc<Limiter>,
    trusted_proxies: TrustedProxies,
}

impl Gate {
    /// None if there is no limit.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            limiter: Arc::new(Limiter::new(config.rate?)),
            trusted_proxies: config.trusted_proxies.clone(),
        })
    }
}

impl Gate {
    /// What a request may do; nothing is counted of those by which a deployment watches the process,
    /// which must not fail because somebody asks much, nor of preflights.
    pub(crate) fn check<B>(&self, request: &Request<B>, peer: Option<Peer>) -> Option<Verdict> {
        // A page's browser asks whether it may ask.
        if health::is_probe(request.uri().path()) || request.method() == Method::OPTIONS {
            return None;
        }
        let client = Client::of(peer, request.headers(), &self.trusted_proxies);
        Some(self.limiter.check(client.key()))
    }

    /// Tells the client what it may still ask for.
    pub(crate) fn tell(&self, verdict: Verdict, headers: &mut HeaderMap) {
        self.limiter.write(verdict, headers);
    }
}

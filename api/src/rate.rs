//! How often a client may ask: each answer tells it, and one who asks too often is told to wait.

mod limiter;
mod setting;
mod tell;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::Config;
use crate::client::{Client, Peer, TrustedProxies};

pub(crate) use limiter::Limiter;
pub use setting::{BadRate, PerSecond, Rate};
pub(crate) use tell::tell;

/// Whether requests to that path are counted: all but those by which a deployment watches the
/// process, which must not fail because somebody asks much.
pub(crate) fn is_limited(path: &str) -> bool {
    !["/healthz", "/readyz", "/v1/health"].contains(&path)
}

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

/// Answers requests that are too many with 429, and tells every client what it may still ask for.
pub(crate) async fn limit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if !is_limited(request.uri().path()) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().copied();
    let client = Client::of(peer, request.headers(), &gate.trusted_proxies);
    let verdict = gate.limiter.check(client.key());
    let mut response = match verdict.permit() {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    gate.limiter.write(verdict, response.headers_mut());
    response
}

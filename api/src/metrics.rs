//! What is measured of requests, of the caches and of how new the answers are; `docs/TELEMETRY.md` is
//! the list.
//!
//! An answer at hand takes microseconds, so its instruments are bound to their attributes the first
//! time that they are needed, and found again without a lock. Recording a duration still takes one: in
//! the SDK each series of a histogram is behind a mutex for each reader, which all threads share.

mod caches;
mod gauges;
mod requests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use opentelemetry::metrics::Meter;

use crate::Context;
use crate::route::Route;
use caches::Caches;
pub(crate) use caches::{InMemory, Shared};
pub(crate) use gauges::observe;
use requests::Requests;

/// The API's instruments.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Requests,
    caches: Caches,
}

impl Metrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            requests: Requests::new(meter),
            caches: Caches::new(meter),
        }
    }

    /// A request that was answered from what was at hand.
    pub(crate) fn hit(&self, method: &Method, route: Route, status: StatusCode, took: Duration) {
        self.requests.hit(method, route, status, took);
    }

    /// Any other request.
    pub(crate) fn request(
        &self,
        method: &Method,
        route: Option<&str>,
        status: StatusCode,
        took: Duration,
    ) {
        self.requests.record(method, route, status, took);
    }

    /// What a look into this process' cache led to.
    pub(crate) fn in_memory(&self, led_to: InMemory) {
        self.caches.in_memory(led_to);
    }

    /// What a look into the shared cache led to.
    pub(crate) fn shared(&self, led_to: Shared) {
        self.caches.shared(led_to);
    }
}

/// When a request came, where anybody wants to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began(Option<Instant>);

impl Began {
    /// Reads the clock only if somebody wants to know.
    pub(crate) fn now(wanted: bool) -> Self {
        Self(wanted.then(Instant::now))
    }

    /// How long ago that was; zero where nobody wants to know.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.map_or(Duration::ZERO, |began| began.elapsed())
    }
}

/// How much there is of something now.
#[derive(Debug, Default)]
pub(crate) struct Level(AtomicU64);

impl Level {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One more on a level of the API's, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    context: Context,
    level: fn(&Context) -> &Level,
}

impl Counted {
    pub(crate) fn new(context: &Context, level: fn(&Context) -> &Level) -> Self {
        level(context).0.fetch_add(1, Ordering::Relaxed);
        let context = context.clone();
        Self { context, level }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.level)(&self.context)
            .0
            .fetch_sub(1, Ordering::Relaxed);
    }
}

/// The method as OpenTelemetry knows it: few and bounded.
pub(crate) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

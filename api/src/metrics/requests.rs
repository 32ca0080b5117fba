//! How long requests take.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram, Meter};
use telemetry::bounds;

use super::method;
use crate::route::Route;

/// Durations of requests, up to the head of their answers.
#[derive(Debug)]
pub(super) struct Requests {
    duration: Histogram<f64>,
    hits: [OnceLock<BoundHistogram<f64>>; HITS],
}

/// What an answer at hand can be.
const STATUSES: [StatusCode; 3] = [
    StatusCode::OK,
    StatusCode::NOT_MODIFIED,
    StatusCode::NOT_FOUND,
];

/// `GET` and `HEAD`, each route and each status.
const HITS: usize = 2 * Route::ALL.len() * STATUSES.len();

impl Requests {
    pub(super) fn new(meter: &Meter) -> Self {
        let duration = meter
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("Duration of a request, up to the head of its answer")
            .with_boundaries(bounds::REQUEST.to_vec())
            .build();
        Self {
            duration,
            hits: [const { OnceLock::new() }; HITS],
        }
    }

    /// One that was answered from what was at hand.
    pub(super) fn hit(&self, method: &Method, route: Route, status: StatusCode, took: Duration) {
        let Some(at) = place(method, route, status) else {
            return self.record(method, Some(route.path()), status, took);
        };
        let bind = || {
            let attributes = attributes(method, Some(route.path()), status);
            self.duration.bind(&attributes)
        };
        self.hits[at].get_or_init(bind).record(took.as_secs_f64());
    }

    pub(super) fn record(
        &self,
        method: &Method,
        route: Option<&str>,
        status: StatusCode,
        took: Duration,
    ) {
        let attributes = attributes(method, route, status);
        self.duration.record(took.as_secs_f64(), &attributes);
    }
}

fn place(method: &Method, route: Route, status: StatusCode) -> Option<usize> {
    let status_at = STATUSES.iter().position(|known| *known == status)?;
    let route_at = route as usize * STATUSES.len();
    let method_at = usize::from(method == Method::HEAD) * Route::ALL.len() * STATUSES.len();
    Some(method_at + route_at + status_at)
}

fn attributes(method_: &Method, route: Option<&str>, status: StatusCode) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(5);
    attributes.push(KeyValue::new("http.request.method", method(method_)));
    if let Some(route) = route {
        attributes.push(KeyValue::new("http.route", route.to_owned()));
    }
    let code = i64::from(status.as_u16());
    attributes.push(KeyValue::new("http.response.status_code", code));
    attributes.push(KeyValue::new("url.scheme", "http"));
    if status.is_server_error() {
        attributes.push(KeyValue::new("error.type", status.as_str().to_owned()));
    }
    attributes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_of_hit_has_a_place_of_its_own() {
        let mut places = BTreeSet::new();
        for method in [Method::GET, Method::HEAD] {
            for route in Route::ALL {
                places.extend(STATUSES.map(|status| place(&method, route, status)));
            }
        }
        let all: BTreeSet<_> = (0..HITS).map(Some).collect();
        assert_eq!(places, all);
        assert_eq!(place(&Method::GET, Route::Search, StatusCode::GONE), None);
    }
}

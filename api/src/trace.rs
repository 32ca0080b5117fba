//! One span a request, named and attributed as OpenTelemetry's semantic conventions for HTTP
//! servers have it. It continues the trace of a client that sends one.

use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Method, Request, Response};
use axum::middleware::Next;
use entity::dataset::Version;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use crate::limits;

/// Answers the request within its span and its limits; `longest` is how long it may take.
pub(crate) async fn request(
    longest: Duration,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    // Few and bounded, unlike paths: what is no route has none.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = span_of(&request, route.as_ref().map(MatchedPath::as_str));
    let answer = limits::keep(longest, request, next);
    let response = answer.instrument(span.clone()).await;
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    // To a server a client's mistake is no error.
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status.as_str());
    }
    response
}

/// The span of a request that was answered from what was at hand.
pub(crate) fn hit<B, R>(
    request: &Request<B>,
    route: &str,
    version: Version,
    response: &Response<R>,
) {
    let span = span_of(request, Some(route));
    span.record("fanfare.dataset.version", version.number);
    span.record("http.response.status_code", response.status().as_u16());
    span.record("fanfare.cache", "hit");
}

fn span_of<B>(request: &Request<B>, route: Option<&str>) -> Span {
    let method = method(request.method());
    let name = match (method, route) {
        ("_OTHER", None) => "HTTP".to_owned(),
        ("_OTHER", Some(route)) => format!("HTTP {route}"),
        (method, None) => method.to_owned(),
        (method, Some(route)) => format!("{method} {route}"),
    };
    let span = info_span!(
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        url.scheme = "http",
        url.path = request.uri().path(),
        url.query = request.uri().query(),
        fanfare.cache = Empty,
        fanfare.dataset.version = Empty,
        "error.type" = Empty,
    );
    let header = |name| request.headers().get(name)?.to_str().ok();
    telemetry::set_parent(&span, header("traceparent"), header("tracestate"));
    span
}

fn method(method: &Method) -> &'static str {
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

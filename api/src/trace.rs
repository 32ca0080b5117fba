//! One span a request, named and attributed as OpenTelemetry's semantic conventions for HTTP
//! servers have it. It continues the trace of a client that sends one.

use std::time::Duration;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Request, Response, StatusCode};
use axum::middleware::Next;
use entity::dataset::Version;
use opentelemetry::{KeyValue, Value};
use telemetry::EndedSpans;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use crate::limits;
use crate::metrics::method;
use crate::reader::Layer;
use crate::route::Route;

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
    let mut response = answer.instrument(span.clone()).await;
    let status = response.status();
    // Unsigned numbers would become text on their way.
    let code = i64::from(status.as_u16());
    span.record("http.response.status_code", code);
    // To a server a client's mistake is no error.
    if status.is_server_error() {
        telemetry::fail(&span, status.as_str());
    }
    if let Some(route) = route {
        response.extensions_mut().insert(Matched(route));
    }
    response
}

/// The route that an answer comes from, told to whoever measures it.
#[derive(Debug, Clone)]
struct Matched(MatchedPath);

/// The route that an answer comes from, if it comes from one.
pub(crate) fn route_of<B>(response: &Response<B>) -> Option<&str> {
    let matched = response.extensions().get::<Matched>();
    matched.map(|Matched(route)| route.as_str())
}

/// Records the span of a request that was answered from what was at hand, with the attributes that
/// [`request`] gives to others.
pub(crate) fn hit<B>(
    spans: &EndedSpans,
    request: &Request<B>,
    route: Route,
    version: Version,
    status: StatusCode,
    took: Duration,
) {
    spans.server(route.span(request.method()), parent(request), took, || {
        let mut attributes = Vec::with_capacity(8);
        let mut put = |name, value: Value| attributes.push(KeyValue::new(name, value));
        put("http.request.method", method(request.method()).into());
        put("http.route", route.path().into());
        put(
            "http.response.status_code",
            i64::from(status.as_u16()).into(),
        );
        put("url.scheme", "http".into());
        put("url.path", request.uri().path().to_owned().into());
        if let Some(query) = request.uri().query() {
            put("url.query", query.to_owned().into());
        }
        put("fanfare.cache", Layer::Hit.name().into());
        put("fanfare.dataset.version", version.number.into());
        attributes
    });
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
    let (traceparent, tracestate) = parent(request);
    telemetry::set_parent(&span, traceparent, tracestate);
    span
}

/// `traceparent` and `tracestate`, as the client sends them.
fn parent<B>(request: &Request<B>) -> (Option<&str>, Option<&str>) {
    let header = |name| request.headers().get(name)?.to_str().ok();
    match header("traceparent") {
        None => (None, None),
        traceparent => (traceparent, header("tracestate")),
    }
}

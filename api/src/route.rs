//! What the routes that ask of one version have in common.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Response};

use crate::cache::Asked;
use crate::question::Question;
use crate::respond::respond;
use crate::standing::Standing;
use crate::{Context, Error};

/// A route whose answers depend on nothing but the version of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Search,
    Event,
    Changes,
    History,
}

impl Route {
    pub(crate) const ALL: [Self; 4] = [Self::Search, Self::Event, Self::Changes, Self::History];

    /// As the document has it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Search => "/v1/events/search",
            Self::Event => "/v1/events/{id}",
            Self::Changes => "/v1/changes",
            Self::History => "/v1/events/{id}/history",
        }
    }

    /// What the span of a `HEAD`, or else of a `GET`, is called.
    pub(crate) fn span(self, method: &Method) -> &'static str {
        let head = method == Method::HEAD;
        match self {
            Self::Search if head => "HEAD /v1/events/search",
            Self::Search => "GET /v1/events/search",
            Self::Event if head => "HEAD /v1/events/{id}",
            Self::Event => "GET /v1/events/{id}",
            Self::Changes if head => "HEAD /v1/changes",
            Self::Changes => "GET /v1/changes",
            Self::History if head => "HEAD /v1/events/{id}/history",
            Self::History => "GET /v1/events/{id}/history",
        }
    }
}

/// Answers `question`, and notes that this is what the request's address means.
///
/// # Errors
/// There is no answer.
pub(crate) async fn answer(
    context: &Context,
    standing: &Arc<Standing>,
    question: Question,
    request: &Parts,
) -> Result<Response<Body>, Error> {
    let asked = Arc::new(Asked::new(question));
    if let Some(address) = request.uri.path_and_query() {
        let epoch = standing.version.epoch;
        context.cache().note(address.as_str(), epoch, &asked);
    }
    respond(context, standing, &asked, &request.headers).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_called_by_method_and_route() {
        for route in Route::ALL {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(route.span(&method), format!("{method} {}", route.path()));
            }
        }
    }
}

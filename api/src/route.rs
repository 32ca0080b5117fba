//! What the routes that ask of one version have in common.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use axum::http::request::Parts;

use crate::cache::Asked;
use crate::question::Question;
use crate::respond::respond;
use crate::standing::Standing;
use crate::{Context, Error};

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

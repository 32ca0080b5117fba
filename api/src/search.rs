//! `GET /v1/events/search`, the published contract.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use futures::TryStreamExt;
use utoipa::IntoParams;

use crate::error::{ErrorEnvelope, Failures};
use crate::render::{Envelope, EventList, SearchBody, json_of};
use crate::{Context, Error, query};

/// Lists the available events on a time range
///
/// Every event that was ever sold online and lies in the window, by start and then id, those that
/// have left their provider's feed included. An event without an end is judged by its start.
#[utoipa::path(
    get,
    path = "/v1/events/search",
    operation_id = "searchEvents",
    tag = "events",
    params(Parameters),
    responses(
        (status = 200, description = "The events.", body = Envelope<EventList>,
         headers(("Dataset-Version" = String,
                  description = "State of the events that the answer belongs to: EPOCH-NUMBER."))),
        (status = 400, description = "A parameter is unknown, doubled or malformed, or the window is inverted.",
         body = ErrorEnvelope),
        Failures,
    )
)]
pub(crate) async fn search(
    State(context): State<Context>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let window = query::window(query.as_deref())?;
    let answer = entity::search::stream(context.db(), window);
    let (version, mut events) = context.read(answer).await?;
    let mut body = SearchBody::new();
    while let Some(found) = events.try_next().await? {
        body.push(found);
    }
    Ok(json_of(version, body.finish()))
}

/// Read by [`query::window`], which knows more forms than the document's types can say.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "told in the document")]
struct Parameters {
    /// Return only events that start at this instant or later: an RFC 3339 time, in UTC if it has
    /// no offset, or a date, which means its first instant in UTC.
    #[param(value_type = String, format = DateTime, required = false, example = "2021-02-01T00:00:00Z")]
    starts_at: Option<String>,
    /// Return only events that end at this instant or earlier: an RFC 3339 time, in UTC if it has
    /// no offset, or a date, which means its last instant in UTC.
    #[param(value_type = String, format = DateTime, required = false, example = "2022-07-03T23:59:59Z")]
    ends_at: Option<String>,
}

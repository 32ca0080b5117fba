//! `GET /v1/events/{id}/history`: what became of one event.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use chrono::{DateTime, Utc};
use entity::history::{History, Past};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::change::{KindName, kind_name};
use crate::difference::{Difference, difference};
use crate::error::{ErrorEnvelope, Failures};
use crate::event::{EventState, event_id};
use crate::question::Question;
use crate::render::Nothing;
use crate::{Context, Error, query, route};

/// Every version of one event
///
/// The newest first, each with the run that brought it. The log is kept for a while (90 days unless
/// the operator chose otherwise), and the history with it.
#[utoipa::path(
    get,
    path = "/v1/events/{id}/history",
    operation_id = "getEventHistory",
    tag = "events",
    params(("id" = Uuid, Path, description = "The event's id, as a search gives it.",
            example = "dd8d2fd1-87f2-55d4-9464-032d553cbb6f"),
           Parameters),
    responses(
        (status = 200, description = "The versions, the newest first.", body = EventHistory),
        (status = 400, description = "The id is no UUID, or a parameter is unknown, doubled or malformed.",
         body = ErrorEnvelope),
        (status = 404, description = "There is no such event.", body = ErrorEnvelope),
        Failures,
    )
)]
pub(crate) async fn history(
    State(context): State<Context>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response<Body>, Error> {
    let (request, _) = request.into_parts();
    let history = query::history(request.uri.query())?;
    let question = Question::History(event_id(id)?, history);
    let standing = context.standing().await?;
    route::answer(&context, &standing, question, &request).await
}

/// Read by [`query::history`].
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "told in the document")]
struct Parameters {
    /// Return only versions below this one: `meta.next_before` of the page before.
    #[param(required = false, minimum = 0)]
    before: Option<u64>,
    /// Return at most so many.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
}

/// A page of an event's history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventHistory {
    data: VersionList,
    /// Always null.
    #[schema(value_type = Option<Object>, required)]
    error: Nothing,
    meta: HistoryMeta,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionList {
    versions: Vec<EventVersion>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryMeta {
    /// What to send as `before` for the versions before these; null if these were the last.
    #[schema(required, minimum = 1)]
    next_before: Option<i64>,
}

/// What an event was from one change to the next.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventVersion {
    /// The number of the version that brought it.
    #[schema(minimum = 1)]
    version: i64,
    /// When that version was committed.
    committed_at: DateTime<Utc>,
    /// The run that did it.
    run: Uuid,
    /// What happened.
    #[schema(value_type = KindName)]
    kind: &'static str,
    /// What differs from before, as `{"field": [before, after]}`.
    #[schema(schema_with = difference, required)]
    changed: Option<Difference>,
    /// The event after it.
    event: EventState,
    /// Since when it had left its feed, if it had.
    #[schema(required)]
    gone_at: Option<DateTime<Utc>>,
    /// Whether it had been sold online by then.
    ever_online: bool,
}

impl From<History> for EventHistory {
    fn from(history: History) -> Self {
        Self {
            data: VersionList {
                versions: history
                    .versions
                    .into_iter()
                    .map(EventVersion::from)
                    .collect(),
            },
            error: Nothing,
            meta: HistoryMeta {
                next_before: history.before,
            },
        }
    }
}

impl From<Past> for EventVersion {
    fn from(past: Past) -> Self {
        Self {
            version: past.version,
            committed_at: past.committed_at,
            run: past.run,
            kind: kind_name(past.kind),
            changed: past.changed.map(Difference),
            event: past.content.into(),
            gone_at: past.gone_at,
            ever_online: past.ever_online,
        }
    }
}

impl EventHistory {
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a history is made of strings, numbers and lists")
    }
}

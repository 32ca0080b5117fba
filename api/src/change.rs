//! `GET /v1/changes`: everything that happened to events, in order, for those who keep a copy.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use chrono::{DateTime, Utc};
use entity::changes::{At, Change, Page};
use entity::dataset::Version;
use entity::event_change::Kind;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::difference::{Difference, difference};
use crate::error::{ErrorEnvelope, Failures};
use crate::event::EventDetails;
use crate::query;
use crate::question::Question;
use crate::render::Nothing;
use crate::{Context, Error, route};

/// Lists what happened to events since a version
///
/// In the order in which it was committed, without gaps: whoever has applied every page up to the
/// last one has the very events that a search finds. Each change comes with the event as it is in the
/// version that the header `Dataset-Version` names, which may be later than the change. Only events
/// that were ever sold online are told of; one that is sold online for the first time is `created`.
#[utoipa::path(
    get,
    path = "/v1/changes",
    operation_id = "listChanges",
    tag = "events",
    params(Parameters),
    responses(
        (status = 200, description = "The changes, the oldest first.", body = ChangePage,
         headers(("Link" = String, description = "The next page, as `<…>; rel=\"next\"` (RFC 8288)."))),
        (status = 400, description = "A parameter is missing, unknown, doubled or malformed, or `since` lies in the future.",
         body = ErrorEnvelope),
        (status = 410, description = "`since` belongs to a history that has ended, or lies before what the log still has: start over with a search.",
         body = ErrorEnvelope),
        Failures,
    )
)]
pub(crate) async fn changes(
    State(context): State<Context>,
    request: Request,
) -> Result<Response<Body>, Error> {
    let (request, _) = request.into_parts();
    let changes = query::changes(request.uri.query())?;
    // Another process may have told the client of an epoch that this one has not heard of.
    let standing = context.standing_in(changes.epoch).await?;
    if changes.epoch != standing.version.epoch {
        let version = standing.version;
        return Err(Error::Ended { version });
    }
    let question = Question::Changes(changes);
    route::answer(&context, &standing, question, &request).await
}

/// Read by [`query::changes`].
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "told in the document")]
struct Parameters {
    /// Return what came after this: the header `Dataset-Version` of a search, or `meta.next` of the
    /// page before. `EPOCH-0` means everything that the log has.
    #[param(
        example = "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e-42",
        pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}-[0-9]{1,18}(\.[0-9]{1,18})?$"
    )]
    since: String,
    /// Return at most so many.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
}

/// A page of changes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangePage {
    data: ChangeList,
    /// Always null.
    #[schema(value_type = Option<Object>, required)]
    error: Nothing,
    meta: ChangeMeta,
    #[serde(skip)]
    pub(crate) next: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeList {
    changes: Vec<EventChange>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeMeta {
    /// What to send as `since` next.
    #[schema(
        example = "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e-43.17",
        pattern = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]{1,18}(\.[0-9]{1,18})?$"
    )]
    next: String,
    /// Whether there is more to be had at once.
    more: bool,
}

/// What happened to one event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventChange {
    /// The number of the version that brought it.
    #[schema(minimum = 1)]
    version: i64,
    /// Its place within that version.
    #[schema(minimum = 0)]
    position: i64,
    /// When that version was committed.
    committed_at: DateTime<Utc>,
    /// What happened.
    #[schema(value_type = KindName)]
    kind: &'static str,
    /// Which event.
    id: Uuid,
    /// What differs, as `{"field": [before, after]}`; null where nothing was there before, or where
    /// the event only left its feed or came back to it.
    #[schema(schema_with = difference, required)]
    changed: Option<Difference>,
    /// The event as it is in the version of this answer.
    #[schema(required)]
    event: Option<EventDetails>,
}

/// What happened to an event.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "told in the document")]
pub(crate) enum KindName {
    /// Seen for the first time.
    Created,
    /// Something in it is different.
    Updated,
    /// Its feed no longer has it.
    Gone,
    /// Its feed has it again.
    Returned,
}

/// As answers name it.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Created => "created",
        Kind::Updated => "updated",
        Kind::Gone => "gone",
        Kind::Returned => "returned",
    }
}

impl ChangePage {
    pub(crate) fn new(page: Page) -> Self {
        let next = place(page.version, page.next);
        Self {
            data: ChangeList {
                changes: page.changes.into_iter().map(EventChange::from).collect(),
            },
            error: Nothing,
            meta: ChangeMeta {
                next: next.clone(),
                more: page.more,
            },
            next,
        }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("changes are made of strings, numbers and lists")
    }
}

impl From<Change> for EventChange {
    fn from(change: Change) -> Self {
        Self {
            version: change.version,
            position: change.position,
            committed_at: change.committed_at,
            kind: kind_name(change.kind),
            id: change.event_id,
            changed: change.changed.map(Difference),
            event: change.event.map(EventDetails::from),
        }
    }
}

/// A place in the log as `since` takes it.
fn place(version: Version, at: At) -> String {
    match at.position {
        Some(position) => format!("{}-{}.{position}", version.epoch, at.version),
        None => format!("{}-{}", version.epoch, at.version),
    }
}

/// The next page, also where there is none yet: it is to be asked for later.
pub(crate) fn next_link(next: &str, limit: u64) -> String {
    format!("</v1/changes?since={next}&limit={limit}>; rel=\"next\"")
}

//! `GET /v1/events/{id}`: everything about one event.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use chrono::{DateTime, NaiveDate, Utc};
use entity::event::{Content, SellMode, Zone};
use entity::search;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{ErrorEnvelope, Failures};
use crate::question::Question;
use crate::render::{Envelope, LocalTime, Price, nullable_price};
use crate::{Context, Error, query, route};

/// Everything about one event
///
/// It need not have been sold online, nor be in its provider's feed still.
#[utoipa::path(
    get,
    path = "/v1/events/{id}",
    operation_id = "getEvent",
    tag = "events",
    params(("id" = Uuid, Path, description = "The event's id, as a search gives it.",
            example = "dd8d2fd1-87f2-55d4-9464-032d553cbb6f")),
    responses(
        (status = 200, description = "The event.", body = Envelope<EventDetails>),
        (status = 400, description = "The id is no UUID, or there are parameters.",
         body = ErrorEnvelope),
        (status = 404, description = "There is no such event.", body = ErrorEnvelope),
        Failures,
    )
)]
pub(crate) async fn event(
    State(context): State<Context>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response<Body>, Error> {
    let (request, _) = request.into_parts();
    query::nothing(request.uri.query())?;
    let question = Question::Event(event_id(id)?);
    let standing = context.standing().await?;
    route::answer(&context, &standing, question, &request).await
}

/// Only the hyphenated form, so that an event has one address.
pub(crate) fn event_id(id: Result<Path<String>, PathRejection>) -> Result<Uuid, Error> {
    id.ok()
        .filter(|Path(id)| id.len() == uuid::fmt::Hyphenated::LENGTH)
        .and_then(|Path(id)| Uuid::try_parse(&id).ok())
        .ok_or(Error::MalformedId)
}

/// Everything about one event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventDetails {
    /// Identifier of the event, for ever.
    id: Uuid,
    /// Name of its provider.
    provider: String,
    #[serde(flatten)]
    state: EventState,
    /// Whether it was ever sold online: a search has only those that were.
    ever_online: bool,
    /// When it first came.
    first_seen_at: DateTime<Utc>,
    /// When anything about it last changed.
    changed_at: DateTime<Utc>,
    /// When it left its provider's feed.
    #[schema(required)]
    gone_at: Option<DateTime<Utc>>,
}

/// What a feed says of an event. Dates and times are local to it; instants are in UTC.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventState {
    /// The provider's id of what is staged.
    base_id: String,
    /// The provider's id of the event, unique within its base.
    event_id: String,
    /// Title of the event.
    title: String,
    /// Date when the event starts, in local time.
    start_date: NaiveDate,
    /// Time when the event starts, in local time.
    #[schema(value_type = String, pattern = r"^[0-2][0-9]:[0-5][0-9]:[0-5][0-9]$", example = "22:38:19")]
    start_time: LocalTime,
    /// Date when the event ends, in local time.
    #[schema(required)]
    end_date: Option<NaiveDate>,
    /// Time when the event ends, in local time.
    #[schema(value_type = Option<String>, pattern = r"^[0-2][0-9]:[0-5][0-9]:[0-5][0-9]$", required, example = "14:45:15")]
    end_time: Option<LocalTime>,
    /// When the event starts.
    starts_at: DateTime<Utc>,
    /// When the event ends, if its provider says so.
    #[schema(required)]
    ends_at: Option<DateTime<Utc>>,
    /// The least price of all zones.
    #[schema(schema_with = nullable_price, required)]
    min_price: Option<Price>,
    /// The greatest price of all zones.
    #[schema(schema_with = nullable_price, required)]
    max_price: Option<Price>,
    /// When its sale begins.
    #[schema(required)]
    sell_from: Option<DateTime<Utc>>,
    /// When its sale ends.
    #[schema(required)]
    sell_to: Option<DateTime<Utc>>,
    /// Whether nothing is left.
    sold_out: bool,
    /// Whether it is sold online now.
    #[schema(value_type = SellModeName)]
    sell_mode: SellMode,
    /// Who organizes it.
    #[schema(required)]
    organizer_company_id: Option<String>,
    /// Parts of the venue, in its provider's order.
    zones: Vec<ZoneDetails>,
}

/// Whether an event is sold online.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "told in the document; the database's type is written"
)]
enum SellModeName {
    Online,
    Offline,
}

/// A part of the venue with its price.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ZoneDetails {
    /// The provider's id; it can stand twice in one event.
    #[schema(required)]
    id: Option<String>,
    /// What people call it.
    #[schema(required)]
    name: Option<String>,
    /// Seats.
    #[schema(required, minimum = 0)]
    capacity: Option<i64>,
    /// Of one seat.
    #[schema(schema_with = nullable_price, required)]
    price: Option<Price>,
    /// Whether its seats are numbered.
    #[schema(required)]
    numbered: Option<bool>,
}

impl From<Zone> for ZoneDetails {
    fn from(zone: Zone) -> Self {
        Self {
            id: zone.id,
            name: zone.name,
            capacity: zone.capacity,
            price: zone.price.map(Price),
            numbered: zone.numbered,
        }
    }
}

impl From<search::Event> for EventDetails {
    fn from(found: search::Event) -> Self {
        let event = found.event;
        Self {
            id: event.id,
            provider: found.provider,
            ever_online: event.ever_online,
            first_seen_at: event.first_seen_at,
            changed_at: event.changed_at,
            gone_at: event.gone_at,
            state: event.into_content().into(),
        }
    }
}

impl From<Content> for EventState {
    fn from(content: Content) -> Self {
        Self {
            base_id: content.base_id,
            event_id: content.event_id,
            title: content.title,
            start_date: content.starts_local.date(),
            start_time: LocalTime(content.starts_local.time()),
            end_date: content.ends_local.map(|at| at.date()),
            end_time: content.ends_local.map(|at| LocalTime(at.time())),
            starts_at: content.starts_at,
            ends_at: content.ends_at,
            min_price: content.min_price.map(Price),
            max_price: content.max_price.map(Price),
            sell_from: content.sell_from,
            sell_to: content.sell_to,
            sold_out: content.sold_out,
            sell_mode: content.sell_mode,
            organizer_company_id: content.organizer_company_id,
            zones: content.zones.into_iter().map(ZoneDetails::from).collect(),
        }
    }
}

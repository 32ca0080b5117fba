//! `GET /v1/events/{id}`: everything about one event.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use entity::event::{SellMode, Zone};
use entity::search::Event;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{ErrorEnvelope, Failures};
use crate::render::{Envelope, LocalTime, Price, json_of, nullable_price};
use crate::{Context, Error, query};

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
        (status = 200, description = "The event.", body = Envelope<EventDetails>,
         headers(("Dataset-Version" = String,
                  description = "State of the events that the answer belongs to: EPOCH-NUMBER."))),
        (status = 400, description = "The id is no UUID, or there are parameters.",
         body = ErrorEnvelope),
        (status = 404, description = "There is no such event.", body = ErrorEnvelope,
         headers(("Dataset-Version" = String,
                  description = "State of the events that the answer belongs to: EPOCH-NUMBER."))),
        Failures,
    )
)]
pub(crate) async fn event(
    State(context): State<Context>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    query::nothing(query.as_deref())?;
    let id = parse_id(id)?;
    let answer = entity::search::event(context.db(), id);
    match context.read(answer).await? {
        (version, Some(event)) => {
            let body = Envelope::new(EventDetails::from(event));
            Ok(json_of(version, body.to_json()))
        }
        (version, None) => Err(Error::NoSuchEvent { id, version }),
    }
}

/// Only the hyphenated form, so that an event has one address.
fn parse_id(id: Result<Path<String>, PathRejection>) -> Result<Uuid, Error> {
    id.ok()
        .filter(|Path(id)| id.len() == uuid::fmt::Hyphenated::LENGTH)
        .and_then(|Path(id)| Uuid::try_parse(&id).ok())
        .ok_or(Error::MalformedId)
}

/// Everything about one event. Dates and times are local to it; instants are in UTC.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventDetails {
    /// Identifier of the event, for ever.
    id: Uuid,
    /// Name of its provider.
    provider: String,
    /// The provider's id of what is staged.
    base_id: String,
    /// The provider's id of the event, unique within its base.
    event_id: String,
    /// Title of the event.
    title: String,
    /// Date when the event starts, in local time.
    start_date: NaiveDate,
    /// Time when the event starts, in local time.
    #[schema(value_type = String, format = "time")]
    start_time: LocalTime,
    /// Date when the event ends, in local time.
    #[schema(required)]
    end_date: Option<NaiveDate>,
    /// Time when the event ends, in local time.
    #[schema(value_type = Option<String>, format = "time", required)]
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
    /// Whether it was ever sold online: a search has only those that were.
    ever_online: bool,
    /// Who organizes it.
    #[schema(required)]
    organizer_company_id: Option<String>,
    /// Parts of the venue, in its provider's order.
    zones: Vec<ZoneDetails>,
    /// When it first came.
    first_seen_at: DateTime<Utc>,
    /// When anything about it last changed.
    changed_at: DateTime<Utc>,
    /// When it left its provider's feed.
    #[schema(required)]
    gone_at: Option<DateTime<Utc>>,
    /// When its provider's feed last had it.
    #[schema(required)]
    last_seen_at: Option<DateTime<Utc>>,
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
    #[schema(required)]
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

impl From<Event> for EventDetails {
    fn from(found: Event) -> Self {
        let event = found.event;
        Self {
            id: event.id,
            provider: found.provider,
            base_id: event.base_id,
            event_id: event.event_id,
            title: event.title,
            start_date: event.starts_local.date(),
            start_time: LocalTime(event.starts_local.time()),
            end_date: event.ends_local.map(|at| at.date()),
            end_time: event.ends_local.map(|at| LocalTime(at.time())),
            starts_at: event.starts_at,
            ends_at: event.ends_at,
            min_price: event.min_price.map(Price),
            max_price: event.max_price.map(Price),
            sell_from: event.sell_from,
            sell_to: event.sell_to,
            sold_out: event.sold_out,
            sell_mode: event.sell_mode,
            ever_online: event.ever_online,
            organizer_company_id: event.organizer_company_id,
            zones: event.zones.0.into_iter().map(ZoneDetails::from).collect(),
            first_seen_at: event.first_seen_at,
            changed_at: event.changed_at,
            gone_at: event.gone_at,
            last_seen_at: found.last_seen_at,
        }
    }
}

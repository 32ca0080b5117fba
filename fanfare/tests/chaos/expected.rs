//! What an event's row must say, made from what the simulator served.

use chrono::{DateTime, NaiveDateTime, Utc};
use entity::event::{self, SellMode, Zone};
use entity::provider;
use jiff::tz::TimeZone;
use jiff::{Zoned, civil};
use simulator::{ExpectedEvent, TruthZone};
use uuid::Uuid;

/// All of a row that follows from its feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    provider_id: i64,
    base_id: String,
    event_id: String,
    title: String,
    starts_at: DateTime<Utc>,
    ends_at: Option<DateTime<Utc>>,
    starts_local: NaiveDateTime,
    ends_local: Option<NaiveDateTime>,
    sell_from: Option<DateTime<Utc>>,
    sell_to: Option<DateTime<Utc>>,
    sold_out: bool,
    sell_mode: SellMode,
    ever_online: bool,
    organizer_company_id: Option<String>,
    min_price: Option<i64>,
    max_price: Option<i64>,
    zones: Vec<Zone>,
    gone: bool,
}

impl From<event::Model> for Row {
    fn from(row: event::Model) -> Self {
        Self {
            id: row.id,
            provider_id: row.provider_id,
            base_id: row.base_id,
            event_id: row.event_id,
            title: row.title,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            starts_local: row.starts_local,
            ends_local: row.ends_local,
            sell_from: row.sell_from,
            sell_to: row.sell_to,
            sold_out: row.sold_out,
            sell_mode: row.sell_mode,
            ever_online: row.ever_online,
            organizer_company_id: row.organizer_company_id,
            min_price: row.min_price,
            max_price: row.max_price,
            zones: row.zones.0,
            gone: row.gone_at.is_some(),
        }
    }
}

impl Row {
    /// The row of an event of this provider.
    pub(crate) fn expected(provider: &provider::Model, expected: ExpectedEvent) -> Self {
        let zone = TimeZone::get(&provider.timezone).unwrap();
        let at = |local| instant(local, &zone);
        let event = expected.event;
        Self {
            id: event::id(&provider.name, &event.base_id, &event.event_id),
            provider_id: provider.id,
            base_id: event.base_id,
            event_id: event.event_id,
            title: event.title,
            starts_at: at(event.starts_local),
            ends_at: event.ends_local.map(at),
            starts_local: at_place(event.starts_local, &zone),
            ends_local: event.ends_local.map(|local| at_place(local, &zone)),
            sell_from: event.sell_from.map(at),
            sell_to: event.sell_to.map(at),
            sold_out: event.sold_out,
            sell_mode: if event.online {
                SellMode::Online
            } else {
                SellMode::Offline
            },
            ever_online: expected.ever_online,
            organizer_company_id: event.organizer_company_id,
            min_price: event.min_price,
            max_price: event.max_price,
            zones: event.zones.into_iter().map(zone_of).collect(),
            gone: expected.gone,
        }
    }
}

fn zone_of(zone: TruthZone) -> Zone {
    Zone {
        id: Some(zone.id),
        name: Some(zone.name),
        capacity: zone.capacity.map(u64::cast_signed),
        price: zone.price,
        numbered: Some(zone.numbered),
    }
}

/// A time on a clock at the place. One that daylight saving skips or repeats is taken as RFC 5545
/// has it, which jiff calls compatible and does by itself.
fn instant(local: NaiveDateTime, zone: &TimeZone) -> DateTime<Utc> {
    let at = zoned(local, zone).timestamp();
    DateTime::from_timestamp(at.as_second(), 0).unwrap()
}

/// What the clock at the place shows then: it never shows a time that daylight saving skips.
fn at_place(local: NaiveDateTime, zone: &TimeZone) -> NaiveDateTime {
    let shown = zoned(local, zone).datetime().to_string();
    shown.parse().unwrap()
}

fn zoned(local: NaiveDateTime, zone: &TimeZone) -> Zoned {
    let text = local.format("%Y-%m-%dT%H:%M:%S").to_string();
    let local: civil::DateTime = text.parse().unwrap();
    local.to_zoned(zone.clone()).unwrap()
}

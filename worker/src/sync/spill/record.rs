//! The form of one event in the spool.

use chrono::{DateTime, NaiveDateTime, Utc};
use entity::event::{Content, DIGEST_BYTES, SellMode, Zone};
use serde::{Deserialize, Serialize};

/// Instants in microseconds since 1970.
#[derive(Serialize, Deserialize)]
pub(super) struct Record<'a> {
    pub(super) digest: [u8; DIGEST_BYTES],
    base_id: &'a str,
    event_id: &'a str,
    title: &'a str,
    starts_at: i64,
    ends_at: Option<i64>,
    starts_local: i64,
    ends_local: Option<i64>,
    sell_from: Option<i64>,
    sell_to: Option<i64>,
    sold_out: bool,
    online: bool,
    organizer_company_id: Option<&'a str>,
    min_price: Option<i64>,
    max_price: Option<i64>,
    #[serde(borrow)]
    zones: Vec<RecordZone<'a>>,
}

#[derive(Serialize, Deserialize)]
struct RecordZone<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
    capacity: Option<i64>,
    price: Option<i64>,
    numbered: Option<bool>,
}

impl<'a> Record<'a> {
    pub(super) fn new(content: &'a Content, digest: [u8; DIGEST_BYTES]) -> Self {
        let zone = |zone: &'a Zone| RecordZone {
            id: zone.id.as_deref(),
            name: zone.name.as_deref(),
            capacity: zone.capacity,
            price: zone.price,
            numbered: zone.numbered,
        };
        Self {
            digest,
            base_id: &content.base_id,
            event_id: &content.event_id,
            title: &content.title,
            starts_at: content.starts_at.timestamp_micros(),
            ends_at: content.ends_at.map(|at| at.timestamp_micros()),
            starts_local: content.starts_local.and_utc().timestamp_micros(),
            ends_local: content.ends_local.map(|at| at.and_utc().timestamp_micros()),
            sell_from: content.sell_from.map(|at| at.timestamp_micros()),
            sell_to: content.sell_to.map(|at| at.timestamp_micros()),
            sold_out: content.sold_out,
            online: content.sell_mode == SellMode::Online,
            organizer_company_id: content.organizer_company_id.as_deref(),
            min_price: content.min_price,
            max_price: content.max_price,
            zones: content.zones.iter().map(zone).collect(),
        }
    }

    pub(super) fn content(self) -> Option<Content> {
        let zone = |zone: RecordZone<'_>| Zone {
            id: zone.id.map(str::to_owned),
            name: zone.name.map(str::to_owned),
            capacity: zone.capacity,
            price: zone.price,
            numbered: zone.numbered,
        };
        Some(Content {
            base_id: self.base_id.to_owned(),
            event_id: self.event_id.to_owned(),
            title: self.title.to_owned(),
            starts_at: instant(self.starts_at)?,
            ends_at: optional(self.ends_at, instant)?,
            starts_local: local(self.starts_local)?,
            ends_local: optional(self.ends_local, local)?,
            sell_from: optional(self.sell_from, instant)?,
            sell_to: optional(self.sell_to, instant)?,
            sold_out: self.sold_out,
            sell_mode: if self.online {
                SellMode::Online
            } else {
                SellMode::Offline
            },
            organizer_company_id: self.organizer_company_id.map(str::to_owned),
            min_price: self.min_price,
            max_price: self.max_price,
            zones: self.zones.into_iter().map(zone).collect(),
        })
    }
}

fn instant(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}

fn local(micros: i64) -> Option<NaiveDateTime> {
    instant(micros).map(|at| at.naive_utc())
}

/// Nothing if there is a number that `read` can't read.
fn optional<T>(micros: Option<i64>, read: fn(i64) -> Option<T>) -> Option<Option<T>> {
    match micros {
        None => Some(None),
        Some(micros) => read(micros).map(Some),
    }
}

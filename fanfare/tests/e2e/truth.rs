//! Compares everything that an API shows with what the simulator has served.

use chrono::{DateTime, NaiveDateTime, Utc};
use entity::event;
use entity::provider::Spec;
use jiff::civil;
use jiff::tz::TimeZone;
use simulator::{ExpectedEvent, Simulator, TruthZone};
use uuid::Uuid;

use crate::http::{Api, Details, Price, Summary, Zone};

/// The events of all providers as they must be known, in a search's order.
pub(crate) struct Truth {
    events: Vec<Details>,
}

impl Truth {
    /// What a reader of all that was served so far knows.
    pub(crate) fn of(simulator: &Simulator) -> Self {
        let file = simulator.providers_toml("1h");
        let specs = entity::provider::parse(&file, &["plan-list"]).unwrap();
        let mut events: Vec<_> = specs
            .iter()
            .flat_map(|spec| {
                let expected = simulator.expected(&spec.name).unwrap();
                let known = |event| details(spec, event);
                expected.into_iter().map(known).collect::<Vec<_>>()
            })
            .collect();
        events.sort_by_key(|event| (event.starts_at, event.id));
        Self { events }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn count(&self, holds: impl Fn(&Details) -> bool) -> usize {
        self.events.iter().filter(|event| holds(event)).count()
    }

    /// Checks the searches of an API, and every event by its id.
    pub(crate) async fn check(&self, api: &Api) {
        self.check_search(api).await;
        for event in &self.events {
            assert_eq!(&api.event(event.id).await, event);
        }
    }

    /// Checks the search of all times, and of the middle third of the events.
    pub(crate) async fn check_search(&self, api: &Api) {
        self.check_found(&api.search("").await, |_| true);
        let third = self.events.len() / 3;
        let from = self.events[third].starts_at;
        let to = self.events[2 * third].starts_at;
        let query = format!("?starts_at={}&ends_at={}", stamp(from), stamp(to));
        self.check_found(&api.search(&query).await, |event| {
            event.starts_at >= from && event.ends_at.unwrap_or(event.starts_at) <= to
        });
    }

    fn check_found(&self, found: &[Summary], within: impl Fn(&Details) -> bool) {
        let wanted: Vec<_> = self
            .events
            .iter()
            .filter(|event| event.ever_online && within(event))
            .map(summary)
            .collect();
        assert!(!wanted.is_empty());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found, wanted);
        }
        assert_eq!(found.len(), wanted.len());
    }
}

fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn details(spec: &Spec, expected: ExpectedEvent) -> Details {
    let zone = TimeZone::get(&spec.timezone).unwrap();
    let at = |local| instant(local, &zone).0;
    let event = expected.event;
    let (starts_at, starts_local) = instant(event.starts_local, &zone);
    let ends = event.ends_local.map(|local| instant(local, &zone));
    let ends_local = ends.map(|(_, local)| local);
    Details {
        id: id(spec, &event.base_id, &event.event_id),
        provider: spec.name.clone(),
        base_id: event.base_id,
        event_id: event.event_id,
        title: event.title,
        start_date: starts_local.date(),
        start_time: starts_local.time(),
        end_date: ends_local.map(|local| local.date()),
        end_time: ends_local.map(|local| local.time()),
        starts_at,
        ends_at: ends.map(|(at, _)| at),
        min_price: event.min_price.map(Price),
        max_price: event.max_price.map(Price),
        sell_from: event.sell_from.map(at),
        sell_to: event.sell_to.map(at),
        sold_out: event.sold_out,
        sell_mode: if event.online { "online" } else { "offline" }.to_owned(),
        ever_online: expected.ever_online,
        organizer_company_id: event.organizer_company_id,
        zones: event.zones.into_iter().map(zone_of).collect(),
        gone: expected.gone,
    }
}

fn id(spec: &Spec, base_id: &str, event_id: &str) -> Uuid {
    event::id(&spec.name, base_id, event_id)
}

fn zone_of(zone: TruthZone) -> Zone {
    Zone {
        id: Some(zone.id),
        name: Some(zone.name),
        capacity: zone.capacity,
        price: zone.price.map(Price),
        numbered: Some(zone.numbered),
    }
}

fn summary(event: &Details) -> Summary {
    Summary {
        id: event.id,
        title: event.title.clone(),
        start_date: event.start_date,
        start_time: event.start_time,
        end_date: event.end_date,
        end_time: event.end_time,
        min_price: event.min_price,
        max_price: event.max_price,
    }
}

/// The instant of a feed's time, and what a clock at the place shows then. One that daylight saving
/// skips or repeats is taken as RFC 5545 has it, which jiff calls compatible and does by itself.
fn instant(local: NaiveDateTime, zone: &TimeZone) -> (DateTime<Utc>, NaiveDateTime) {
    let text = local.format("%Y-%m-%dT%H:%M:%S").to_string();
    let local: civil::DateTime = text.parse().unwrap();
    let zoned = local.to_zoned(zone.clone()).unwrap();
    let at = DateTime::from_timestamp(zoned.timestamp().as_second(), 0).unwrap();
    (at, zoned.datetime().to_string().parse().unwrap())
}

//! The simulator, and whether a database holds what it says.

use chrono::{DateTime, NaiveDateTime, Utc};
use entity::event::{Content, SellMode, Zone};
use jiff::civil;
use jiff::tz::TimeZone;
use simulator::{Behavior, Config, ExpectedEvent, Simulator};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::world::{World, spec};

/// Two providers of each spelling, in several time zones.
pub(crate) const PROVIDERS: usize = 6;
const TIME_ZONES: [&str; PROVIDERS] = [
    "UTC",
    "Europe/Madrid",
    "America/New_York",
    "Asia/Tokyo",
    "Europe/London",
    "Australia/Sydney",
];

/// Ends with the test.
pub(crate) struct Simulated {
    pub(crate) simulator: Simulator,
    _stop: DropGuard,
}

pub(crate) fn start(events: usize) -> Simulated {
    let config = Config {
        providers: PROVIDERS,
        events,
        ..Config::default()
    };
    let shutdown = CancellationToken::new();
    let simulator = simulator::start(testkit::free_listener(), config, shutdown.clone());
    Simulated {
        simulator,
        _stop: shutdown.drop_guard(),
    }
}

impl Simulated {
    pub(crate) async fn add_all(&self, world: &World) {
        for (name, timezone) in self.simulator.provider_names().iter().zip(TIME_ZONES) {
            let mut spec = spec(name, &self.simulator.feed_url(name));
            spec.timezone = timezone.to_owned();
            world.apply(&spec).await;
        }
    }

    pub(crate) fn behave(&self, name: &str, behavior: Behavior) {
        self.simulator.set_behavior(name, behavior).unwrap();
    }

    /// Requests of a provider that are under way.
    pub(crate) fn under_way(&self, name: &str) -> u64 {
        self.simulator.stats().providers[name].concurrent
    }

    pub(crate) async fn comes_under_way(&self, name: &str) {
        let what = format!("{name} is being fetched");
        testkit::eventually(crate::world::PATIENCE, what, async || {
            self.under_way(name) > 0
        })
        .await;
    }

    /// Checks every field of every event against the rounds that were stored.
    pub(crate) async fn holds(&self, world: &World, name: &str, rounds: &[u64]) {
        let timezone = world.provider(name).await.timezone;
        let timezone = TimeZone::get(&timezone).unwrap();
        let expected = self.simulator.expected_for_rounds(name, rounds).unwrap();
        let rows = world.events(name).await;
        let mut expected: Vec<_> = expected
            .into_iter()
            .map(|event| meaning(event, &timezone))
            .collect();
        let mut found: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let (gone, ever_online) = (row.gone_at.is_some(), row.ever_online);
                assert_eq!(row.id, entity::event::id(name, &row.base_id, &row.event_id));
                let content = content(row);
                (content, gone, ever_online)
            })
            .collect();
        let key =
            |event: &(Content, bool, bool)| (event.0.base_id.clone(), event.0.event_id.clone());
        expected.sort_by_key(key);
        found.sort_by_key(key);
        assert_eq!(found.len(), expected.len(), "{name} after {rounds:?}");
        for (found, expected) in found.into_iter().zip(expected) {
            assert_eq!(found, expected, "{name} after {rounds:?}");
        }
    }
}

pub(crate) fn content(row: entity::event::Model) -> Content {
    Content {
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
        organizer_company_id: row.organizer_company_id,
        min_price: row.min_price,
        max_price: row.max_price,
        zones: row.zones.0,
    }
}

fn meaning(expected: ExpectedEvent, timezone: &TimeZone) -> (Content, bool, bool) {
    let event = expected.event;
    let at = |local: NaiveDateTime| resolve(local, timezone);
    let zone = |zone: simulator::TruthZone| Zone {
        id: Some(zone.id),
        name: Some(zone.name),
        capacity: zone
            .capacity
            .map(|capacity| i64::try_from(capacity).unwrap()),
        price: zone.price,
        numbered: Some(zone.numbered),
    };
    let content = Content {
        base_id: event.base_id,
        event_id: event.event_id,
        title: event.title,
        starts_at: at(event.starts_local).0,
        ends_at: event.ends_local.map(|end| at(end).0),
        starts_local: at(event.starts_local).1,
        ends_local: event.ends_local.map(|end| at(end).1),
        sell_from: event.sell_from.map(|from| at(from).0),
        sell_to: event.sell_to.map(|to| at(to).0),
        sold_out: event.sold_out,
        sell_mode: if event.online {
            SellMode::Online
        } else {
            SellMode::Offline
        },
        organizer_company_id: event.organizer_company_id,
        min_price: event.min_price,
        max_price: event.max_price,
        zones: event.zones.into_iter().map(zone).collect(),
    };
    (content, expected.gone, expected.ever_online)
}

/// The instant that a local time means, and what a clock there shows then.
fn resolve(local: NaiveDateTime, timezone: &TimeZone) -> (DateTime<Utc>, NaiveDateTime) {
    let written: civil::DateTime = local.to_string().replace(' ', "T").parse().unwrap();
    let zoned = timezone.to_ambiguous_zoned(written).compatible().unwrap();
    let at = DateTime::from_timestamp(zoned.timestamp().as_second(), 0).unwrap();
    (at, zoned.datetime().to_string().parse().unwrap())
}

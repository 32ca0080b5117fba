//! The events that are searched: one at each step of a timeline, all of the same length, so that a
//! window can hold exactly as many as it is to hold.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use entity::Database;
use entity::event::{Content, SellMode, Zone};
use entity::provider::{self, Spec};
use sea_orm::ConnectionTrait;

use super::writer;

pub(super) const SEARCH: &str = "/v1/events/search";
pub(super) const PROVIDER: &str = "primary";
/// 2030-01-01T00:00:00Z: the first start, in seconds.
pub(super) const FIRST: i64 = 1_893_456_000;
/// From one start to the next, in seconds.
const SPACING: i64 = 300;
/// Of each event, in seconds.
const LENGTH: i64 = 5_400;
/// A prime above all numbers of events and seconds that it is used with: its multiples, taken modulo
/// any of those, visit everything once and jump about.
pub(super) const STEP: u64 = 15_485_863;

/// Events that one run stores when the database is filled.
const PORTION: usize = 20_000;

/// How many events there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dataset {
    pub(super) events: usize,
}

impl Dataset {
    /// Adds the provider and stores everything, as a worker does.
    pub(super) async fn fill(self, db: &Database) -> anyhow::Result<()> {
        let url = "http://127.0.0.1:9/".parse()?;
        let interval = Duration::from_secs(900);
        let spec = Spec::new(PROVIDER.to_owned(), url, "plan-list".to_owned(), interval);
        provider::apply(db, &[spec], false, false).await?;
        for begin in (0..self.events).step_by(PORTION) {
            let portion = begin..(begin + PORTION).min(self.events);
            let contents = portion.map(|number| self.content(number, 0)).collect();
            writer::store(db, contents, false).await?;
        }
        db.write.execute_unprepared("VACUUM ANALYZE").await?;
        Ok(())
    }

    /// Where on the timeline the event of that number is: not where its row is in the table.
    pub(super) fn position(self, number: usize) -> usize {
        (number as u64 * STEP % self.events as u64) as usize
    }

    /// What a feed says of it; its prices rise by a hundredth with each edition.
    pub(super) fn content(self, number: usize, edition: i64) -> Content {
        let starts_at = start(self.position(number));
        let ends_at = starts_at + TimeDelta::seconds(LENGTH);
        let local = |at: DateTime<Utc>| at.naive_utc() + TimeDelta::hours(1);
        let mut content = Content {
            base_id: (number / 4).to_string(),
            event_id: number.to_string(),
            title: title(number),
            starts_at,
            ends_at: Some(ends_at),
            starts_local: local(starts_at),
            ends_local: Some(local(ends_at)),
            sell_from: Some(starts_at - TimeDelta::days(90)),
            sell_to: Some(starts_at - TimeDelta::hours(1)),
            sold_out: false,
            sell_mode: SellMode::Online,
            organizer_company_id: Some((number % 50).to_string()),
            min_price: None,
            max_price: None,
            zones: Vec::new(),
        };
        for (zone, name) in (0..).zip(["Platea", "Grada 1", "General"]) {
            let cents = 1_000 + (number as i64 * 37) % 9_000 + zone * 750 + edition;
            content.push_zone(Zone {
                id: Some((zone * 7).to_string()),
                name: Some(name.to_owned()),
                capacity: Some(100 + zone),
                price: Some(cents * 100),
                numbered: Some(zone == 0),
            });
        }
        content
    }

    /// The search whose window holds exactly `count` events, from the one at `position` on.
    pub(super) fn window(self, position: usize, count: usize) -> String {
        let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let end = start(position + count - 1) + TimeDelta::seconds(LENGTH);
        format!(
            "{SEARCH}?starts_at={}&ends_at={}",
            text(start(position)),
            text(end)
        )
    }

    /// Seconds after [`FIRST`] from each of which on there are `count` events and more.
    pub(super) fn span(self, count: usize) -> i64 {
        (self.events - count) as i64 * SPACING
    }
}

fn start(position: usize) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(FIRST + position as i64 * SPACING)
}

fn title(number: usize) -> String {
    const WHO: [&str; 8] = [
        "Camela",
        "Pantomima",
        "Los Morancos",
        "Tributo",
        "Orquesta",
        "Ópera",
        "Ballet",
        "Circo",
    ];
    const WHERE: [&str; 8] = [
        "en concierto",
        "en el teatro",
        "de gira",
        "en la playa",
        "sinfónico",
        "en familia",
        "de verano",
        "acústico",
    ];
    format!("{} {} {number}", WHO[number % 8], WHERE[number / 8 % 8])
}

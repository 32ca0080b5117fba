//! What holds of the parser whatever bytes come: it ends, keeps its bounds, tells the truth about
//! what it delivered, and reads the same however the bytes arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{BufRead, Read, Result as IoResult};
use std::ops::ControlFlow;

use chrono::{Datelike, NaiveDateTime, TimeDelta, Timelike};
use jiff::tz::TimeZone;
use worker::format::{
    Batch, Context, Event, Format, Item, Limits, ParseError, SetAside, Summary, Zone, parse,
};

/// So small that short feeds reach them.
const LIMITS: Limits = Limits {
    max_depth: 8,
    max_token_bytes: 4096,
    max_attributes: 12,
    max_attribute_bytes: 1024,
    max_id_bytes: 24,
    max_title_bytes: 64,
    max_zones_per_event: 4,
    max_set_aside: 3,
    max_snippet_bytes: 40,
    batch_events: 3,
    batch_zones: 5,
};

/// East and west of the date line, with summer time and without.
const ZONES: [&str; 4] = [
    "Europe/Madrid",
    "America/New_York",
    "Pacific/Kiritimati",
    "Pacific/Apia",
];

/// Panics if anything does not hold for this feed. Its time zone follows from its length. Tells
/// whether the feed could be read, and how many events it has.
pub(crate) fn holds(feed: &[u8]) -> Result<usize, ()> {
    let zone = TimeZone::get(ZONES[feed.len() % ZONES.len()]).expect("the zone is known");
    let told = read(feed, &zone, usize::MAX);
    for batch in &told.batches {
        is_bounded(batch);
        for event in &batch.events {
            makes_sense(event);
        }
    }
    for item in told.set_aside() {
        is_told(item);
    }
    let whole = told.end.is_ok();
    if let Ok(summary) = &told.end {
        is_exact(summary, &told);
    }
    for most in [usize::MAX, 4096, 7, 1] {
        is_the_same(&told, &read(feed, &zone, most), most);
    }
    stops_when_told(feed, &zone, &told);
    let events = told.events().count();
    if whole { Ok(events) } else { Err(()) }
}

/// All that came of a feed.
#[derive(Debug, PartialEq)]
struct Told {
    batches: Vec<Batch>,
    /// An error with its causes.
    end: Result<Summary, String>,
    /// Whether the bytes are no text in their encoding, which is noticed before what comes ahead of
    /// them is read.
    is_no_text: bool,
}

impl Told {
    fn events(&self) -> impl Iterator<Item = &Event> {
        self.batches.iter().flat_map(|batch| &batch.events)
    }

    fn set_aside(&self) -> impl Iterator<Item = &SetAside> {
        self.batches.iter().flat_map(|batch| &batch.set_aside)
    }
}

fn read(feed: &[u8], timezone: &TimeZone, most: usize) -> Told {
    let context = Context {
        timezone,
        limits: &LIMITS,
    };
    let mut batches = Vec::new();
    let reader = Dripping { rest: feed, most };
    let end = parse(Format::PlanList, reader, &context, &mut |batch| {
        batches.push(batch);
        ControlFlow::Continue(())
    });
    let is_no_text = matches!(end, Err(ParseError::WrongEncoding { .. }));
    let end = end.map_err(|error| {
        let ours = matches!(error, ParseError::Read(_) | ParseError::Stopped);
        assert!(!ours, "nothing failed but the feed: {error}");
        chain(&error)
    });
    Told {
        batches,
        end,
        is_no_text,
    }
}

fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told += &format!(": {error}");
        cause = error.source();
    }
    told
}

/// Gives so many bytes at a time.
struct Dripping<'a> {
    rest: &'a [u8],
    most: usize,
}

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let most = self.most.min(buffer.len());
        let read = self.rest.read(&mut buffer[..most])?;
        Ok(read)
    }
}

impl BufRead for Dripping<'_> {
    fn fill_buf(&mut self) -> IoResult<&[u8]> {
        Ok(&self.rest[..self.rest.len().min(self.most)])
    }

    fn consume(&mut self, amount: usize) {
        self.rest = &self.rest[amount..];
    }
}

fn is_bounded(batch: &Batch) {
    let items = batch.events.len() + batch.set_aside.len();
    assert!((1..=LIMITS.batch_events).contains(&items), "{items} items");
    let zones = |events: &[Event]| events.iter().map(|event| event.zones.len()).sum::<usize>();
    if let [before @ .., _] = &batch.events[..] {
        assert!(zones(before) < LIMITS.batch_zones, "{batch:?}");
    }
}

fn makes_sense(event: &Event) {
    is_text(&event.base_id, LIMITS.max_id_bytes);
    is_text(&event.event_id, LIMITS.max_id_bytes);
    is_text(&event.title, LIMITS.max_title_bytes);
    if let Some(organizer) = &event.organizer_company_id {
        is_text(organizer, LIMITS.max_id_bytes);
    }
    for at in [
        Some(event.starts_at),
        event.ends_at,
        event.sell_from,
        event.sell_to,
    ] {
        at.into_iter().for_each(|at| is_storable(at.naive_utc()));
    }
    for local in [Some(event.starts_local), event.ends_local] {
        local.into_iter().for_each(is_storable);
    }
    let near = |local: NaiveDateTime, utc: NaiveDateTime| (local - utc).abs() <= TimeDelta::days(1);
    assert!(
        near(event.starts_local, event.starts_at.naive_utc()),
        "{event:?}"
    );
    match (event.ends_at, event.ends_local) {
        (None, None) => {}
        (Some(end), Some(local)) => {
            assert!(
                end >= event.starts_at && near(local, end.naive_utc()),
                "{event:?}"
            );
        }
        _ => panic!("half an end: {event:?}"),
    }
    assert!(event.zones.len() <= LIMITS.max_zones_per_event, "{event:?}");
    event.zones.iter().for_each(is_sound);
    let prices = || event.zones.iter().filter_map(|zone| zone.price);
    assert_eq!(event.min_price, prices().min(), "{event:?}");
    assert_eq!(event.max_price, prices().max(), "{event:?}");
}

fn is_sound(zone: &Zone) {
    if let Some(id) = &zone.id {
        is_text(id, LIMITS.max_id_bytes);
    }
    if let Some(name) = &zone.name {
        is_text(name, LIMITS.max_title_bytes);
    }
    for number in [zone.capacity, zone.price].into_iter().flatten() {
        assert!(number >= 0, "{zone:?}");
    }
}

/// PostgreSQL takes no NUL.
fn is_text(text: &str, most: usize) {
    let is_text = !text.is_empty() && text.len() <= most && text.trim() == text;
    assert!(is_text && !text.contains('\0'), "{text:?}");
}

/// Both databases keep years of four digits, to the microsecond.
fn is_storable(time: NaiveDateTime) {
    assert!((1..=9999).contains(&time.year()), "{time}");
    assert!(
        time.nanosecond() < 1_000_000_000 && time.nanosecond().is_multiple_of(1_000),
        "{time}"
    );
}

fn is_told(item: &SetAside) {
    assert!(item.position > 0, "{item:?}");
    assert!(
        item.snippet.len() <= LIMITS.max_snippet_bytes + '…'.len_utf8(),
        "{item:?}"
    );
    assert!(!item.snippet.contains('\0'), "{item:?}");
    assert!(item.path.len() <= 40 * LIMITS.max_depth, "{item:?}");
    if let Some((base_id, event_id)) = &item.identity {
        is_text(base_id, LIMITS.max_id_bytes);
        is_text(event_id, LIMITS.max_id_bytes);
    }
}

/// What is counted is what was delivered.
fn is_exact(summary: &Summary, told: &Told) {
    assert_eq!(summary.events, told.events().count() as u64);
    assert_eq!(summary.set_aside, told.set_aside().count() as u64);
    let mut reasons = BTreeMap::new();
    for item in told.set_aside() {
        *reasons.entry(item.reason).or_insert(0) += 1;
    }
    assert_eq!(summary.set_aside_by_reason, reasons);
    assert!(summary.warnings.values().all(|count| *count > 0));
    let positions: Vec<_> = told.set_aside().map(|item| item.position).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    for (ordinal, item) in told.set_aside().enumerate() {
        let in_full = (ordinal as u64) < LIMITS.max_set_aside;
        assert_eq!(item.path.contains("List"), in_full, "{item:?}");
        assert_eq!(item.snippet.starts_with('<'), in_full, "{item:?}");
    }
    zones_leave_their_events(told);
}

/// A zone that is set aside says nothing about what is present: its event does, taken or not.
fn zones_leave_their_events(told: &Told) {
    let events = told.events().map(|event| (&event.base_id, &event.event_id));
    let refused = told.set_aside().filter(|item| item.item == Item::Event);
    let refused = refused.filter_map(|item| item.identity.as_ref());
    let present: BTreeSet<_> = events
        .chain(refused.map(|(base, event)| (base, event)))
        .collect();
    for item in told.set_aside().filter(|item| item.item == Item::Zone) {
        let (base, event) = item.identity.as_ref().expect("its event was read");
        assert!(present.contains(&(base, event)), "{item:?}");
    }
}

fn is_the_same(told: &Told, again: &Told, most: usize) {
    if told.is_no_text || again.is_no_text {
        assert!(
            told.end.is_err() && again.end.is_err(),
            "{most} bytes at a time"
        );
    } else {
        assert_eq!(told, again, "{most} bytes at a time");
    }
}

fn stops_when_told(feed: &[u8], timezone: &TimeZone, told: &Told) {
    let context = Context {
        timezone,
        limits: &LIMITS,
    };
    let mut taken = 0;
    let end = parse(Format::PlanList, feed, &context, &mut |_| {
        taken += 1;
        ControlFlow::Break(())
    });
    assert_eq!(taken, told.batches.len().min(1));
    assert_eq!(matches!(end, Err(ParseError::Stopped)), taken == 1);
}

//! What every format yields: events, items set aside, and what was noticed on the way.

use std::collections::BTreeMap;
use std::fmt;

pub use entity::event::{Content as Event, SellMode, Zone};

/// An item of the feed that was not taken.
///
/// Past [`Limits::max_set_aside`](super::Limits::max_set_aside) items, `path` and `snippet` are empty,
/// but every item is still delivered, because its identity says that the event is present in the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Ordinal of the event among all events of the feed, from 1; for a zone, that of its event.
    pub position: u64,
    /// Where it stands, as an `XPath` from the root: `planList/output/base_plan[3]/plan[1]`.
    pub path: String,
    /// Whether the event as a whole or one zone of it is missing.
    pub item: Item,
    /// Why.
    pub reason: Reason,
    /// Base id and event id, where both can be read: that event is present in the feed. For a zone,
    /// those of its event, which is delivered by itself.
    pub identity: Option<(String, String)>,
    /// The tag at fault as it stands in the feed, cut to a bounded length.
    pub snippet: String,
}

/// What was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A whole event.
    Event,
    /// One zone; its event was delivered without it.
    Zone,
}

/// Why an item was set aside. The slug is stored and counted by, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the Display sentences say it")]
pub enum Reason {
    MissingBaseId,
    MissingEventId,
    MissingTitle,
    MissingStart,
    BadStart,
    NoSuchDay,
    TooLong,
    TooManyZones,
    Misplaced,
    BadPrice,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::MissingBaseId,
        Self::MissingEventId,
        Self::MissingTitle,
        Self::MissingStart,
        Self::BadStart,
        Self::NoSuchDay,
        Self::TooLong,
        Self::TooManyZones,
        Self::Misplaced,
        Self::BadPrice,
    ];

    /// The stable short name.
    pub fn slug(self) -> &'static str {
        match self {
            Self::MissingBaseId => "missing_base_id",
            Self::MissingEventId => "missing_event_id",
            Self::MissingTitle => "missing_title",
            Self::MissingStart => "missing_start",
            Self::BadStart => "bad_start",
            Self::NoSuchDay => "no_such_day",
            Self::TooLong => "too_long",
            Self::TooManyZones => "too_many_zones",
            Self::Misplaced => "misplaced",
            Self::BadPrice => "bad_price",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingBaseId => "the base has no id",
            Self::MissingEventId => "the event has no id",
            Self::MissingTitle => "the base has no title",
            Self::MissingStart => "the event has no start",
            Self::BadStart => "the event's start is not a time such as 2021-06-30T21:00:00",
            Self::NoSuchDay => "the event starts or ends on a day that does not exist",
            Self::TooLong => "an id or the title is longer than the limit",
            Self::TooManyZones => "the event has more zones than the limit",
            Self::Misplaced => "the event does not stand in a base in the feed's output",
            Self::BadPrice => "the zone's price is not an amount with at most four decimals",
        })
    }
}

/// What was wrong with a value that did not cost the event: the field is null (or as the sentence says).
/// The slug is counted by, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the Display sentences say it")]
pub enum WarningKind {
    MissingOrganizer,
    BadEnd,
    EndBeforeStart,
    BadSellFrom,
    BadSellTo,
    BadSoldOut,
    BadSellMode,
    BadCapacity,
    BadNumbered,
    MissingZoneId,
    TooLong,
    MisplacedZone,
}

impl WarningKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::MissingOrganizer,
        Self::BadEnd,
        Self::EndBeforeStart,
        Self::BadSellFrom,
        Self::BadSellTo,
        Self::BadSoldOut,
        Self::BadSellMode,
        Self::BadCapacity,
        Self::BadNumbered,
        Self::MissingZoneId,
        Self::TooLong,
        Self::MisplacedZone,
    ];

    /// The stable short name.
    pub fn slug(self) -> &'static str {
        match self {
            Self::MissingOrganizer => "missing_organizer",
            Self::BadEnd => "bad_end",
            Self::EndBeforeStart => "end_before_start",
            Self::BadSellFrom => "bad_sell_from",
            Self::BadSellTo => "bad_sell_to",
            Self::BadSoldOut => "bad_sold_out",
            Self::BadSellMode => "bad_sell_mode",
            Self::BadCapacity => "bad_capacity",
            Self::BadNumbered => "bad_numbered",
            Self::MissingZoneId => "missing_zone_id",
            Self::TooLong => "too_long",
            Self::MisplacedZone => "misplaced_zone",
        }
    }
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingOrganizer => "the base names no organizer",
            Self::BadEnd => "the event's end is not a time",
            Self::EndBeforeStart => "the event ends before it starts; its end was dropped",
            Self::BadSellFrom => "the start of the sale is not a time",
            Self::BadSellTo => "the end of the sale is not a time",
            Self::BadSoldOut => "sold out is neither true nor false; taken as false",
            Self::BadSellMode => "the sell mode is neither online nor offline; taken as offline",
            Self::BadCapacity => "a zone's capacity is not a whole number from 0",
            Self::BadNumbered => "whether a zone is numbered is neither true nor false",
            Self::MissingZoneId => "a zone has no id",
            Self::TooLong => "an organizer, a zone's id or a zone's name is longer than the limit",
            Self::MisplacedZone => "a zone stands outside an event and was ignored",
        })
    }
}

/// How often each thing happened; what never happened has no entry.
pub type Counts<K> = BTreeMap<K, u64>;

/// The spelling that a `plan-list` feed used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `planList`, `base_plan`, `plan`.
    PlanList,
    /// `eventList`, `base_event`, `event` with a start and an end.
    EventList,
    /// The oldest: as [`Self::EventList`], but at least one event has a single `event_date`.
    EventDate,
}

/// What a whole feed came to. Events that were delivered and items that were set aside are exact,
/// however many were kept in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Events delivered.
    pub events: u64,
    /// Items set aside, events and zones together.
    pub set_aside: u64,
    /// The same by reason.
    pub set_aside_by_reason: Counts<Reason>,
    /// Values that were dropped or replaced without costing the event.
    pub warnings: Counts<WarningKind>,
    /// The spelling that the feed used.
    pub spelling: Spelling,
}

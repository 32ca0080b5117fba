//! What exists in one round at one provider, worked out from (seed, provider, round) alone.
//!
//! A provider has a fixed number of slots, grouped into bases. Each slot holds one event at a time; once in a while
//! the next generation takes the slot: the old event leaves for good and a new one appears. In between, an event
//! changes its details, is absent for a few rounds and returns, or is faulty for a few rounds. An event that can be
//! faulty is never absent, so that "absent" and "present but set aside" never follow each other for one identity.

use chrono::NaiveDateTime;

use crate::draw::{Draw, What};
use crate::{plan, words};

/// Rounds from one change of a base's title to the next.
const TITLE_PERIOD: u64 = 800;
/// Rounds from one turn of a base's sell mode to the next; each lasts up to [`SELL_MODE_TURN`].
const SELL_MODE_PERIOD: u64 = 800;
const SELL_MODE_TURN: u64 = 60;
/// Once in so many rounds what can be faulty is so, for up to [`FLAW_LENGTH`].
pub(crate) const FLAW_PERIOD: u64 = 60;
pub(crate) const FLAW_LENGTH: u64 = 19;
/// One base in so many can be faulty.
const UNSOUND_BASES: u64 = 160;
/// Plans in one base, at most.
pub(crate) const MOST_PLANS: u64 = 4;

/// One provider in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) draw: Draw,
    pub(crate) round: u64,
    pub(crate) slots: u64,
    pub(crate) zones: u64,
    pub(crate) bad_items: bool,
}

/// A thing that is staged, as the feed has it.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) sell_mode: Option<&'static str>,
    pub(crate) organizer: Option<String>,
    pub(crate) flaw: Option<BaseFlaw>,
    pub(crate) plans: Vec<Plan>,
    /// Decides what is odd about the way it is written, not what it means.
    pub(crate) quirk: Draw,
}

/// One dated occurrence, as the feed has it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) id: String,
    pub(crate) starts: NaiveDateTime,
    pub(crate) ends: NaiveDateTime,
    pub(crate) sell_from: NaiveDateTime,
    pub(crate) sell_to: NaiveDateTime,
    pub(crate) sold_out: bool,
    pub(crate) zones: Vec<Zone>,
    pub(crate) flaw: Option<PlanFlaw>,
    pub(crate) quirk: Draw,
}

/// Seats of one kind; `price` in ten-thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) id: String,
    pub(crate) name: &'static str,
    pub(crate) capacity: u64,
    pub(crate) price: Option<i64>,
    pub(crate) numbered: bool,
}

/// What is wrong with a base; all of its events are set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BaseFlaw {
    NoTitle,
    NoId,
}

/// What is wrong with a plan. Only the first three cost the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanFlaw {
    ImpossibleDay,
    NoStart,
    NoId,
    /// The first zone's price is no number, or finer than a ten-thousandth.
    BadPrice,
    FinePrice,
    BadCapacity,
    BadSellFrom,
    BadSellTo,
    EndBeforeStart,
    /// The same identity twice; the second one is right.
    Twice,
}

impl World {
    /// All bases in feed order.
    pub(crate) fn bases(self) -> Bases {
        Bases {
            world: self,
            next: 0,
            slots_left: self.slots,
        }
    }

    fn base(self, number: u64, slots: u64) -> Base {
        let draw = self.draw.of(What::Base).at(number);
        let unsound = self.bad_items && draw.of(What::Unsound).one_in(UNSOUND_BASES);
        Base {
            id: base_id(draw, number),
            title: self.title(draw),
            sell_mode: self.sell_mode(draw),
            organizer: organizer(draw),
            flaw: self.base_flaw(draw, unsound),
            plans: (0..slots)
                .filter_map(|slot| plan::plan(self, draw, number, slot, !unsound))
                .collect(),
            quirk: draw.of(What::Quirk),
        }
    }

    fn title(self, base: Draw) -> String {
        let suffix = base.of(What::Suffix);
        let suffix = suffix
            .at(suffix.version(self.round, TITLE_PERIOD))
            .pick(&words::SUFFIXES);
        let act = base.of(What::Act).pick(&words::ACTS);
        let place = base.of(What::Place).pick(&words::PLACES);
        format!("{act}, {place}{suffix}")
    }

    fn sell_mode(self, base: Draw) -> Option<&'static str> {
        let usual = match base.of(What::SellMode).below(20) {
            0 => return None,
            1..=3 => "offline",
            _ => "online",
        };
        let turned =
            base.of(What::SellModeTurn)
                .in_window(self.round, SELL_MODE_PERIOD, SELL_MODE_TURN);
        Some(match (usual, turned) {
            ("online", true) => "offline",
            ("offline", true) => "online",
            (usual, _) => usual,
        })
    }

    fn base_flaw(self, base: Draw, unsound: bool) -> Option<BaseFlaw> {
        let now = unsound
            && base
                .of(What::FlawTime)
                .in_window(self.round, FLAW_PERIOD, FLAW_LENGTH);
        now.then(|| {
            base.of(What::FlawKind)
                .pick(&[BaseFlaw::NoTitle, BaseFlaw::NoId])
        })
    }
}

/// Unique within the provider; some have leading zeros, which are part of the id.
fn base_id(draw: Draw, number: u64) -> String {
    let id = number + 100;
    if draw.of(What::Padded).one_in(20) {
        format!("{id:09}")
    } else {
        id.to_string()
    }
}

fn organizer(draw: Draw) -> Option<String> {
    let draw = draw.of(What::Organizer);
    (!draw.at(0).one_in(5)).then(|| (1 + draw.at(1).below(40)).to_string())
}

/// The bases of a world, made one at a time.
#[derive(Clone, Debug)]
pub(crate) struct Bases {
    world: World,
    next: u64,
    slots_left: u64,
}

impl Iterator for Bases {
    type Item = Base;

    fn next(&mut self) -> Option<Base> {
        if self.slots_left == 0 {
            return None;
        }
        let number = self.next;
        let count = 1 + self
            .world
            .draw
            .of(What::PlanCount)
            .at(number)
            .below(MOST_PLANS);
        let count = count.min(self.slots_left);
        self.next += 1;
        self.slots_left -= count;
        Some(self.world.base(number, count))
    }
}

//! One slot of a base: which event holds it in this round, and what that event looks like.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

use crate::draw::{Draw, What};
use crate::words;
use crate::world::{FLAW_LENGTH, FLAW_PERIOD, MOST_PLANS, Plan, PlanFlaw, World, Zone};

/// Rounds until the next event takes a slot.
const GENERATION_PERIOD: u64 = 400;
/// Rounds from one change of prices, capacities, end or sold-out mark to the next.
const DETAILS_PERIOD: u64 = 150;
/// Once in so many rounds an event is absent, for up to [`ABSENCE_LENGTH`].
const ABSENCE_PERIOD: u64 = 400;
const ABSENCE_LENGTH: u64 = 8;
/// One plan in so many can be faulty.
const UNSOUND_PLANS: u64 = 40;
/// Days from the start of 2026 to the end of 2028.
const DAYS: u64 = 1096;

const FLAWS: [PlanFlaw; 12] = [
    PlanFlaw::ImpossibleDay,
    PlanFlaw::ImpossibleDay,
    PlanFlaw::NoStart,
    PlanFlaw::NoId,
    PlanFlaw::NoId,
    PlanFlaw::BadPrice,
    PlanFlaw::FinePrice,
    PlanFlaw::BadCapacity,
    PlanFlaw::BadSellFrom,
    PlanFlaw::BadSellTo,
    PlanFlaw::EndBeforeStart,
    PlanFlaw::Twice,
];

/// Days on which clocks change somewhere, at an hour that is skipped or comes twice there.
const CLOCK_CHANGES: [(i32, u32, u32); 4] =
    [(2027, 3, 28), (2027, 3, 14), (2027, 10, 31), (2027, 11, 7)];

/// The event in `slot` of base `number`; `None` if it is absent in this round. `steady` is false where the base
/// itself can be faulty: then its plans neither leave for a while nor have faults of their own.
pub(crate) fn plan(world: World, base: Draw, number: u64, slot: u64, steady: bool) -> Option<Plan> {
    let draw = base.of(What::Plan).at(slot);
    let unsound = steady && world.bad_items && draw.of(What::Unsound).one_in(UNSOUND_PLANS);
    let leaves = steady && !unsound;
    if leaves
        && draw
            .of(What::Absence)
            .in_window(world.round, ABSENCE_PERIOD, ABSENCE_LENGTH)
    {
        return None;
    }
    let generation = draw
        .of(What::Generation)
        .version(world.round, GENERATION_PERIOD);
    let event = draw.of(What::Generation).at(generation);
    let details = event.of(What::Details);
    let details = details.at(details.version(world.round, DETAILS_PERIOD));
    let starts = starts(event);
    let sale_opens = TimeDelta::days(count(30 + event.of(What::SaleOpens).below(400)));
    let sale_closes = TimeDelta::minutes(count(10 * event.of(What::SaleCloses).below(145)));
    let faulty = unsound
        && draw
            .of(What::FlawTime)
            .in_window(world.round, FLAW_PERIOD, FLAW_LENGTH);
    Some(Plan {
        id: plan_id(base, number, slot, generation),
        starts,
        ends: starts + TimeDelta::minutes(count(120 + 10 * details.of(What::Duration).below(13))),
        sell_from: starts - sale_opens,
        sell_to: starts - sale_closes,
        sold_out: details.of(What::SoldOut).one_in(10),
        zones: zones(event, details, world.zones),
        flaw: faulty.then(|| draw.of(What::FlawKind).pick(&FLAWS)),
        quirk: event.of(What::Quirk),
    })
}

/// Unique within the base over all rounds. One base in four counts from the same number as many others do.
fn plan_id(base: Draw, number: u64, slot: u64, generation: u64) -> String {
    let first = if base.of(What::SharedIds).one_in(4) {
        1642
    } else {
        10_000 + number * 10
    };
    (first + generation * MOST_PLANS + slot).to_string()
}

fn starts(event: Draw) -> NaiveDateTime {
    let draw = event.of(What::Start);
    if event.of(What::ClockChange).one_in(400) {
        let (year, month, day) = draw.pick(&CLOCK_CHANGES);
        return local(NaiveDate::from_ymd_opt(year, month, day), 2 * 60 + 30);
    }
    let day = NaiveDate::from_yo_opt(2026, 1)
        .map(|first| first + TimeDelta::days(count(draw.at(0).below(DAYS))));
    local(day, 10 * 60 + 15 * draw.at(1).below(56))
}

fn local(day: Option<NaiveDate>, minute_of_day: u64) -> NaiveDateTime {
    day.unwrap_or_default().and_time(NaiveTime::default())
        + TimeDelta::minutes(count(minute_of_day))
}

fn zones(event: Draw, details: Draw, most: u64) -> Vec<Zone> {
    let zones = 1 + event.of(What::ZoneCount).below(most);
    let mut made: Vec<Zone> = Vec::new();
    for number in 0..zones.min(most) {
        let fixed = event.of(What::Zone).at(number);
        let varying = details.of(What::Zone).at(number);
        let zone = Zone {
            id: zone_id(fixed, number),
            name: fixed.of(What::ZoneName).pick(&words::ZONES),
            capacity: capacity(varying.of(What::Capacity)),
            price: price(varying.of(What::Price)),
            numbered: fixed.of(What::Numbered).one_in(2),
        };
        let repeated = made.last().filter(|_| fixed.of(What::ZoneRepeat).one_in(6));
        let zone = match repeated {
            Some(last) => Zone {
                id: last.id.clone(),
                name: last.name,
                numbered: !last.numbered,
                ..zone
            },
            None => zone,
        };
        made.push(zone);
    }
    made
}

fn zone_id(draw: Draw, number: u64) -> String {
    let id = 30 + number * 100 + draw.at(0).below(100);
    if draw.at(1).one_in(15) {
        format!("Z{id}")
    } else {
        id.to_string()
    }
}

fn capacity(draw: Draw) -> u64 {
    if draw.at(0).one_in(12) {
        0
    } else {
        1 + draw.at(1).below(500)
    }
}

/// In ten-thousandths: mostly whole or halves, some to the cent, few finer, some free, very few without.
fn price(draw: Draw) -> Option<i64> {
    let amount = draw.at(0);
    let price = match draw.at(1).below(100) {
        0 => return None,
        1..=3 => 0,
        4..=8 => 1 + amount.below(2_000_000),
        9..=30 => 100 * (1 + amount.below(20_000)),
        _ => 5_000 * (1 + amount.below(400)),
    };
    Some(count(price))
}

/// Small numbers only: hours, days, prices.
fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

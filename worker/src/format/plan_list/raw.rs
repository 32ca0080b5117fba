//! What the format's elements look like: attributes as found, by spelling, nothing judged.

use std::borrow::Cow;

use super::super::record::Spelling;

/// The roots that are known, as an error tells them.
pub(super) const ROOTS: &str = "`planList` or `eventList`";

/// The element that wraps the bases.
pub(super) const OUTPUT: &str = "output";
/// The element of a zone.
pub(super) const ZONE: &str = "zone";

/// The words in which the spellings differ.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) spelling: Spelling,
    pub(super) root: &'static str,
    pub(super) base: &'static str,
    pub(super) event: &'static str,
    base_id: &'static str,
    event_id: &'static str,
    start: &'static str,
    end: &'static str,
    /// The oldest spelling's single date and its word for a zone's price. It shares its elements with
    /// the one after it, so that these are alternatives event by event and zone by zone.
    only_date: Option<&'static str>,
    old_price: Option<&'static str>,
}

const PLAN_LIST: Names = Names {
    spelling: Spelling::PlanList,
    root: "planList",
    base: "base_plan",
    event: "plan",
    base_id: "base_plan_id",
    event_id: "plan_id",
    start: "plan_start_date",
    end: "plan_end_date",
    only_date: None,
    old_price: None,
};

const EVENT_LIST: Names = Names {
    spelling: Spelling::EventList,
    root: "eventList",
    base: "base_event",
    event: "event",
    base_id: "base_event_id",
    event_id: "event_id",
    start: "event_start_date",
    end: "event_end_date",
    only_date: Some("event_date"),
    old_price: Some("max_price"),
};

impl Names {
    /// The words of a document whose root is called `root`.
    pub(super) fn of_root(root: &str) -> Option<&'static Self> {
        const { &[PLAN_LIST, EVENT_LIST] }
            .iter()
            .find(|names| names.root == root)
    }
}

type Value<'a> = Option<Cow<'a, str>>;

/// A base's attributes.
#[derive(Debug, Default)]
pub(super) struct RawBase<'a> {
    pub(super) id: Value<'a>,
    pub(super) title: Value<'a>,
    pub(super) sell_mode: Value<'a>,
    pub(super) organizer_company_id: Value<'a>,
}

impl<'a> RawBase<'a> {
    pub(super) fn set(&mut self, names: &Names, name: &str, value: Cow<'a, str>) {
        let field = match name {
            "title" => &mut self.title,
            "sell_mode" => &mut self.sell_mode,
            "organizer_company_id" => &mut self.organizer_company_id,
            name if name == names.base_id => &mut self.id,
            _ => return,
        };
        *field = Some(value);
    }
}

/// An event's attributes.
#[derive(Debug, Default)]
pub(super) struct RawEvent<'a> {
    pub(super) id: Value<'a>,
    pub(super) start: Value<'a>,
    pub(super) end: Value<'a>,
    pub(super) only_date: Value<'a>,
    pub(super) sell_from: Value<'a>,
    pub(super) sell_to: Value<'a>,
    pub(super) sold_out: Value<'a>,
}

impl<'a> RawEvent<'a> {
    #[inline]
    pub(super) fn set(&mut self, names: &Names, name: &str, value: Cow<'a, str>) {
        let field = match name {
            "sell_from" => &mut self.sell_from,
            "sell_to" => &mut self.sell_to,
            "sold_out" => &mut self.sold_out,
            name if name == names.event_id => &mut self.id,
            name if name == names.start => &mut self.start,
            name if name == names.end => &mut self.end,
            name if Some(name) == names.only_date => &mut self.only_date,
            _ => return,
        };
        *field = Some(value);
    }
}

/// A zone's attributes.
#[derive(Debug, Default)]
pub(super) struct RawZone<'a> {
    pub(super) id: Value<'a>,
    pub(super) name: Value<'a>,
    pub(super) capacity: Value<'a>,
    pub(super) price: Value<'a>,
    pub(super) old_price: Value<'a>,
    pub(super) numbered: Value<'a>,
}

impl<'a> RawZone<'a> {
    #[inline]
    pub(super) fn set(&mut self, names: &Names, name: &str, value: Cow<'a, str>) {
        let field = match name {
            "zone_id" => &mut self.id,
            "name" => &mut self.name,
            "capacity" => &mut self.capacity,
            "price" => &mut self.price,
            "numbered" => &mut self.numbered,
            name if Some(name) == names.old_price => &mut self.old_price,
            _ => return,
        };
        *field = Some(value);
    }
}

//! The `plan-list` format as providers write it: one structure, three spellings, everything in attributes.
//!
//! `planList/output/base_plan/plan/zone` is today's. `eventList/output/base_event/event/zone` is older, and the
//! oldest has one `event_date` in place of start and end, and `max_price` on its zones.

use chrono::{Datelike, NaiveDateTime, TimeDelta, Timelike};

use crate::world::{Base, BaseFlaw, Plan, PlanFlaw, Zone};

/// What one spelling calls things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelling {
    pub(crate) root: &'static str,
    base: &'static str,
    base_id: &'static str,
    plan: &'static str,
    plan_id: &'static str,
    start: &'static str,
    /// Without it, events have no end.
    pub(crate) end: Option<&'static str>,
    price: &'static str,
}

pub(crate) const PLAN_LIST: Spelling = Spelling {
    root: "planList",
    base: "base_plan",
    base_id: "base_plan_id",
    plan: "plan",
    plan_id: "plan_id",
    start: "plan_start_date",
    end: Some("plan_end_date"),
    price: "price",
};

pub(crate) const EVENT_LIST: Spelling = Spelling {
    root: "eventList",
    base: "base_event",
    base_id: "base_event_id",
    plan: "event",
    plan_id: "event_id",
    start: "event_start_date",
    end: Some("event_end_date"),
    price: "price",
};

pub(crate) const EVENT_DATE: Spelling = Spelling {
    start: "event_date",
    end: None,
    price: "max_price",
    ..EVENT_LIST
};

impl Spelling {
    /// Everything up to the first base, with `root` as the name of the root.
    pub(crate) fn open(&self, out: &mut String, root: &str) {
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<");
        out.push_str(root);
        out.push_str(" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" version=\"1.0\"");
        out.push_str(" xsi:noNamespaceSchemaLocation=\"");
        out.push_str(self.root);
        out.push_str(".xsd\">\n   <output>\n");
    }

    /// A base with its plans.
    pub(crate) fn base(&self, out: &mut String, base: &Base) {
        if base.quirk.at(0).one_in(40) {
            out.push_str("      <!-- moved & kept: <plan plan_id=\"0\" plan_start_date=\"2026-01-01T00:00:00\"/> -->\n");
        }
        out.push_str("      <");
        out.push_str(self.base);
        if base.flaw != Some(BaseFlaw::NoId) {
            attribute(out, self.base_id, &base.id);
        }
        if let Some(mode) = base.sell_mode {
            attribute(out, "sell_mode", mode);
        }
        if let Some(organizer) = &base.organizer {
            attribute(out, "organizer_company_id", organizer);
        }
        if base.quirk.at(1).one_in(10) {
            attribute(out, "genre", "pop");
        }
        if base.flaw != Some(BaseFlaw::NoTitle) {
            out.push_str(" title=\"");
            escape(out, &base.title, base.quirk.at(2).one_in(4));
            out.push('"');
        }
        out.push_str(">\n");
        for plan in &base.plans {
            if plan.flaw == Some(PlanFlaw::Twice) {
                self.plan(out, &stale(plan));
            }
            self.plan(out, plan);
        }
        close(out, "      ", self.base);
    }

    fn plan(&self, out: &mut String, plan: &Plan) {
        let flaw = plan.flaw;
        let impossible = flaw == Some(PlanFlaw::ImpossibleDay);
        let id_last = plan.quirk.at(0).one_in(3);
        let id = Some(plan.id.as_str()).filter(|_| flaw != Some(PlanFlaw::NoId));
        out.push_str("         <");
        out.push_str(self.plan);
        if let Some(id) = id.filter(|_| !id_last) {
            attribute(out, self.plan_id, id);
        }
        if flaw != Some(PlanFlaw::NoStart) {
            date(out, self.start, plan.starts, impossible);
        }
        if let Some(end) = self.end {
            let before = plan.starts - TimeDelta::hours(1);
            date(
                out,
                end,
                if flaw == Some(PlanFlaw::EndBeforeStart) {
                    before
                } else {
                    plan.ends
                },
                impossible,
            );
        }
        if let Some(id) = id.filter(|_| id_last) {
            attribute(out, self.plan_id, id);
        }
        if self.end.is_none() {
            out.push_str("\n           ");
        }
        match flaw {
            Some(PlanFlaw::BadSellFrom) => attribute(out, "sell_from", "soon"),
            _ => date(out, "sell_from", plan.sell_from, false),
        }
        date(
            out,
            "sell_to",
            plan.sell_to,
            flaw == Some(PlanFlaw::BadSellTo),
        );
        attribute(out, "sold_out", truth(plan.sold_out));
        if plan.quirk.at(1).one_in(20) {
            attribute(out, "popularity", "7");
        }
        out.push_str(">\n");
        for (position, zone) in plan.zones.iter().enumerate() {
            self.zone(out, zone, flaw.filter(|_| position == 0));
        }
        if plan.quirk.at(2).one_in(50) {
            out.push_str("            <extras lang=\"es\"><item code=\"7\">Bring a &amp; friend</item></extras>\n");
        }
        close(out, "         ", self.plan);
    }

    fn zone(&self, out: &mut String, zone: &Zone, flaw: Option<PlanFlaw>) {
        out.push_str("            <zone");
        attribute(out, "zone_id", &zone.id);
        match flaw {
            Some(PlanFlaw::BadCapacity) => attribute(out, "capacity", "invalid_capacity"),
            _ => attribute(out, "capacity", &zone.capacity.to_string()),
        }
        match (flaw, zone.price) {
            (Some(PlanFlaw::BadPrice), _) => attribute(out, self.price, "not_a_price"),
            (Some(PlanFlaw::FinePrice), _) => attribute(out, self.price, "12.34567"),
            (_, Some(price)) => attribute(out, self.price, &decimal(price)),
            (_, None) => {}
        }
        out.push_str(" name=\"");
        escape(out, zone.name, false);
        out.push('"');
        attribute(out, "numbered", truth(zone.numbered));
        out.push_str(" />\n");
    }

    /// Everything after the last base; `output` names the end tag that should close `<output>`.
    pub(crate) fn close(&self, out: &mut String, root: &str, output: &str) {
        close(out, "   ", output);
        close(out, "", root);
    }
}

/// What the feed says first of an event that it says twice.
fn stale(plan: &Plan) -> Plan {
    let mut stale = plan.clone();
    stale.sold_out = !plan.sold_out;
    stale.starts -= TimeDelta::days(1);
    stale
}

/// `value` must need no escaping.
fn attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    out.push_str(value);
    out.push('"');
}

/// A naive local time; `impossible` puts it on a day that does not exist, in the same year.
fn date(out: &mut String, name: &str, at: NaiveDateTime, impossible: bool) {
    let (month, day) = match (impossible, at.month() % 2) {
        (false, _) => (at.month(), at.day()),
        (true, 0) => (2, 30),
        (true, _) => (9, 31),
    };
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    out.push_str(&at.year().to_string());
    for (mark, number) in [
        ('-', month),
        ('-', day),
        ('T', at.hour()),
        (':', at.minute()),
        (':', at.second()),
    ] {
        out.push(mark);
        out.push(digit(number / 10));
        out.push(digit(number % 10));
    }
    out.push('"');
}

fn digit(number: u32) -> char {
    char::from_digit(number % 10, 10).unwrap_or('0')
}

/// Ten-thousandths as providers write them: `20.00`, sometimes `35`, four decimals where it takes them.
fn decimal(price: i64) -> String {
    let (whole, rest) = (price / 10_000, price % 10_000);
    match rest {
        0 if whole % 7 == 0 => whole.to_string(),
        rest if rest % 100 == 0 => format!("{whole}.{:02}", rest / 100),
        rest => format!("{whole}.{rest:04}"),
    }
}

fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// `numeric` writes what is not ASCII as character references.
fn escape(out: &mut String, text: &str, numeric: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if numeric && !c.is_ascii() => out.push_str(&format!("&#x{:X};", u32::from(c))),
            c => out.push(c),
        }
    }
}

fn close(out: &mut String, indent: &str, name: &str) {
    out.push_str(indent);
    out.push_str("</");
    out.push_str(name);
    out.push_str(">\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_keep_every_decimal() {
        for (price, written) in [
            (200_000, "20.00"),
            (350_000, "35"),
            (0, "0"),
            (123_456, "12.3456"),
            (1, "0.0001"),
            (5_500, "0.55"),
        ] {
            assert_eq!(decimal(price), written);
        }
    }

    #[test]
    fn an_impossible_day_stays_in_its_year() {
        let at = chrono::NaiveDate::from_ymd_opt(2027, 3, 5)
            .unwrap()
            .and_hms_opt(20, 5, 0)
            .unwrap();
        let (mut right, mut wrong) = (String::new(), String::new());
        date(&mut right, "d", at, false);
        date(&mut wrong, "d", at, true);
        assert_eq!(right, " d=\"2027-03-05T20:05:00\"");
        assert_eq!(wrong, " d=\"2027-09-31T20:05:00\"");
    }

    #[test]
    fn text_is_escaped_for_attributes() {
        let (mut plain, mut numeric) = (String::new(), String::new());
        escape(&mut plain, "<é> & \"'", false);
        escape(&mut numeric, "é🎵a", true);
        assert_eq!(plain, "&lt;é&gt; &amp; &quot;&apos;");
        assert_eq!(numeric, "&#xE9;&#x1F3B5;a");
    }
}

//! A second opinion: reads a feed from its bytes, by the format's rules and without the simulator's help.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use simulator::{SetAsideCount, TruthEvent, TruthZone};

type Attributes = BTreeMap<String, String>;

pub(crate) struct Read {
    pub(crate) root: String,
    pub(crate) events: Vec<TruthEvent>,
    pub(crate) set_aside: SetAsideCount,
    /// Identities said twice.
    pub(crate) repeated: usize,
}

enum Tag {
    Open(String, Attributes, bool),
    Close(String),
}

/// Fails where the document is not well-formed.
pub(crate) fn read(document: &str) -> Result<Read, String> {
    let mut read = Read {
        root: String::new(),
        events: Vec::new(),
        set_aside: SetAsideCount::default(),
        repeated: 0,
    };
    let mut path: Vec<String> = Vec::new();
    let mut base = Attributes::new();
    let mut plan: Option<(Attributes, Vec<Attributes>)> = None;
    for tag in tags(document)? {
        match tag {
            Tag::Open(name, attributes, empty) => {
                match (path.len(), name.as_str()) {
                    (0, _) => read.root.clone_from(&name),
                    (2, "base_plan" | "base_event") => base = attributes,
                    (3, "plan" | "event") => plan = Some((attributes, Vec::new())),
                    (4, "zone") => plan.as_mut().unwrap().1.push(attributes),
                    _ => {}
                }
                if !empty {
                    path.push(name);
                }
            }
            Tag::Close(name) => {
                let open = path.pop();
                if open.as_ref() != Some(&name) {
                    return Err(format!("`{name}` closes {open:?}"));
                }
                if path.len() == 3
                    && let Some((plan, zones)) = plan.take()
                {
                    read.add(&base, &plan, &zones);
                }
            }
        }
    }
    if path.is_empty() {
        Ok(read)
    } else {
        Err(format!("{path:?} left open"))
    }
}

impl Read {
    fn add(&mut self, base: &Attributes, plan: &Attributes, zones: &[Attributes]) {
        let Some(event) = event(base, plan, zones) else {
            self.set_aside.events += 1;
            return;
        };
        self.set_aside.zones += zones.len() - event.zones.len();
        let same = |other: &TruthEvent| {
            (&other.base_id, &other.event_id) == (&event.base_id, &event.event_id)
        };
        match self.events.iter().rev().take(50).position(same) {
            Some(back) => {
                let position = self.events.len() - 1 - back;
                self.events[position] = event;
                self.repeated += 1;
            }
            None => self.events.push(event),
        }
    }
}

fn event(base: &Attributes, plan: &Attributes, zones: &[Attributes]) -> Option<TruthEvent> {
    let first = |names: [&str; 3]| names.iter().find_map(|name| plan.get(*name));
    let starts = date(first([
        "plan_start_date",
        "event_start_date",
        "event_date",
    ])?)?;
    let ends = match first(["plan_end_date", "event_end_date", ""]) {
        Some(end) => Some(date(end)?).filter(|end| *end >= starts),
        None => None,
    };
    let zones: Vec<TruthZone> = zones.iter().filter_map(zone).collect();
    Some(TruthEvent {
        base_id: base
            .get("base_plan_id")
            .or(base.get("base_event_id"))?
            .clone(),
        event_id: first(["plan_id", "event_id", ""])?.clone(),
        title: base.get("title")?.clone(),
        starts_local: starts,
        ends_local: ends,
        sell_from: date(&plan["sell_from"]),
        sell_to: date(&plan["sell_to"]),
        sold_out: plan["sold_out"].parse().unwrap(),
        online: base.get("sell_mode").is_some_and(|mode| mode == "online"),
        organizer_company_id: base.get("organizer_company_id").cloned(),
        min_price: zones.iter().filter_map(|zone| zone.price).min(),
        max_price: zones.iter().filter_map(|zone| zone.price).max(),
        zones,
    })
}

fn zone(zone: &Attributes) -> Option<TruthZone> {
    let price = zone.get("price").or(zone.get("max_price"));
    Some(TruthZone {
        id: zone["zone_id"].clone(),
        name: zone["name"].clone(),
        capacity: zone["capacity"].parse().ok(),
        price: price
            .map(|price| ten_thousandths(price).ok_or(()))
            .transpose()
            .ok()?,
        numbered: zone["numbered"].parse().unwrap(),
    })
}

fn date(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok()
}

fn ten_thousandths(text: &str) -> Option<i64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    (rest.len() <= 4)
        .then(|| format!("{whole}{rest:0<4}").parse().ok())
        .flatten()
}

fn tags(mut document: &str) -> Result<Vec<Tag>, String> {
    let mut tags = Vec::new();
    while let Some(start) = document.find('<') {
        let rest = &document[start..];
        let end = if rest.starts_with("<!--") { "-->" } else { ">" };
        let length = rest.find(end).ok_or("a tag without end")? + end.len();
        let inner = &rest[1..length - 1];
        if let Some(name) = inner.strip_prefix('/') {
            tags.push(Tag::Close(name.to_owned()));
        } else if !inner.starts_with(['!', '?']) {
            tags.push(open(inner)?);
        }
        document = &rest[length..];
    }
    Ok(tags)
}

fn open(inner: &str) -> Result<Tag, String> {
    let (inner, empty) = inner
        .strip_suffix('/')
        .map_or((inner, false), |inner| (inner, true));
    let (name, mut rest) = inner.split_once(' ').unwrap_or((inner, ""));
    let mut attributes = Attributes::new();
    while let Some((key, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').ok_or("an attribute without end")?;
        if attributes
            .insert(key.trim().to_owned(), unescape(value)?)
            .is_some()
        {
            return Err(format!("`{key}` twice"));
        }
        rest = after;
    }
    Ok(Tag::Open(name.to_owned(), attributes, empty))
}

fn unescape(mut text: &str) -> Result<String, String> {
    let mut out = String::new();
    while let Some((before, after)) = text.split_once('&') {
        let (name, after) = after.split_once(';').ok_or("a reference without end")?;
        out.push_str(before);
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            name => name
                .strip_prefix("#x")
                .and_then(|hex| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32))
                .ok_or_else(|| format!("unknown reference `{name}`"))?,
        });
        text = after;
    }
    Ok(out + text)
}

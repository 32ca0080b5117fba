//! The result for a person: what was looked at, how much of what, the first few of each, a verdict.

use entity::event::{Content, Zone};
use serde_json::Value;
use worker::Changed;

use super::{Kind, Looked};
use crate::command::findings::{self, Item, first_of};
use crate::command::provider::moved;
use crate::show;

pub(super) fn print(looked: &Looked) {
    let checked = &looked.checked;
    let counts = &checked.counts;
    show::pairs(&subject(looked));
    show::line("");
    show::pairs(&numbers(looked));
    events("New", &checked.added, counts.new);
    changes(looked);
    let as_they_were = counts.returned - checked.returned_changed;
    events("Returned as they were", &checked.returned, as_they_were);
    match counts.held {
        0 => events("Gone", &checked.gone, counts.gone),
        held => events("Missing and held", &checked.gone, held),
    }
    findings::reasons(
        "Set aside, by reason:",
        &counts.set_aside_reasons,
        findings::why_set_aside,
    );
    let items: Vec<_> = checked.set_aside.iter().map(item).collect();
    findings::items(&items, counts.set_aside);
    findings::reasons(
        "Warnings, by reason:",
        &counts.warning_reasons,
        findings::why_warned,
    );
    show::line("");
    for sentence in verdict(looked) {
        show::line(&sentence);
    }
}

fn subject(looked: &Looked) -> Vec<(&'static str, String)> {
    let checked = &looked.checked;
    let place = match looked.kind {
        Kind::Provider => format!("{}, {}", looked.subject, looked.place),
        Kind::Url | Kind::File => looked.place.clone(),
    };
    let against = looked.against.as_ref().map_or_else(
        || "nothing: everything is new".to_owned(),
        |provider| format!("what is stored of {}", provider.name),
    );
    let zone = looked.timezone.iana_name().unwrap_or("a zone of its own");
    let bytes = show::count(checked.bytes, "byte");
    let size = match (checked.http_status, checked.wire_bytes) {
        (Some(status), Some(wire)) => format!(
            "HTTP status {status}, {} on the wire, {bytes} decompressed",
            show::count(wire, "byte")
        ),
        _ => bytes,
    };
    let took = format!(
        "{} {} ms, parse {} ms, compare {} ms",
        if looked.kind == Kind::File {
            "read"
        } else {
            "fetch"
        },
        checked.fetch.as_millis(),
        checked.parse.as_millis(),
        checked.compare.as_millis()
    );
    let mut pairs = vec![
        (looked.kind.name(), place),
        ("read as", format!("{}, times in {zone}", looked.format)),
        ("compared with", against),
        ("size", size),
        ("took", took),
    ];
    if let Some(to) = &checked.moved_to {
        pairs.push(("moved", moved(to)));
    }
    pairs
}

fn numbers(looked: &Looked) -> Vec<(&'static str, String)> {
    let counts = &looked.checked.counts;
    let numbers = [
        ("new", counts.new),
        ("changed", counts.changed),
        ("unchanged", counts.unchanged),
        ("returned", counts.returned),
        ("gone", counts.gone),
        ("held", counts.held),
        ("set aside", counts.set_aside),
        ("warnings", counts.warnings),
    ]
    .map(|(label, number)| (label, show::number(number)));
    let width = numbers.iter().map(|(_, number)| number.len()).max();
    let width = width.unwrap_or(0);
    numbers
        .into_iter()
        .map(|(label, number)| (label, format!("{number:>width$}")))
        .collect()
}

fn events(what: &str, contents: &[Content], all: u64) {
    if contents.is_empty() {
        return;
    }
    show::line(&format!("\n{}", first_of(contents.len(), all, what)));
    let ids: Vec<_> = contents.iter().map(id).collect();
    let width = ids.iter().map(|id| id.chars().count()).max().unwrap_or(0);
    for (id, content) in ids.iter().zip(contents) {
        let start = content.starts_local.format("%Y-%m-%d %H:%M");
        show::line(&format!("  {id:width$}  {start}  {}", content.title));
    }
}

/// Base id and event id.
fn id(content: &Content) -> String {
    format!("{}/{}", content.base_id, content.event_id)
}

fn changes(looked: &Looked) {
    let changed = &looked.checked.changed;
    if changed.is_empty() {
        return;
    }
    let all = looked.checked.counts.changed + looked.checked.returned_changed;
    show::line(&format!("\n{}", first_of(changed.len(), all, "Changed")));
    for changed in changed {
        let returns = if changed.returns { ", returned" } else { "" };
        show::line(&format!(
            "  {}  {}{returns}",
            id(&changed.content),
            changed.content.title
        ));
        for line in fields(changed) {
            show::line(&format!("    {line}"));
        }
    }
}

fn fields(changed: &Changed) -> Vec<String> {
    let mut lines = Vec::new();
    for (field, values) in &changed.changes {
        let (before, after) = (&values[0], &values[1]);
        if field == "zones" {
            lines.extend(zones(before, after));
        } else {
            let (before, after) = (value(field, before), value(field, after));
            lines.push(format!("{field}: {before} -> {after}"));
        }
    }
    lines
}

fn value(field: &str, value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Number(number) if field.ends_with("_price") => number
            .as_i64()
            .map_or_else(|| number.to_string(), show::amount),
        Value::String(text) if !matches!(field, "title" | "organizer_company_id") => text.clone(),
        other => other.to_string(),
    }
}

/// Zones are told apart by all that they say, since an id may stand twice.
fn zones(before: &Value, after: &Value) -> Vec<String> {
    const MOST: usize = 10;
    let told = |zones: &Value| -> Vec<String> {
        let zones = serde_json::from_value::<Vec<Zone>>(zones.clone());
        zones.unwrap_or_default().iter().map(zone).collect()
    };
    let (mut removed, mut added) = (told(before), Vec::new());
    for zone in told(after) {
        match removed.iter().position(|other| *other == zone) {
            Some(same) => drop(removed.remove(same)),
            None => added.push(zone),
        }
    }
    let mut lines: Vec<_> = removed
        .iter()
        .map(|zone| format!("- {zone}"))
        .chain(added.iter().map(|zone| format!("+ {zone}")))
        .collect();
    if lines.is_empty() {
        return vec!["zones: in another order".to_owned()];
    }
    let rest = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    if rest > 0 {
        lines.push(format!(
            "and {} more in its zones",
            show::number(rest as u64)
        ));
    }
    lines
}

fn zone(zone: &Zone) -> String {
    let mut told = format!("zone {}", zone.id.as_deref().unwrap_or("without an id"));
    if let Some(name) = &zone.name {
        told.push_str(&format!(" \"{name}\""));
    }
    if let Some(price) = zone.price {
        told.push_str(&format!(", price {}", show::amount(price)));
    }
    if let Some(capacity) = zone.capacity {
        told.push_str(&format!(", capacity {capacity}"));
    }
    match zone.numbered {
        Some(true) => told.push_str(", numbered"),
        Some(false) => told.push_str(", not numbered"),
        None => {}
    }
    told
}

fn item(item: &entity::commit::SetAside) -> Item<'_> {
    Item {
        position: item.position,
        path: &item.path,
        reason: &item.reason,
        snippet: &item.snippet,
    }
}

fn verdict(looked: &Looked) -> Vec<String> {
    let counts = &looked.checked.counts;
    if looked.is_whole() {
        return vec!["It would be stored as a whole.".to_owned()];
    }
    let mut sentences = vec!["It would be stored, but not as a whole:".to_owned()];
    if counts.set_aside > 0 {
        sentences.push(format!(
            "  {} would be set aside: of an event whose ids can be read, what is stored stays as it is; a zone is left out.",
            show::count(counts.set_aside, "item")
        ));
    }
    if let Some(provider) = looked.against.as_ref().filter(|_| counts.held > 0) {
        sentences.push(format!(
            "  {} would be held, for of those that are not over more than {}% and more than {} \
             are missing: they stay until most are back, or until `fanfare sync {} --accept-gone` \
             takes them for gone.",
            show::count(counts.held, "event"),
            provider.hold_percent,
            show::number(provider.hold_events.unsigned_abs()),
            provider.name,
        ));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_told_field_by_field_as_people_read_it() {
        for (field, before, after, told) in [
            ("title", json!("Old"), json!("New"), r#""Old" -> "New""#),
            ("min_price", json!(125_000), json!(null), "12.50 -> none"),
            ("sold_out", json!(false), json!(true), "false -> true"),
            (
                "ends_at",
                json!(null),
                json!("2026-07-03T19:30:00Z"),
                "none -> 2026-07-03T19:30:00Z",
            ),
        ] {
            let shown = format!("{} -> {}", value(field, &before), value(field, &after));
            assert_eq!(shown, told);
        }
    }

    #[test]
    fn of_zones_only_those_that_differ_are_told() {
        let before = json!([{"id": "1", "price": 10_000}, {"id": "2", "name": "Platea"}]);
        let after = json!([{"id": "2", "name": "Platea"}, {"id": "1", "price": 20_000}]);
        assert_eq!(
            zones(&before, &after),
            ["- zone 1, price 1.00", "+ zone 1, price 2.00"]
        );
        let turned = json!([before[1], before[0]]);
        assert_eq!(zones(&before, &turned), ["zones: in another order"]);
        let many: Vec<_> = (0..30).map(|id| json!({"id": id.to_string()})).collect();
        let told = zones(&json!([]), &json!(many));
        assert_eq!(told.len(), 11);
        assert_eq!(told[10], "and 20 more in its zones");
    }
}

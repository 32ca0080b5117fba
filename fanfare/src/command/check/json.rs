//! The result as JSON, for scripts: `docs/OPERATIONS.md` tells what stands where.

use std::time::Duration;

use entity::commit::SetAside;
use entity::event::{self, Content};
use serde_json::{Value, json};

use super::Looked;

/// One object with the same keys whatever was found.
pub(super) fn of(looked: &Looked) -> Value {
    let checked = &looked.checked;
    let counts = &checked.counts;
    let against = looked.against.as_ref().map(|provider| &*provider.name);
    let event = |content: &Content| event(against, content);
    let events = |contents: &[Content]| contents.iter().map(event).collect::<Vec<_>>();
    let changed = checked.changed.iter().map(|changed| {
        let mut told = event(&changed.content);
        told["returns"] = changed.returns.into();
        told["changes"] = changed.changes.clone().into();
        told
    });
    let (gone, held) = match counts.held {
        0 => (events(&checked.gone), Vec::new()),
        _ => (Vec::new(), events(&checked.gone)),
    };
    json!({
        "subject": looked.subject,
        "kind": looked.kind.name(),
        "place": looked.place,
        "against": against,
        "format": looked.format.name(),
        "timezone": looked.timezone.iana_name(),
        "whole": looked.is_whole(),
        "http_status": checked.http_status,
        "wire_bytes": checked.wire_bytes,
        "bytes": checked.bytes,
        "moved_to": checked.moved_to,
        "fetch_ms": millis(checked.fetch),
        "parse_ms": millis(checked.parse),
        "compare_ms": millis(checked.compare),
        "counts": {
            "new": counts.new,
            "changed": counts.changed,
            "unchanged": counts.unchanged,
            "returned": counts.returned,
            "gone": counts.gone,
            "held": counts.held,
            "set_aside": counts.set_aside,
            "warnings": counts.warnings,
        },
        "set_aside_reasons": counts.set_aside_reasons,
        "warning_reasons": counts.warning_reasons,
        "first": {
            "new": events(&checked.added),
            "changed": changed.collect::<Vec<_>>(),
            "returned": events(&checked.returned),
            "gone": gone,
            "held": held,
            "set_aside": checked.set_aside.iter().map(set_aside).collect::<Vec<_>>(),
        },
        "error": null,
    })
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// An event with its fields under the names and in the units of the log of changes.
fn event(provider: Option<&str>, content: &Content) -> Value {
    let mut told = json!(content);
    told["id"] = json!(provider.map(|name| event::id(name, &content.base_id, &content.event_id)));
    told
}

fn set_aside(item: &SetAside) -> Value {
    let identity = item.identity.as_ref();
    json!({
        "position": item.position,
        "path": item.path,
        "reason": item.reason,
        "base_id": identity.map(|(base_id, _)| base_id),
        "event_id": identity.map(|(_, event_id)| event_id),
        "snippet": item.snippet,
    })
}

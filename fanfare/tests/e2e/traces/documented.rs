//! What arrived, held against the table of spans in `docs/TELEMETRY.md`, both ways.

use std::collections::BTreeSet;
use std::time::Duration;

use super::receiver::{Receiver, Span};
use crate::world::PATIENCE;

const PAGE: &str = include_str!("../../../../docs/TELEMETRY.md");
/// Stands in the table for all routes of the API.
const OF_THE_API: &str = "GET /v1/events/{id}";

/// No worker is killed here; the scheduler's own tests have one.
const LOST: &str = "run lost";

/// What the spans of this test can't have, by the span or for all of them.
const ABSENT: [(Option<&str>, &str); 2] = [
    // Nothing fails here.
    (None, "error.type"),
    // Nobody is redirected.
    (Some("GET"), "http.request.resend_count"),
];

/// A span of the table.
struct Row {
    name: &'static str,
    kind: &'static str,
    attributes: BTreeSet<&'static str>,
}

impl Row {
    /// What has to arrive of it.
    fn expected(&self) -> impl Iterator<Item = Trait> {
        let absent = |name: &str, key: &str| {
            let of_it = |(span, absent): &(Option<&str>, &str)| {
                *absent == key && span.is_none_or(|span| span == name)
            };
            ABSENT.iter().any(of_it)
        };
        let present = self.attributes.iter();
        let present = present.filter(move |key| !absent(self.name, key));
        let present = present.map(|key| (self.name, Some(*key)));
        present.chain([(self.name, None)])
    }
}

/// An attribute of a span, or that there is such a span at all.
type Trait = (&'static str, Option<&'static str>);

fn table() -> Vec<Row> {
    let section = PAGE.split("\n## Spans\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        Row {
            name: quoted(cells[1])[0],
            kind: cells[2].trim(),
            attributes: quoted(cells[4]).into_iter().collect(),
        }
    })
    .collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Waits until each span and each attribute of the table has arrived; nothing else may arrive.
pub(super) async fn arrive(receiver: &Receiver) {
    let table = table();
    let expected = table.iter().filter(|row| row.name != LOST);
    let expected: BTreeSet<Trait> = expected.flat_map(Row::expected).collect();
    assert!(expected.len() > 50, "{expected:?}");
    let mut missing = expected.clone();
    // Receivers tell a little later than they take.
    let all = async {
        while !missing.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            missing.clone_from(&expected);
            for span in receiver.spans() {
                for known in listed(&span, &table) {
                    missing.remove(&known);
                }
            }
        }
    };
    let arrived = tokio::time::timeout(PATIENCE, all).await;
    assert!(arrived.is_ok(), "these never arrived: {missing:?}");
}

/// Checks that a span is in the table with its kind and each of its attributes, and gives them.
fn listed(span: &Span, table: &[Row]) -> Vec<Trait> {
    // One of no route has its method alone, as a request to a provider does.
    let of_the_api = span.name.contains(" /") || span.name == "GET" && span.kind == "server";
    let name = if of_the_api { OF_THE_API } else { &span.name };
    let row = table.iter().find(|row| row.name == name);
    let row = row.unwrap_or_else(|| panic!("the table has no span `{name}`"));
    // What is still being told has none.
    if span.kind.is_empty() {
        return Vec::new();
    }
    assert_eq!(span.kind, row.kind, "the kind of `{}`", span.name);
    let known = |key: &String| {
        let known = row.attributes.get(key.as_str());
        known.unwrap_or_else(|| panic!("the table's span `{name}` has no attribute `{key}`"))
    };
    let attributes = span.attributes.keys().map(known);
    let attributes = attributes.map(|key| (row.name, Some(*key)));
    attributes.chain([(row.name, None)]).collect()
}

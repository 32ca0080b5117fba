//! What arrived, held against the table of spans in `docs/TELEMETRY.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::receiver::Span;

const PAGE: &str = include_str!("../../../../docs/TELEMETRY.md");

/// A span's attributes by its name.
fn table() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let section = PAGE.split("\n## Spans\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        (quoted(cells[1])[0], quoted(cells[4]).into_iter().collect())
    })
    .collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Checks that each span that arrived is in the table with each of its attributes, and that each of
/// the table arrived, but for the API's.
pub(super) fn check(spans: &[Span]) {
    let table = table();
    let of_the_api = |name: &str| name.starts_with("GET /") || name == "read";
    let mut missing: BTreeSet<_> = table.keys().copied().collect();
    missing.retain(|name| !of_the_api(name));
    assert!(missing.len() > 10, "{missing:?}");
    for span in spans {
        let name = span.name.as_str();
        let attributes = table
            .get(name)
            .unwrap_or_else(|| panic!("the table has no span `{name}`"));
        for key in span.attributes.keys() {
            let known = attributes.contains(key.as_str());
            assert!(known, "the table's span `{name}` has no attribute `{key}`");
        }
        missing.remove(name);
    }
    assert!(missing.is_empty(), "these never arrived: {missing:?}");
}

//! The list of metrics in `docs/TELEMETRY.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::scrape::Scrape;

/// By Prometheus' names.
pub(crate) struct Listed {
    metrics: BTreeMap<String, Metric>,
}

struct Metric {
    section: String,
    kind: String,
    labels: BTreeSet<String>,
}

impl Listed {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../../../docs/TELEMETRY.md");
        let (_, text) = text.split_once("\n## Metrics\n").unwrap();
        let text = text.split("\n## ").next().unwrap();
        let mut metrics = BTreeMap::new();
        let mut section = "";
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("### ") {
                section = title;
            }
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, kind, unit, attributes, _meaning] = cells[..] else {
                continue;
            };
            if !name.starts_with('`') {
                continue;
            }
            let metric = Metric {
                section: section.to_owned(),
                kind: kind.to_owned(),
                labels: quoted(attributes)
                    .filter(|word| word.contains('.'))
                    .map(|name| name.replace('.', "_"))
                    .collect(),
            };
            let name = translated(name.trim_matches('`'), kind, unit.trim_matches('`'));
            assert!(
                metrics.insert(name, metric).is_none(),
                "{line} is there twice"
            );
        }
        assert!(metrics.len() > 30, "the tables are not read");
        Self { metrics }
    }

    /// The metrics of the section whose title begins so.
    pub(crate) fn section(&self, title: &str) -> BTreeSet<String> {
        let of_section = self
            .metrics
            .iter()
            .filter(|(_, metric)| metric.section.starts_with(title));
        let names: BTreeSet<_> = of_section.map(|(name, _)| name.clone()).collect();
        assert!(!names.is_empty(), "there is no section {title}");
        names
    }

    /// Checks that every metric of a scrape is listed, with its kind and its labels.
    pub(crate) fn knows_all_of(&self, role: &str, scrape: &Scrape) {
        for name in scrape.families() {
            let listed = self.metrics.get(&name);
            let listed =
                listed.unwrap_or_else(|| panic!("{role} tells {name}, which is not listed"));
            assert_eq!(scrape.types[&name], listed.kind, "{name}");
            let labels = scrape.labels(&name);
            let unknown: Vec<_> = labels.difference(&listed.labels).collect();
            assert_eq!(unknown, [] as [&String; 0], "labels of {name}");
        }
    }
}

/// What stands in backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// A metric's name as Prometheus has it.
fn translated(name: &str, kind: &str, unit: &str) -> String {
    let unit = match unit {
        "s" => "_seconds",
        "By" => "_bytes",
        "1" if kind == "gauge" => "_ratio",
        "" => "",
        unit if unit.starts_with('{') => "",
        unit => panic!("{name} has the unit {unit}"),
    };
    let total = if kind == "counter" { "_total" } else { "" };
    format!("{}{unit}{total}", name.replace('.', "_"))
}

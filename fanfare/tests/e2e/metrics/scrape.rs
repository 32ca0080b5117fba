//! Prometheus' text format, as far as a test needs it.

use std::collections::{BTreeMap, BTreeSet};

/// What a process answered.
pub(crate) struct Scrape {
    pub(crate) text: String,
    /// Types of metrics by name.
    pub(crate) types: BTreeMap<String, String>,
    /// Values by series.
    values: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads it; each series stands there once.
    pub(crate) fn parse(text: &str) -> Self {
        let (mut types, mut values) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap();
                let before = types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{name} is typed twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse().unwrap();
                let before = values.insert(series.to_owned(), value);
                assert_eq!(before, None, "{series} is told twice");
            }
        }
        Self {
            text: text.to_owned(),
            types,
            values,
        }
    }

    /// Of a series as it is written, labels in order.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    pub(crate) fn series_of(&self, metric: &str) -> usize {
        let names = self.values.keys().map(|series| name_of(series));
        names.filter(|name| *name == metric).count()
    }

    /// The metrics that are told, but for what describes the target.
    pub(crate) fn families(&self) -> BTreeSet<String> {
        let names = self.types.keys().filter(|name| *name != "target_info");
        names.cloned().collect()
    }

    /// The labels of a metric's series, without a histogram's own.
    pub(crate) fn labels(&self, metric: &str) -> BTreeSet<String> {
        let parts = ["", "_bucket", "_sum", "_count"].map(|part| format!("{metric}{part}"));
        let belongs = |series: &&String| parts.iter().any(|part| part == name_of(series));
        let series = self.values.keys().filter(belongs);
        let labels = series.flat_map(|series| labels_of(series));
        labels.filter(|label| label != "le").collect()
    }
}

fn name_of(series: &str) -> &str {
    series.split('{').next().unwrap()
}

/// The values of our labels have neither `="` nor `",` in them.
fn labels_of(series: &str) -> Vec<String> {
    let Some((_, labels)) = series.split_once('{') else {
        return Vec::new();
    };
    let names = labels
        .split("\",")
        .filter_map(|pair| pair.split_once("=\""));
    names.map(|(name, _)| name.to_owned()).collect()
}

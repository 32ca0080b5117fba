//! Instruments of a test's own, and what they show.

use std::collections::BTreeMap;

use api::Config;

pub(crate) struct Measured(testkit::Measured);

impl Default for Measured {
    fn default() -> Self {
        Self(testkit::Measured::new())
    }
}

impl Measured {
    /// An API that is measured by these instruments.
    pub(crate) fn config(&self) -> Config {
        Config {
            meter: Some(self.0.meter()),
            ..Config::default()
        }
    }

    /// What a counter has counted, or a histogram under its name and `_count`, by labels; without what
    /// is zero.
    pub(crate) fn counts(&self, name: &str) -> BTreeMap<String, u64> {
        let series = self.series(name).into_iter();
        let counts = series.map(|(labels, count)| (labels, count as u64));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// The sum over all series.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.series(name).values().sum()
    }

    /// A gauge without labels, if it is told.
    pub(crate) fn gauge(&self, name: &str) -> Option<f64> {
        self.series(name).get("").copied()
    }

    /// The values of that name, by their labels in order.
    fn series(&self, name: &str) -> BTreeMap<String, f64> {
        let text = self.0.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let series = lines.filter_map(|rest| match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once("} "),
            None => rest.strip_prefix(' ').map(|value| ("", value)),
        });
        series
            .map(|(labels, value)| (in_order(labels), value.parse().unwrap()))
            .collect()
    }
}

/// Such as `a=1 b=2`. No value here has a comma in it.
fn in_order(labels: &str) -> String {
    let mut labels: Vec<String> = labels
        .split(',')
        .filter(|label| !label.starts_with("otel_scope"))
        .map(|label| label.replace('"', ""))
        .collect();
    labels.sort();
    labels.join(" ")
}

pub(crate) fn counts<L, const N: usize>(expected: [(L, u64); N]) -> BTreeMap<String, u64>
where
    L: Into<String>,
{
    let expected = expected.into_iter();
    expected
        .map(|(labels, count)| (labels.into(), count))
        .collect()
}

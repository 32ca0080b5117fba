//! Instruments of a test's own, and what they show.

use std::collections::BTreeMap;

use api::Config;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily, MetricType};

pub(crate) struct Measured {
    registry: Registry,
    provider: SdkMeterProvider,
}

impl Default for Measured {
    fn default() -> Self {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .unwrap();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        Self { registry, provider }
    }
}

impl Measured {
    /// An API that is measured by these instruments.
    pub(crate) fn config(&self) -> Config {
        Config {
            meter: Some(self.provider.meter("test")),
            ..Config::default()
        }
    }

    /// Counts by their labels; without those that are zero.
    pub(crate) fn counts(&self, name: &str) -> BTreeMap<String, u64> {
        let metrics = self.metrics(name, |family, metric| match family.get_field_type() {
            MetricType::HISTOGRAM => metric.get_histogram().get_sample_count() as f64,
            _ => metric.get_counter().get_value(),
        });
        let counts = metrics
            .into_iter()
            .map(|(labels, count)| (labels, count as u64));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// The sum of a histogram's values.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let sum = |_: &MetricFamily, metric: &Metric| metric.get_histogram().get_sample_sum();
        self.metrics(name, sum).values().sum()
    }

    /// A gauge without labels, if it is told.
    pub(crate) fn gauge(&self, name: &str) -> Option<f64> {
        let gauge = |_: &MetricFamily, metric: &Metric| metric.get_gauge().get_value();
        self.metrics(name, gauge).get("").copied()
    }

    fn metrics(
        &self,
        name: &str,
        value: impl Fn(&MetricFamily, &Metric) -> f64,
    ) -> BTreeMap<String, f64> {
        let families = self.registry.gather();
        let Some(family) = families.iter().find(|family| family.name() == name) else {
            return BTreeMap::new();
        };
        let metrics = family.get_metric().iter();
        metrics
            .map(|metric| (labels(metric), value(family, metric)))
            .collect()
    }
}

fn labels(metric: &Metric) -> String {
    let labels = metric.get_label().iter();
    let mut labels: Vec<String> = labels
        .filter(|label| !label.name().starts_with("otel_scope"))
        .map(|label| format!("{}={}", label.name(), label.value()))
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

//! Metrics of a test's own.

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

/// A meter whose instruments nobody else has, and what they have measured, by Prometheus' names.
#[derive(Debug, Clone)]
pub struct Measured {
    provider: SdkMeterProvider,
    registry: Registry,
}

impl Measured {
    /// Nothing is measured yet.
    ///
    /// # Panics
    /// Never: a new registry takes any collector.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a default that starts things surprises"
    )]
    pub fn new() -> Self {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .expect("a registry without collectors takes one");
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        Self { provider, registry }
    }

    /// Makes the instruments.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.provider.meter("test")
    }

    /// Everything as Prometheus reads it.
    ///
    /// # Panics
    /// When a metric cannot be written.
    #[must_use]
    pub fn text(&self) -> String {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        text.expect("what is measured can be written")
    }

    /// The value of a series, written as in the text with its labels in order, such as
    /// `runs_total{outcome="stored"}`; `None` where there is no such series.
    ///
    /// # Panics
    /// When its value is no number.
    #[must_use]
    pub fn value(&self, series: &str) -> Option<f64> {
        let text = self.text();
        let line = text.lines().find_map(|line| {
            let value = line.strip_prefix(series)?;
            value.strip_prefix(' ')
        });
        line.map(|value| value.parse().expect("a value is a number"))
    }

    /// How many series a metric has.
    #[must_use]
    pub fn series_of(&self, metric: &str) -> usize {
        let belongs = |line: &&str| {
            let rest = line.strip_prefix(metric);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        self.text().lines().filter(belongs).count()
    }
}

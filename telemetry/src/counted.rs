//! Exporters that count what a receiver took of theirs and what it did not, and say once that it is
//! gone and once that it is back.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, Metric, MetricData, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// A span exporter that counts.
#[derive(Debug)]
pub(crate) struct CountedSpans<E> {
    exporter: E,
    exported: Counter<u64>,
    outage: Outage,
}

impl<E> CountedSpans<E> {
    pub(crate) fn new(exporter: E) -> Self {
        let exported = crate::meter()
            .u64_counter("otel.sdk.exporter.span.exported")
            .with_unit("{span}")
            .with_description("Spans that a receiver took, or with error.type did not")
            .build();
        Self {
            exporter,
            exported,
            outage: Outage::of("traces"),
        }
    }
}

impl<E: SpanExporter> SpanExporter for CountedSpans<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        count(&self.exported, spans, &result);
        self.outage.note(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// A metric exporter that counts.
#[derive(Debug)]
pub(crate) struct CountedMetrics<E> {
    exporter: E,
    outage: Outage,
}

impl<E> CountedMetrics<E> {
    pub(crate) fn new(exporter: E) -> Self {
        Self {
            exporter,
            outage: Outage::of("metrics"),
        }
    }
}

impl<E: PushMetricExporter> PushMetricExporter for CountedMetrics<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let points = metrics.scope_metrics().flat_map(ScopeMetrics::metrics);
        let points = points.map(points_of).sum::<usize>() as u64;
        let result = self.exporter.export(metrics).await;
        // The provider that this exporter is part of is made after it.
        let exported = crate::meter()
            .u64_counter("otel.sdk.exporter.metric_data_point.exported")
            .with_unit("{data_point}")
            .with_description("Data points that a receiver took, or with error.type did not")
            .build();
        count(&exported, points, &result);
        self.outage.note(&result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

/// Whether a signal's receiver is gone.
#[derive(Debug)]
pub(crate) struct Outage {
    signal: &'static str,
    on: AtomicBool,
}

impl Outage {
    pub(crate) fn of(signal: &'static str) -> Self {
        Self {
            signal,
            on: AtomicBool::new(false),
        }
    }

    pub(crate) fn note(&self, result: &OTelSdkResult) {
        let gone = result.is_err();
        if self.on.swap(gone, Relaxed) == gone {
            return;
        }
        let signal = self.signal;
        match result {
            Ok(()) => tracing::info!(signal, "telemetry is taken again"),
            Err(error) => tracing::warn!(
                signal,
                %error,
                "telemetry is not taken: what can't be kept is dropped, and counted"
            ),
        }
    }
}

fn count(exported: &Counter<u64>, items: u64, result: &OTelSdkResult) {
    match result {
        Ok(()) => exported.add(items, &[]),
        Err(error) => exported.add(items, &[KeyValue::new("error.type", kind(error))]),
    }
}

fn kind(error: &OTelSdkError) -> &'static str {
    match error {
        OTelSdkError::AlreadyShutdown => "already_shutdown",
        OTelSdkError::Timeout(_) => "timeout",
        OTelSdkError::InternalFailure(_) => "export_failed",
    }
}

fn points_of(metric: &Metric) -> usize {
    match metric.data() {
        AggregatedMetrics::F64(data) => points_in(data),
        AggregatedMetrics::I64(data) => points_in(data),
        AggregatedMetrics::U64(data) => points_in(data),
    }
}

fn points_in<T>(data: &MetricData<T>) -> usize {
    match data {
        MetricData::Gauge(gauge) => gauge.data_points().count(),
        MetricData::Sum(sum) => sum.data_points().count(),
        MetricData::Histogram(histogram) => histogram.data_points().count(),
        MetricData::ExponentialHistogram(histogram) => histogram.data_points().count(),
    }
}

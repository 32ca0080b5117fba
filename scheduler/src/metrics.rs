//! What a scheduler measures of its own work.

use std::time::Duration;

use entity::fan_out::Closed;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use telemetry::bounds;

/// The instruments of a scheduler.
#[derive(Debug)]
pub(crate) struct Metrics {
    runs: Counter<u64>,
    fan_out: Histogram<f64>,
    tick: Histogram<f64>,
}

impl Metrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        let metrics = Self {
            // The same instrument as the workers'.
            runs: meter
                .u64_counter("fanfare.runs")
                .with_unit("{run}")
                .with_description("Runs that ended, or left their worker")
                .build(),
            fan_out: meter
                .f64_histogram("fanfare.fan_out.duration")
                .with_unit("s")
                .with_description("From the beginning of a fan-out to the end of its last run")
                .with_boundaries(bounds::BACKLOG.to_vec())
                .build(),
            tick: meter
                .f64_histogram("fanfare.tick.duration")
                .with_unit("s")
                .with_description("A look of the scheduler for what is due")
                .with_boundaries(bounds::RUN.to_vec())
                .build(),
        };
        metrics.lost(0);
        metrics
    }

    /// So many runs were lost with their workers.
    pub(crate) fn lost(&self, runs: usize) {
        let lost = [KeyValue::new("fanfare.outcome", "lost")];
        self.runs.add(runs as u64, &lost);
    }

    /// This scheduler closed these fan-outs.
    pub(crate) fn closed(&self, fan_outs: &[Closed]) {
        for closed in fan_outs {
            let trigger = [KeyValue::new("fanfare.trigger", closed.trigger.name())];
            self.fan_out.record(closed.duration.as_secs_f64(), &trigger);
        }
    }

    /// A tick is over.
    pub(crate) fn ticked(&self, took: Duration, well: bool) {
        let failed = [KeyValue::new("error.type", "database")];
        let attributes = if well { &[][..] } else { &failed[..] };
        self.tick.record(took.as_secs_f64(), attributes);
    }
}

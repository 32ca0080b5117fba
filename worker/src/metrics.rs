//! What a worker measures of its runs.

use std::time::Duration;

use entity::commit::{Counts, Finish};
use entity::lease::Begun;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use telemetry::bounds;

use crate::job::Ended;
use crate::leases::Leases;

/// The instruments of a worker.
#[derive(Debug)]
pub(crate) struct Metrics {
    runs: Counter<u64>,
    duration: Histogram<f64>,
    stage: Histogram<f64>,
    wait: Histogram<f64>,
    events: Counter<u64>,
    set_asides: Counter<u64>,
    fetches: Counter<u64>,
    io: Counter<u64>,
}

impl Metrics {
    /// Of a worker that takes so many runs at once and holds those of `leases`. What is counted under
    /// known names begins at zero, so that the first of a kind shows as a rise.
    pub(crate) fn new(meter: &Meter, slots: usize, leases: &Leases) -> Self {
        let metrics = Self::make(meter);
        for outcome in OUTCOMES {
            metrics.runs.add(0, &[of_outcome(outcome)]);
        }
        for (change, _) in changes(&Counts::default()) {
            metrics.events.add(0, &[of_change(change)]);
        }
        for class in CLASSES {
            metrics.fetches.add(0, &[of_class(class)]);
        }
        for form in [WIRE, BODY] {
            metrics.io.add(0, &[of_form(form)]);
        }
        for reason in crate::format::Reason::ALL {
            metrics.set_asides.add(0, &[of_reason(reason.slug())]);
        }
        gauges(meter, slots, leases.clone());
        metrics
    }

    fn make(meter: &Meter) -> Self {
        let seconds = |name, description, bounds: &[f64]| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description)
                .with_boundaries(bounds.to_vec())
                .build()
        };
        let count = |name, unit, description| {
            meter
                .u64_counter(name)
                .with_unit(unit)
                .with_description(description)
                .build()
        };
        Self {
            runs: count(
                "fanfare.runs",
                "{run}",
                "Runs that ended, or left their worker",
            ),
            duration: seconds(
                "fanfare.run.duration",
                "From the begin of a run to its recorded outcome",
                &bounds::RUN,
            ),
            stage: seconds(
                "fanfare.run.stage.duration",
                "A stage of a run",
                &bounds::RUN,
            ),
            wait: seconds(
                "fanfare.run.wait",
                "From the claim of a run to its begin",
                &bounds::BACKLOG,
            ),
            events: count(
                "fanfare.events",
                "{event}",
                "Events by what a run found of them",
            ),
            set_asides: count(
                "fanfare.set_asides",
                "{item}",
                "Items of feeds that were set aside",
            ),
            fetches: count(
                "fanfare.fetches",
                "{fetch}",
                "Fetches by what the provider answered",
            ),
            io: count(
                "fanfare.fetch.io",
                "By",
                "Bytes of feeds, as they came and decompressed",
            ),
        }
    }

    /// A run has begun.
    pub(crate) fn began(&self, begun: &Begun) {
        self.wait.record(begun.queued_for.as_secs_f64(), &[]);
    }

    /// A run has ended for this worker, so long after its begin.
    pub(crate) fn ended(&self, ended: &Ended, after: Duration) {
        let outcome = match ended {
            Ended::Recorded(finish) => {
                self.recorded(finish, after);
                // As it stands in the database.
                return self.runs.add(1, &[of_outcome(finish.outcome.to_string())]);
            }
            Ended::Fenced => "fenced",
            Ended::HandBack => "handed_back",
            Ended::PutOff(_) => "postponed",
        };
        self.runs.add(1, &[of_outcome(outcome)]);
    }

    fn recorded(&self, finish: &Finish, after: Duration) {
        let outcome = [of_outcome(finish.outcome.to_string())];
        self.duration.record(after.as_secs_f64(), &outcome);
        let durations = &finish.durations;
        for (stage, took) in [
            ("fetch", durations.fetch),
            ("parse", durations.parse),
            ("compare", durations.compare),
            ("store", durations.store),
        ] {
            if let Some(took) = took {
                let stage = [KeyValue::new("fanfare.stage", stage)];
                self.stage.record(took.as_secs_f64(), &stage);
            }
        }
        // A run that fails before it fetches has fetched nothing.
        if durations.fetch.is_some() {
            self.fetches.add(1, &[of_class(class(finish.http_status))]);
        }
        self.io
            .add(finish.wire_bytes.unwrap_or(0), &[of_form(WIRE)]);
        self.io.add(finish.bytes.unwrap_or(0), &[of_form(BODY)]);
        for (change, events) in changes(&finish.counts) {
            self.events.add(events, &[of_change(change)]);
        }
        for (reason, items) in &finish.counts.set_aside_reasons {
            self.set_asides.add(*items, &[of_reason(reason.clone())]);
        }
    }
}

fn gauges(meter: &Meter, slots: usize, leases: Leases) {
    meter
        .u64_observable_gauge("fanfare.run.active")
        .with_unit("{run}")
        .with_description("Runs in the hands of the worker")
        .with_callback(move |observer| observer.observe(leases.count() as u64, &[]))
        .build();
    meter
        .u64_observable_gauge("fanfare.worker.slots")
        .with_unit("{run}")
        .with_description("Runs that the worker takes at once")
        .with_callback(move |observer| observer.observe(slots as u64, &[]))
        .build();
}

/// Those that a worker sees.
const OUTCOMES: [&str; 6] = [
    "stored",
    "unchanged",
    "failed",
    "fenced",
    "handed_back",
    "postponed",
];

fn of_outcome(outcome: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new("fanfare.outcome", outcome)
}

fn changes(counts: &Counts) -> [(&'static str, u64); 6] {
    [
        ("created", counts.new),
        ("updated", counts.changed),
        ("unchanged", counts.unchanged),
        ("gone", counts.gone),
        ("returned", counts.returned),
        ("held", counts.held),
    ]
}

fn of_change(change: &'static str) -> KeyValue {
    KeyValue::new("fanfare.change", change)
}

const CLASSES: [&str; 6] = ["2xx", "304", "3xx", "4xx", "5xx", "none"];

/// What the last answer of a fetch was, if there was one that HTTP has a name for.
fn class(status: Option<u16>) -> &'static str {
    match status {
        Some(304) => "304",
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(500..=599) => "5xx",
        _ => "none",
    }
}

fn of_class(class: &'static str) -> KeyValue {
    KeyValue::new("fanfare.status_class", class)
}

const WIRE: &str = "wire";
const BODY: &str = "body";

fn of_form(form: &'static str) -> KeyValue {
    KeyValue::new("fanfare.form", form)
}

fn of_reason(reason: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new("fanfare.reason", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_put_off_is_counted_as_postponed_and_has_no_duration() {
        let told = testkit::Measured::new();
        let metrics = Metrics::new(&told.meter(), 4, &Leases::default());
        let put_off = Ended::PutOff(entity::run::Postponed::HostGap);
        metrics.ended(&put_off, Duration::from_secs(1));
        let postponed = r#"fanfare_runs_total{fanfare_outcome="postponed"}"#;
        assert_eq!(told.value(postponed), Some(1.0));
        assert_eq!(told.series_of("fanfare_run_duration_seconds_count"), 0);
    }

    #[test]
    fn an_answer_is_of_one_class_and_none_is_left_out() {
        for (status, expected) in [
            (Some(200), "2xx"),
            (Some(304), "304"),
            (Some(301), "3xx"),
            (Some(429), "4xx"),
            (Some(503), "5xx"),
            (Some(999), "none"),
            (None, "none"),
        ] {
            assert_eq!(class(status), expected, "{status:?}");
            assert!(CLASSES.contains(&class(status)));
        }
    }
}

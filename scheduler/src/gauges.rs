//! What a scheduler tells of the whole: every scheduler the same.

use entity::overview::Overview;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use crate::watch::{Watch, Whole};

/// Tells what `watch` sees from now on; the dataset's version only if nobody else of the process does.
pub(crate) fn tell(meter: &Meter, watch: &Watch, version: bool) {
    backlog(meter, watch);
    providers(meter, watch);
    breakers(meter, watch);
    let workers = |whole: &Overview| whole.workers;
    let described = "Workers that gave a sign of life within a lease";
    count(
        meter,
        watch,
        "fanfare.workers",
        "{worker}",
        described,
        workers,
    );
    if version {
        let described = "Version of the dataset";
        let name = "fanfare.dataset.version";
        count(meter, watch, name, "{version}", described, |whole| {
            whole.version
        });
    }
    jobs(meter, watch.clone());
}

fn backlog(meter: &Meter, watch: &Watch) {
    let described = "Runs that are queued and may begin, in the database";
    let queued = |whole: &Overview| whole.queued;
    count(
        meter,
        watch,
        "fanfare.queue.depth",
        "{run}",
        described,
        queued,
    );
    let described = "Runs that are running, in the database";
    let running = |whole: &Overview| whole.running;
    count(
        meter,
        watch,
        "fanfare.queue.running",
        "{run}",
        described,
        running,
    );
    let described = "Age of the oldest queued run that may begin; 0 without one";
    seconds(meter, watch, "fanfare.queue.oldest", described, |whole| {
        Some(of_ms(whole.oldest_queued_ms.unwrap_or(0)))
    });
    let described = "Predicted time until what is queued has been begun";
    seconds(meter, watch, "fanfare.queue.drain", described, drain);
}

/// At the pace of the last minute; `None` where nothing moves.
fn drain(whole: &Overview) -> Option<f64> {
    const MINUTE: f64 = 60.0;
    match (whole.queued, whole.begun_lately) {
        (..=0, _) => Some(0.0),
        (_, ..=0) => None,
        (queued, begun) => Some(queued as f64 * MINUTE / begun as f64),
    }
}

fn providers(meter: &Meter, watch: &Watch) {
    by_state(
        meter,
        watch,
        "fanfare.providers",
        "Providers by how old what is known of them is",
        |whole| {
            let staleness = &whole.staleness;
            vec![
                ("fanfare.staleness", "fresh", staleness.fresh),
                ("fanfare.staleness", "late", staleness.late),
                ("fanfare.staleness", "stale", staleness.stale),
                ("fanfare.staleness", "never", staleness.never),
                ("fanfare.staleness", "paused", staleness.paused),
            ]
        },
    );
    let described = "Providers with events that their feed lacks and that are held";
    let name = "fanfare.provider.holding";
    count(meter, watch, name, "{provider}", described, |whole| {
        whole.holding
    });
    let watch = watch.clone();
    meter
        .f64_observable_gauge("fanfare.provider.freshness")
        .with_unit("s")
        .with_description("Time since the last success of the provider")
        .with_callback(move |observer| {
            for age in watch.whole().iter().flat_map(|whole| &whole.ages) {
                let provider = KeyValue::new("fanfare.provider", age.provider.clone());
                observer.observe(of_ms(age.ms), &[provider]);
            }
        })
        .build();
}

fn breakers(meter: &Meter, watch: &Watch) {
    by_state(
        meter,
        watch,
        "fanfare.provider.breakers",
        "Providers by the state of their breaker",
        |whole| {
            let breakers = &whole.breakers;
            vec![
                ("fanfare.state", "closed", breakers.closed),
                ("fanfare.state", "half_open", breakers.half_open),
                ("fanfare.state", "open", breakers.open),
            ]
        },
    );
    let described =
        "Since when the breaker that has not been closed for longest is open; 0 without one";
    let name = "fanfare.provider.breaker.open";
    seconds(meter, watch, name, described, |whole| {
        Some(of_ms(whole.breakers.longest_ms.unwrap_or(0)))
    });
}

/// Jobs are the queue's, which may be away by itself.
fn jobs(meter: &Meter, watch: Watch) {
    meter
        .u64_observable_gauge("fanfare.queue.jobs")
        .with_unit("{job}")
        .with_description("Jobs in the queue")
        .with_callback(move |observer| {
            let Some(depth) = watch.depth() else { return };
            for (state, jobs) in [("waiting", depth.waiting), ("in_flight", depth.in_flight)] {
                observer.observe(jobs, &[KeyValue::new("fanfare.state", state)]);
            }
        })
        .build();
}

fn count(
    meter: &Meter,
    watch: &Watch,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    of: fn(&Overview) -> i64,
) {
    let tell = told(watch, move |whole, observer: &dyn AsyncInstrument<i64>| {
        observer.observe(of(&whole.overview), &[]);
    });
    meter
        .i64_observable_gauge(name)
        .with_unit(unit)
        .with_description(description)
        .with_callback(tell)
        .build();
}

fn seconds(
    meter: &Meter,
    watch: &Watch,
    name: &'static str,
    description: &'static str,
    of: fn(&Overview) -> Option<f64>,
) {
    let tell = told(watch, move |whole, observer: &dyn AsyncInstrument<f64>| {
        if let Some(seconds) = of(&whole.overview) {
            observer.observe(seconds, &[]);
        }
    });
    meter
        .f64_observable_gauge(name)
        .with_unit("s")
        .with_description(description)
        .with_callback(tell)
        .build();
}

/// Providers by an attribute, its value and how many have it.
fn by_state(
    meter: &Meter,
    watch: &Watch,
    name: &'static str,
    description: &'static str,
    of: fn(&Overview) -> Vec<(&'static str, &'static str, i64)>,
) {
    let tell = told(watch, move |whole, observer: &dyn AsyncInstrument<i64>| {
        for (attribute, state, providers) in of(&whole.overview) {
            observer.observe(providers, &[KeyValue::new(attribute, state)]);
        }
    });
    meter
        .i64_observable_gauge(name)
        .with_unit("{provider}")
        .with_description(description)
        .with_callback(tell)
        .build();
}

/// A callback that tells of what was seen, if that was a moment ago.
fn told<T>(
    watch: &Watch,
    tell: impl Fn(&Whole, &dyn AsyncInstrument<T>) + Send + Sync + 'static,
) -> impl Fn(&dyn AsyncInstrument<T>) + Send + Sync + 'static {
    let watch = watch.clone();
    move |observer| {
        if let Some(whole) = watch.whole() {
            tell(&whole, observer);
        }
    }
}

/// Clocks that are set back make nothing younger than now.
fn of_ms(ms: i64) -> f64 {
    ms.max(0) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use testkit::Measured;

    use super::*;
    use crate::watch::tests::{DEPTH, some_whole};

    fn telling(version: bool) -> (Measured, Watch) {
        let (told, watch) = (Measured::new(), Watch::default());
        tell(&told.meter(), &watch, version);
        (told, watch)
    }

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn every_gauge_tells_what_was_seen() {
        let (told, watch) = telling(true);
        watch.saw(some_whole(), DEPTH, NOW);
        for (series, value) in [
            ("fanfare_queue_depth", 120.0),
            ("fanfare_queue_running", 16.0),
            ("fanfare_queue_oldest_seconds", 90.5),
            ("fanfare_queue_drain_seconds", 30.0),
            (r#"fanfare_queue_jobs{fanfare_state="waiting"}"#, 100.0),
            (r#"fanfare_queue_jobs{fanfare_state="in_flight"}"#, 20.0),
            (r#"fanfare_providers{fanfare_staleness="fresh"}"#, 5.0),
            (r#"fanfare_providers{fanfare_staleness="late"}"#, 4.0),
            (r#"fanfare_providers{fanfare_staleness="stale"}"#, 3.0),
            (r#"fanfare_providers{fanfare_staleness="never"}"#, 2.0),
            (r#"fanfare_providers{fanfare_staleness="paused"}"#, 1.0),
            (r#"fanfare_provider_breakers{fanfare_state="closed"}"#, 12.0),
            (
                r#"fanfare_provider_breakers{fanfare_state="half_open"}"#,
                1.0,
            ),
            (r#"fanfare_provider_breakers{fanfare_state="open"}"#, 1.0),
            ("fanfare_provider_breaker_open_seconds", 3600.0),
            ("fanfare_provider_holding", 1.0),
            (
                r#"fanfare_provider_freshness_seconds{fanfare_provider="acme"}"#,
                1.5,
            ),
            ("fanfare_workers", 2.0),
            ("fanfare_dataset_version", 7.0),
        ] {
            assert_eq!(told.value(series), Some(value), "{series}");
        }
    }

    #[test]
    fn what_was_seen_too_long_ago_is_not_told_and_comes_back_with_the_next_look() {
        let (told, watch) = telling(true);
        let series = || {
            let text = told.text();
            text.lines()
                .filter(|line| line.starts_with("fanfare_"))
                .count()
        };
        assert_eq!(series(), 0, "nothing has been seen");
        watch.saw(some_whole(), DEPTH, NOW);
        assert_eq!(series(), 19);
        watch.saw(some_whole(), DEPTH, Duration::from_secs(31));
        assert_eq!(series(), 0, "{}", told.text());
        watch.saw(some_whole(), DEPTH, NOW);
        assert_eq!(series(), 19);
    }

    #[test]
    fn the_drain_is_absent_where_nothing_moves_and_nothing_where_nothing_waits() {
        let (told, watch) = telling(false);
        for (queued, begun, expected) in [
            (120, 240, Some(30.0)),
            (120, 0, None),
            (0, 0, Some(0.0)),
            (0, 240, Some(0.0)),
            (1, 120, Some(0.5)),
        ] {
            let mut whole = some_whole();
            (whole.overview.queued, whole.overview.begun_lately) = (queued, begun);
            watch.saw(whole, DEPTH, NOW);
            assert_eq!(told.value("fanfare_queue_drain_seconds"), expected);
        }
    }

    #[test]
    fn without_a_queued_run_or_an_open_breaker_their_ages_are_zero() {
        let (told, watch) = telling(false);
        let mut whole = some_whole();
        whole.overview.oldest_queued_ms = None;
        whole.overview.breakers.longest_ms = None;
        watch.saw(whole, DEPTH, NOW);
        assert_eq!(told.value("fanfare_queue_oldest_seconds"), Some(0.0));
        assert_eq!(
            told.value("fanfare_provider_breaker_open_seconds"),
            Some(0.0)
        );
    }

    #[test]
    fn a_provider_that_is_no_longer_seen_has_no_age_any_more() {
        let (told, watch) = telling(false);
        watch.saw(some_whole(), DEPTH, NOW);
        assert_eq!(told.series_of("fanfare_provider_freshness_seconds"), 1);
        let mut whole = some_whole();
        whole.ages.clear();
        watch.saw(whole, DEPTH, NOW);
        assert_eq!(told.series_of("fanfare_provider_freshness_seconds"), 0);
        assert_eq!(told.value("fanfare_dataset_version"), None);
    }
}

//! What is read off when somebody looks: nothing here waits.

use opentelemetry::metrics::Meter;

use crate::context::{Context, Weak};

/// Has `meter` read off the state of that API for as long as there is one.
pub(crate) fn observe(meter: &Meter, context: &Weak) {
    let number = |name: &'static str, unit: &'static str, what: &'static str, read: Read<u64>| {
        let context = context.clone();
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(what)
            .with_callback(move |gauge| {
                if let Some(now) = context.upgrade().as_ref().and_then(read) {
                    gauge.observe(now, &[]);
                }
            })
            .build();
    };
    number(
        "fanfare.api.requests.active",
        "{request}",
        "Requests that are past the answers at hand",
        |context| Some(context.active().now()),
    );
    number(
        "fanfare.api.connections",
        "{connection}",
        "Open connections",
        |context| Some(context.connections().now()),
    );
    number(
        "fanfare.cache.size",
        "By",
        "Bytes that the cache in memory takes",
        |context| Some(context.cache().bytes()),
    );
    number(
        "fanfare.cache.entries",
        "{answer}",
        "Answers in the cache in memory",
        |context| Some(context.cache().entries()),
    );
    number(
        "fanfare.cache.breaker",
        "1",
        "1 while the shared cache is left alone after failures",
        |context| Some(u64::from(context.shared()?.is_left_alone())),
    );
    number(
        "fanfare.dataset.version",
        "{version}",
        "The dataset version that is answered from",
        |context| u64::try_from(context.present()?.version.number).ok(),
    );
    let context = context.clone();
    meter
        .f64_observable_gauge("fanfare.dataset.lag")
        .with_unit("s")
        .with_description("How long there may have been a newer version than is answered from")
        .with_callback(move |gauge| {
            if let Some(context) = context.upgrade() {
                gauge.observe(context.lag().as_secs_f64(), &[]);
            }
        })
        .build();
}

/// `None` where there is nothing to read off.
type Read<T> = fn(&Context) -> Option<T>;

//! What looks into the caches lead to.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Meter};

/// What a request's look into this process' cache led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InMemory {
    /// The answer.
    Hit,
    /// A read of its own.
    Miss,
    /// An answer that is older than adopted, for the database is away.
    Stale,
    /// A read that another request had begun.
    Joined,
    /// No answer: the read failed, its own or another's.
    Failed,
}

/// What a look into the shared cache led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shared {
    /// The answer.
    Hit,
    /// It has none.
    Miss,
    /// It did not say, or not in time.
    Failed,
}

/// Looks by layer and by what they led to.
#[derive(Debug)]
pub(super) struct Caches {
    in_memory: [BoundCounter<u64>; 5],
    shared: [BoundCounter<u64>; 3],
}

impl Caches {
    pub(super) fn new(meter: &Meter) -> Self {
        let looks = meter
            .u64_counter("fanfare.cache.requests")
            .with_unit("{request}")
            .with_description("Looks into a cache, by what they led to")
            .build();
        let bound = |layer, led_to| {
            looks.bind(&[
                KeyValue::new("fanfare.layer", layer),
                KeyValue::new("fanfare.cache", led_to),
            ])
        };
        Self {
            in_memory: ["hit", "miss", "stale", "joined", "failed"]
                .map(|led_to| bound("memory", led_to)),
            shared: ["hit", "miss", "failed"].map(|led_to| bound("shared", led_to)),
        }
    }

    pub(super) fn in_memory(&self, led_to: InMemory) {
        self.in_memory[led_to as usize].add(1);
    }

    pub(super) fn shared(&self, led_to: Shared) {
        self.shared[led_to as usize].add(1);
    }
}

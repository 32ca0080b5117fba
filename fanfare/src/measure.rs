//! How the pools of a process are used, for its metrics.

use entity::{Database, Pools};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use queue::Queue;

/// A pool at a moment: its name, and connections used, idle and at most.
type PoolUse = (&'static str, u64, u64, u64);

/// Tells from now on how the pools are used. A process without a queue has none for it.
pub(crate) fn pools(meter: &Meter, db: &Database, queue: Option<&Queue>) {
    let (pools, queue) = (db.pools(), queue.cloned());
    let told = (pools.clone(), queue.clone());
    meter
        .u64_observable_gauge("db.client.connection.usage")
        .with_unit("{connection}")
        .with_description("Open connections of a pool")
        .with_callback(move |observer| {
            for (name, used, idle, _) in look(&told.0, told.1.as_ref()) {
                for (state, connections) in [("used", used), ("idle", idle)] {
                    let state = KeyValue::new("db.client.connection.state", state);
                    observer.observe(connections, &[named(name), state]);
                }
            }
        })
        .build();
    meter
        .u64_observable_gauge("db.client.connection.max")
        .with_unit("{connection}")
        .with_description("Connections that a pool may have")
        .with_callback(move |observer| {
            for (name, _, _, max) in look(&pools, queue.as_ref()) {
                observer.observe(max, &[named(name)]);
            }
        })
        .build();
}

fn look<'a>(pools: &'a Pools, queue: Option<&'a Queue>) -> impl Iterator<Item = PoolUse> + 'a {
    let database = pools
        .look()
        .map(|pool| (pool.name, pool.used, pool.idle, pool.max));
    let queue = queue.and_then(Queue::pool);
    database.chain(queue.map(|pool| ("queue", pool.used, pool.idle, pool.max)))
}

fn named(name: &'static str) -> KeyValue {
    KeyValue::new("db.client.connection.pool.name", name)
}

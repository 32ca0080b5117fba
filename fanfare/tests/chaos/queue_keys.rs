//! What is left in Redis once everything has settled.
//!
//! No key outlives the last job, but a job whose worker was killed stays in flight until the queue
//! forgets it: its id in the in-flight set and the data hash, and its metadata, which name the
//! worker.

use std::collections::BTreeSet;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use crate::world::World;

const IN_FLIGHT: &str = "{fanfare}:inflight";
const DATA: &str = "{fanfare}:data";
const META: &str = "{fanfare}:meta:";

/// Says what is there that must not be.
pub(crate) async fn left(world: &World) -> Result<(), String> {
    let mut redis = connect(world).await;
    let in_flight: BTreeSet<String> = redis.zrange(IN_FLIGHT, 0, -1).await.unwrap();
    for id in &in_flight {
        let key = format!("{META}{id}");
        let holder: Option<String> = redis.hget(key, "locked_by").await.unwrap();
        let died = |pid| holder.iter().any(|name| name.contains(&format!("-{pid}-")));
        if !world.killed().into_iter().any(died) {
            return Err(format!(
                "job {id} is in flight with {holder:?}, which lives"
            ));
        }
    }
    let data: BTreeSet<String> = redis.hkeys(DATA).await.unwrap();
    if data != in_flight {
        return Err(format!("payloads of {data:?}, but {in_flight:?} in flight"));
    }
    let mut allowed: BTreeSet<String> = in_flight.iter().map(|id| format!("{META}{id}")).collect();
    if !in_flight.is_empty() {
        allowed.extend([IN_FLIGHT.to_owned(), DATA.to_owned()]);
    }
    let keys: BTreeSet<String> = redis.keys("*").await.unwrap();
    match keys.difference(&allowed).next() {
        None => Ok(()),
        Some(key) => Err(format!("the key {key} is left")),
    }
}

/// Takes everything out of Redis.
pub(crate) async fn flush(world: &World) {
    let mut redis = connect(world).await;
    let flushed = redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await;
    flushed.unwrap();
}

async fn connect(world: &World) -> MultiplexedConnection {
    let client = redis::Client::open(world.redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

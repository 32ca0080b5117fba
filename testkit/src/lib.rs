//! What tests of every crate share: private servers, fresh databases, real processes, and waiting
//! for a thing that happened.
//!
//! `scripts/test` starts one PostgreSQL and one Redis for all tests; [`Database`] and
//! [`queue_namespace`] give each test a part of its own in them. A test that stops, kills or
//! freezes a server starts its own [`PostgresServer`] or [`RedisServer`]. Nothing outlives the
//! test that made it.
//!
//! This is test code: what fails here panics with what to do about it.

mod child;
mod database;
mod measured;
mod port;
mod postgres;
mod process;
mod program;
mod redis;
mod server;
mod shared;
mod spans;
mod wait;

pub use database::Database;
pub use measured::Measured;
pub use port::{free_listener, free_port};
pub use postgres::{PostgresServer, PostgresStandby};
pub use process::Process;
pub use redis::RedisServer;
pub use rustix::process::Signal;
pub use shared::{SharedServer, postgres_url, redis_url};
pub use spans::{SpanData, Spans, attribute, spans};
pub use wait::{Awaited, eventually};

/// A random name for a test's own queue in a Redis that it shares.
#[must_use]
pub fn queue_namespace() -> String {
    format!("test-{}", uuid::Uuid::new_v4().simple())
}

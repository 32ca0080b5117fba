//! What Fanfare survives: real processes of the real binary, whose servers, peers and clocks fail.
//!
//! Each test owns its PostgreSQL, its Redis and its feeds, causes one kind of fault, and then holds
//! everything that is stored against what was served (`checker`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod checker;
mod clocks;
mod deadly_feed;
mod delivered_twice;
mod embedded;
mod expected;
mod history;
mod postgres_gone;
mod queue_keys;
mod redis_gone;
mod schedulers;
mod sql;
mod stopping;
mod watch;
mod worker_frozen;
mod worker_killed;
mod world;

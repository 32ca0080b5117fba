//! What Fanfare survives: real processes of the real binary, whose servers, peers and clocks fail.
//!
//! Each test owns its PostgreSQL, its Redis and its feeds, causes one kind of fault, and then holds
//! everything that is stored against what was served (`checker`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod checker;
mod expected;
mod history;
mod queue_keys;
mod sql;
mod watch;
mod worker_killed;
mod world;

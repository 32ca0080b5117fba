//! The queue against a real Redis and in this process.
//!
//! `FANFARE_TEST_REDIS_URL` names a Redis to use; without it each test starts its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod chaos;
mod layout;
mod opening;
mod redelivery;
mod released;
mod semantics;
mod stalling;
mod stopping;
mod world;

//! A feed server that behaves like many providers, well and badly: for the demo, tests and benchmarks.
//!
//! [`start`] serves a small made-up world over HTTP, in the `plan-list` format. Everything about it follows from
//! ([`Config`], provider, round): the same three give the same bytes on any machine, and no state is kept, so
//! round 1,000,000 costs no more than round 1. Next to each feed it knows the [truth](Simulator::truth), so that a
//! test can compare every event in a database with what its reader was served.

mod behavior;
mod body;
mod conditions;
mod config;
mod control;
mod document;
mod draw;
mod gzip;
mod plan;
mod provider;
mod serve;
mod server;
mod simulator;
mod stats;
mod truth;
mod words;
mod world;
mod xml;

pub use behavior::Behavior;
pub use config::Config;
pub use provider::UnknownProvider;
pub use server::start;
pub use simulator::Simulator;
pub use stats::{Counts, Stats};
pub use truth::{ExpectedEvent, Reason, SetAside, SetAsideCount, TruthEvent, TruthZone};

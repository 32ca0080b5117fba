//! Several schedulers and workers in one process, over one PostgreSQL and one Redis: what they owe
//! each other, their hosts and their operator.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod control;
mod fairness;
mod politeness;
mod world;

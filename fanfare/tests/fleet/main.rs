//! Several schedulers and workers in one process, over one PostgreSQL and one Redis: what they owe
//! each other, their hosts and their operator.

mod control;
mod fairness;
mod politeness;
mod world;

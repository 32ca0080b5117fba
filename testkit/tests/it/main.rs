//! What the other crates' tests rely on.

mod databases;
mod processes;
mod servers;
mod waiting;

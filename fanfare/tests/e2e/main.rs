//! The whole of Fanfare from outside: the real binary, real databases, real feeds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod acceptance;
mod command_line;
mod demo;
mod distributed;
mod draining;
mod feed;
mod http;
mod inspecting;
mod providers;
mod refused;
mod truth;
mod world;

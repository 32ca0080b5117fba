//! The whole of Fanfare from outside: the real binary, real databases, real feeds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod acceptance;
mod backup;
mod checking;
mod command_line;
mod credentials;
mod demo;
mod distributed;
mod doctor;
mod draining;
mod dump;
mod feed;
mod holding;
mod http;
mod inspecting;
mod logs;
mod metrics;
mod providers;
mod receiver;
mod refused;
mod secrets;
mod sink;
mod terminal;
mod tour;
mod traces;
mod truth;
mod upgrading;
mod world;

//! The real nginx with the configuration that is shipped, in front of two real APIs.
//!
//! Each test runs with each nginx that is to be had: Debian's old one with addresses that are fixed, and a
//! new one that asks for names. Where there is none, a test says so and is left out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod apis;
mod caching;
mod checked;
mod client;
mod closed;
mod conf;
mod faults;
mod large;
mod limits;
mod names;
mod nginx;
mod outage;
mod resolving;
mod rolling;
mod sure;
mod tls;

#[path = "../e2e/feed.rs"]
#[allow(dead_code, reason = "the end-to-end tests need all of it")]
mod feed;
#[path = "../e2e/http.rs"]
#[allow(dead_code, reason = "the end-to-end tests need all of it")]
mod http;
#[path = "../e2e/world.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the end-to-end tests need all of it"
)]
mod world;

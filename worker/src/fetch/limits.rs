//! What a fetch may cost.

use std::time::Duration;

/// What a fetch may cost, whatever the provider sends. Each has an error of its own.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of a body as it comes over the wire, in bytes.
    pub wire: u64,
    /// Of a body, decompressed, in bytes.
    pub body: u64,
    /// How many times larger than on the wire a body may be, judged past 16 MiB.
    pub ratio: u64,
    /// Of an answer's headers, names and values, in bytes.
    pub headers: usize,
    /// Redirects that are followed.
    pub redirects: usize,
    /// For the addresses of a host.
    pub dns: Duration,
    /// For a connection, addresses and TLS included.
    pub connect: Duration,
    /// From asking to an answer's headers, connection included.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wire: 1 << 30,
            body: 2 << 30,
            ratio: 200,
            headers: 64 << 10,
            redirects: 5,
            dns: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(15),
        }
    }
}

/// Header fields of one answer; hyper's own bound.
pub(super) const HEADERS: usize = 100;

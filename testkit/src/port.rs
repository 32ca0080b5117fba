//! Free ports on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};

/// A listener on a free loopback port, for whatever takes a bound socket: no other process can
/// take the port in between.
#[must_use]
pub fn free_listener() -> tokio::net::TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
    listener
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    tokio::net::TcpListener::from_std(listener).expect("this runs inside a tokio runtime")
}

/// A loopback port that was free a moment ago, for programs that bind it themselves.
///
/// It lies below the ports that the kernel gives to outgoing connections, so that it stays free
/// while a server on it is down; another process may still take it first.
#[must_use]
pub fn free_port() -> u16 {
    loop {
        let [high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
        let port = 10_000 + u16::from_be_bytes([high, low]) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

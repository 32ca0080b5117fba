//! `fanfare healthcheck`: a probe for containers, which have no shell and no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::Healthcheck;

const TIMEOUT: Duration = Duration::from_secs(3);
/// Enough of an answer to hold its status line.
const ANSWER: u64 = 1024;

/// Fails unless the process of these addresses answers 200.
pub(crate) async fn run(options: Healthcheck) -> anyhow::Result<()> {
    let address = options
        .observe
        .observe_listen
        .unwrap_or(options.listen.listen);
    let path = if options.ready { "/readyz" } else { "/healthz" };
    let status = probe(address, path).await?;
    if status != 200 {
        bail!("{path} at {address} answers {status}");
    }
    Ok(())
}

/// The status with which the process at that address answers.
pub(crate) async fn probe(address: SocketAddr, path: &str) -> anyhow::Result<u16> {
    tokio::time::timeout(TIMEOUT, ask(reachable(address), path))
        .await
        .with_context(|| format!("no answer from {address} within {} s", TIMEOUT.as_secs()))?
        .with_context(|| format!("no answer from {address}"))
}

/// A process that listens on every address is asked on loopback.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer).await?;
    let line = String::from_utf8_lossy(&answer);
    line.strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .context("the answer is not HTTP/1.1")
}

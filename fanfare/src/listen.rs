//! Sockets, with errors that say what to do.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{anyhow, bail};
use tokio::net::TcpListener;

/// Listens on `address`.
pub(crate) async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "the address {address} is taken by another process: give another one with {option}, \
             or port 0 for any"
        ),
        Err(error) => Err(anyhow!(error).context(format!(
            "can't listen on {address}: give another address with {option}"
        ))),
    }
}

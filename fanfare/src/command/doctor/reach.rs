//! Whether a network leads to a server: its name is known, and somebody takes a connection there.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::finding::{Finding, Group};

const WITHIN: Duration = Duration::from_secs(3);

/// Why nobody was reached.
#[derive(Debug)]
enum Unreached {
    /// The name is not known, or nobody who knows it answers.
    Name(String),
    /// The machine is there, and nobody listens.
    Refused(SocketAddr),
    /// No answer, or no way there.
    Silent(SocketAddr, String),
}

/// Connects to a server, and tells of it as the check `address`. Gives the address that answered.
pub(super) async fn reach(
    group: Group,
    host: &str,
    port: u16,
    setting: &str,
) -> Result<(SocketAddr, Finding), Finding> {
    match connect(host, port).await {
        Ok(address) => Ok((address, group.ok("address", told(host, port, address)))),
        Err(unreached) => Err(judge(group, host, port, setting, &unreached)),
    }
}

fn told(host: &str, port: u16, address: SocketAddr) -> String {
    match host.trim_start_matches('[').trim_end_matches(']') == address.ip().to_string() {
        true => format!("{address} takes connections"),
        false => format!("{host}:{port} is {}, and takes connections", address.ip()),
    }
}

async fn connect(host: &str, port: u16) -> Result<SocketAddr, Unreached> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let named = tokio::time::timeout(WITHIN, tokio::net::lookup_host((bare, port))).await;
    let addresses: Vec<_> = match named {
        Err(_) => return Err(Unreached::Name(too_late())),
        Ok(Err(error)) => return Err(Unreached::Name(error.to_string())),
        Ok(Ok(addresses)) => addresses.collect(),
    };
    let mut unreached = Unreached::Name("the name has no address".to_owned());
    let deadline = tokio::time::Instant::now() + WITHIN;
    for address in addresses {
        match tokio::time::timeout_at(deadline, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                unreached = Unreached::Refused(address);
            }
            Ok(Err(error)) => unreached = Unreached::Silent(address, error.to_string()),
            Err(_) => unreached = Unreached::Silent(address, too_late()),
        }
    }
    Err(unreached)
}

fn too_late() -> String {
    format!("no answer within {} s", WITHIN.as_secs())
}

fn judge(group: Group, host: &str, port: u16, setting: &str, unreached: &Unreached) -> Finding {
    match unreached {
        Unreached::Name(why) => group.error(
            "address",
            format!("the name {host} leads nowhere: {why}"),
            format!(
                "correct the host in {setting}, or the resolver of this machine: \
                 `getent hosts {host}` asks it"
            ),
        ),
        Unreached::Refused(address) => group.error(
            "address",
            format!("nobody listens at {address}"),
            format!(
                "start the server, let it listen on that address, or correct host and port ({port}) \
                 in {setting}"
            ),
        ),
        Unreached::Silent(address, why) => group.error(
            "address",
            format!("no way to {address}: {why}"),
            format!(
                "let firewalls, security groups and network policies pass TCP from here to \
                 {address}, or correct {setting}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::State;

    #[tokio::test]
    async fn a_server_that_listens_is_reached_and_one_that_does_not_is_told_apart() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (address, finding) = reach(Group::Queue, "127.0.0.1", port, "X").await.unwrap();
        assert_eq!((address.port(), finding.state), (port, State::Ok));
        let named = reach(Group::Queue, "localhost", port, "X").await.unwrap().1;
        assert!(named.found.contains("localhost"), "{named:?}");
        drop(listener);
        let gone = reach(Group::Queue, "127.0.0.1", port, "FANFARE_REDIS_URL").await;
        let gone = gone.unwrap_err();
        assert!(gone.found.contains("nobody listens"), "{gone:?}");
        assert!(gone.fix.unwrap().contains("FANFARE_REDIS_URL"));
        let nowhere = reach(Group::Queue, "no-such-host.invalid", 1, "X").await;
        assert!(nowhere.unwrap_err().found.contains("leads nowhere"));
    }
}

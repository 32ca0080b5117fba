//! What listens at our own addresses, asked as `fanfare healthcheck` asks it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use super::finding::{Finding, Group, State};
use crate::cli::All;
use crate::command::healthcheck::{probe, reachable};
use crate::options::ListenOptions;

const GROUP: Group = Group::Process;
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);

/// Looks at both addresses.
pub(super) async fn look(options: &All, found: &mut Vec<Finding>) {
    let ListenOptions { given, listen } = &options.api.listen;
    let of_api = at("FANFARE_LISTEN", *listen).await;
    found.push(match given.0 {
        true => of_api,
        false => by_default(of_api),
    });
    if let Some(address) = options.observe.observe_listen {
        found.push(at("FANFARE_OBSERVE_LISTEN", address).await);
    }
}

/// Where nobody said that an API is to run here, whoever has its usual address may have it.
fn by_default(found: Finding) -> Finding {
    match found.state {
        State::Error => Finding {
            state: State::Note,
            fix: Some(format!(
                "none is needed, unless an API is to run here: then set {} to another address; if it is a \
                 Fanfare, it hangs: restart it",
                found.check
            )),
            ..found
        },
        _ => found,
    }
}

async fn at(setting: &'static str, address: SocketAddr) -> Finding {
    if address.port() == 0 {
        return GROUP.note(setting, "any free port: nobody knows it before the start");
    }
    // Where nobody listens, a machine of one's own says so at once.
    let connected = TcpStream::connect(reachable(address));
    match tokio::time::timeout(CONNECTED_WITHIN, connected).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return judge_free(setting, address, bind(address).map(drop)),
        Err(_) => {
            return match bind(address) {
                // Another machine's, and nothing comes back from there.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    judge_free(setting, address, Err(error))
                }
                _ => not_ours(setting, address, "it takes no connection"),
            };
        }
    }
    let (healthy, ready) = tokio::join!(probe(address, "/healthz"), probe(address, "/readyz"));
    judge(setting, address, healthy, ready)
}

/// Takes the address without listening there: for a role that starts at this very moment it is free.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn judge_free(setting: &'static str, address: SocketAddr, free: io::Result<()>) -> Finding {
    match free {
        Ok(()) => GROUP.note(setting, format!("nobody listens at {address}, which is free")),
        Err(error) => GROUP.warning(
            setting,
            format!("nobody listens at {address}, and nobody could: {error}"),
            format!(
                "set {setting} to an address that this machine has, such as 0.0.0.0:{}, and a port from 1024",
                address.port()
            ),
        ),
    }
}

fn judge(
    setting: &'static str,
    address: SocketAddr,
    healthy: anyhow::Result<u16>,
    ready: anyhow::Result<u16>,
) -> Finding {
    match (healthy, ready) {
        (Ok(200), Ok(200)) => GROUP.ok(
            setting,
            format!("who listens at {address} lives, and is ready"),
        ),
        (Ok(200), Ok(status)) => GROUP.warning(
            setting,
            format!("who listens at {address} lives, and is not ready: /readyz answers {status}"),
            format!(
                "`curl http://{}/readyz` tells why; it may be starting, or stopping",
                reachable(address)
            ),
        ),
        (Ok(200), Err(error)) => not_ours(setting, address, &format!("{error:#}")),
        (Ok(status), _) => not_ours(setting, address, &format!("/healthz answers {status}")),
        (Err(error), _) => not_ours(setting, address, &format!("{error:#}")),
    }
}

fn not_ours(setting: &'static str, address: SocketAddr, why: &str) -> Finding {
    GROUP.error(
        setting,
        format!("somebody listens at {address} and does not answer as Fanfare does: {why}"),
        format!(
            "`ss -ltnp 'sport = :{}'` tells who it is; stop it, or give {setting} another address. If it is a \
             Fanfare, it hangs: restart it",
            address.port()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_judged_by_both_probes() {
        let no = || Err(anyhow::anyhow!("no answer"));
        let address = "127.0.0.1:8080".parse().unwrap();
        for (healthy, ready, state) in [
            (Ok(200), Ok(200), State::Ok),
            (Ok(200), Ok(503), State::Warning),
            (Ok(200), no(), State::Error),
            (Ok(404), Ok(404), State::Error),
            (no(), no(), State::Error),
        ] {
            let found = judge("FANFARE_LISTEN", address, healthy, ready);
            assert_eq!(found.state, state, "{found:?}");
        }
        assert_eq!(
            judge_free("FANFARE_LISTEN", address, Ok(())).state,
            State::Note
        );
        let taken = judge_free(
            "FANFARE_LISTEN",
            address,
            Err(io::ErrorKind::AddrNotAvailable.into()),
        );
        assert_eq!(taken.state, State::Warning);
    }

    #[tokio::test]
    async fn an_address_that_nobody_has_is_free_and_stays_so() {
        let address = ([127, 0, 0, 1], testkit::free_port()).into();
        let found = at("FANFARE_LISTEN", address).await;
        assert_eq!(found.state, State::Note, "{found:?}");
        let foreign = at("FANFARE_LISTEN", "192.0.2.1:80".parse().unwrap()).await;
        assert_eq!(foreign.state, State::Warning, "{foreign:?}");
    }

    #[tokio::test]
    async fn a_role_can_start_at_an_address_while_it_is_looked_at() {
        let bound = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = bound.local_addr().unwrap();
        let role = tokio::net::TcpListener::bind(address).await.unwrap();
        drop(bound);
        // Now it is the role's alone.
        assert!(bind(address).is_err());
        TcpStream::connect(address).await.unwrap();
        drop(role);
    }

    #[tokio::test]
    async fn whoever_has_the_apis_usual_address_may_have_it_unless_it_was_given() {
        let foreign = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = foreign.local_addr().unwrap();
        tokio::spawn(async move {
            // It takes connections, and hangs up.
            while foreign.accept().await.is_ok() {}
        });
        let found = at("FANFARE_LISTEN", address).await;
        assert_eq!(found.state, State::Error, "{found:?}");
        let found = by_default(found);
        assert_eq!(found.state, State::Note, "{found:?}");
        assert!(found.fix.as_ref().unwrap().contains("FANFARE_LISTEN"));
        // What is ours and not ready is worth a warning in either case.
        let not_ready = judge("FANFARE_LISTEN", address, Ok(200), Ok(503));
        assert_eq!(by_default(not_ready).state, State::Warning);
    }
}

//! What listens at our own addresses, asked as `fanfare healthcheck` asks it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::finding::{Finding, Group};
use crate::cli::Doctor;
use crate::command::healthcheck::{probe, reachable};
use crate::listen::listen;

const GROUP: Group = Group::Process;
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);

/// Looks at both addresses.
pub(super) async fn look(options: &Doctor, found: &mut Vec<Finding>) {
    found.extend(at("FANFARE_LISTEN", options.api.listen.listen).await);
    if let Some(address) = options.observe.observe_listen {
        found.extend(at("FANFARE_OBSERVE_LISTEN", address).await);
    }
}

async fn at(setting: &'static str, address: SocketAddr) -> Vec<Finding> {
    if address.port() == 0 {
        return vec![GROUP.note(setting, "any free port: nobody knows it before the start")];
    }
    // Where nobody listens, a machine of one's own says so at once.
    let connected = TcpStream::connect(reachable(address));
    match tokio::time::timeout(CONNECTED_WITHIN, connected).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => {
            let free = listen(address, "").await.map(drop);
            return vec![judge_free(setting, address, free)];
        }
        Err(_) => return vec![not_ours(setting, address, "it takes no connection")],
    }
    let (healthy, ready) = tokio::join!(probe(address, "/healthz"), probe(address, "/readyz"));
    judge(setting, address, healthy, ready)
}

fn judge_free(setting: &'static str, address: SocketAddr, free: anyhow::Result<()>) -> Finding {
    match free {
        Ok(()) => GROUP.note(setting, format!("nobody listens at {address}, which is free")),
        Err(error) => GROUP.warning(
            setting,
            format!("nobody listens at {address}, and nobody could: {}", error.root_cause()),
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
) -> Vec<Finding> {
    match (healthy, ready) {
        (Ok(200), Ok(200)) => vec![GROUP.ok(
            setting,
            format!("who listens at {address} lives, and is ready"),
        )],
        (Ok(200), Ok(status)) => vec![GROUP.warning(
            setting,
            format!("who listens at {address} lives, and is not ready: /readyz answers {status}"),
            format!(
                "`curl http://{}/readyz` tells why; it may be starting, or stopping",
                reachable(address)
            ),
        )],
        (Ok(200), Err(error)) => vec![not_ours(setting, address, &format!("{error:#}"))],
        (Ok(status), _) => vec![not_ours(
            setting,
            address,
            &format!("/healthz answers {status}"),
        )],
        (Err(error), _) => vec![not_ours(setting, address, &format!("{error:#}"))],
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
    use crate::command::doctor::finding::State;

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
            assert_eq!(found[0].state, state, "{found:?}");
        }
        assert_eq!(
            judge_free("FANFARE_LISTEN", address, Ok(())).state,
            State::Note
        );
        let taken = judge_free(
            "FANFARE_LISTEN",
            address,
            Err(anyhow::anyhow!("no such address")),
        );
        assert_eq!(taken.state, State::Warning);
    }

    #[tokio::test]
    async fn an_address_that_nobody_has_is_free_and_stays_so() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let found = at("FANFARE_LISTEN", address).await;
        assert_eq!(found[0].state, State::Note, "{found:?}");
        let foreign = at("FANFARE_LISTEN", "192.0.2.1:80".parse().unwrap()).await;
        assert_eq!(foreign[0].state, State::Warning, "{foreign:?}");
    }
}

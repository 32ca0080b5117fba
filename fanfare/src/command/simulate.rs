//! `fanfare simulate`.

use anyhow::Context;

use crate::cli::Simulate;
use crate::listen::listen;
use crate::{show, stop};

/// Serves simulated feeds until a signal.
pub(crate) async fn run(options: Simulate) -> anyhow::Result<()> {
    let shutdown = stop::on_signal()?;
    let listener = listen(options.listen, "--listen").await?;
    let address = listener.local_addr().context("a socket has an address")?;
    let config = simulator::Config {
        seed: options.seed,
        providers: options.providers,
        events: options.events,
        round_every: options.round,
        ..simulator::Config::default()
    };
    let simulator = simulator::start(listener, config, shutdown.clone());
    show::line(&format!("listening on http://{address}"));
    show::line(&format!(
        "{} simulated; a provider file for them is at http://{address}/providers.toml",
        show::count(options.providers as u64, "provider")
    ));
    shutdown.cancelled().await;
    simulator.stopped().await;
    Ok(())
}

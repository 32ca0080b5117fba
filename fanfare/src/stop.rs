//! Signals to shutdown token: the first one drains, the second one ends at once.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that a second signal ended.
const ENDED_AT_ONCE: i32 = 130;

/// A token that fires with the first SIGINT or SIGTERM.
pub(crate) fn on_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("can't listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
    let token = CancellationToken::new();
    let fired = token.clone();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        fired.cancel();
        either(&mut interrupt, &mut terminate).await;
        // Nothing is lost: the database takes back what this process held.
        std::process::exit(ENDED_AT_ONCE);
    });
    Ok(token)
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

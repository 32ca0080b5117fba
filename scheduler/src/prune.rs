//! Deletes what is older than it is kept, a little at a time, beside the ticks.

use std::time::Duration;

use entity::Database;
use entity::retention::{self, Retention};
use tokio_util::sync::CancellationToken;

/// From one look at what is old to the next.
const PAUSE: Duration = Duration::from_secs(60);
/// Between two batches of one look, so that claims and commits come first.
const BREATH: Duration = Duration::from_millis(100);
/// After so much silence a worker is no longer listed.
const FORGET_WORKER: Duration = Duration::from_secs(3600);

/// Prunes until `shutdown` fires.
pub(crate) async fn run(db: Database, retention: Retention, shutdown: CancellationToken) {
    let mut pause = BREATH;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match retention::prune(&db, retention).await {
            Ok(0) => PAUSE,
            Ok(rows) => {
                tracing::debug!(rows, "old rows pruned");
                BREATH
            }
            Err(error) => {
                tracing::debug!(error = %telemetry::Chain(&error), "old rows could not be pruned, trying again");
                PAUSE
            }
        };
        if let Err(error) = entity::worker::forget_silent(&db, FORGET_WORKER).await {
            tracing::debug!(error = %telemetry::Chain(&error), "silent workers could not be forgotten, trying again");
        }
    }
}

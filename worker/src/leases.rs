//! The runs that a worker process holds, and their signs of life.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entity::Database;
use entity::lease::{self, Held};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The runs in hand, by id. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases(Arc<Mutex<HashMap<Uuid, Entry>>>);

#[derive(Debug, Clone)]
struct Entry {
    token: i64,
    taken: CancellationToken,
}

/// A run in hand; letting go of it ends its renewal.
#[derive(Debug)]
pub(crate) struct Lease {
    run: Uuid,
    token: i64,
    leases: Leases,
    /// Fires when the run turns out to be no longer this worker's.
    pub(crate) taken: CancellationToken,
}

impl Leases {
    /// Takes a run that has just begun into renewal.
    pub(crate) fn hold(&self, held: &Held) -> Lease {
        let taken = CancellationToken::new();
        let entry = Entry {
            token: held.token,
            taken: taken.clone(),
        };
        self.entries(|entries| entries.insert(held.run, entry));
        Lease {
            run: held.run,
            token: held.token,
            leases: self.clone(),
            taken,
        }
    }

    fn entries<T>(&self, f: impl FnOnce(&mut HashMap<Uuid, Entry>) -> T) -> T {
        // A panic elsewhere leaves the map whole.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Renews all leases four times in the time of one, until `stop` fires. A run that the database
    /// no longer gives to this worker is cancelled on the spot.
    pub(crate) async fn renew(
        self,
        db: Database,
        worker: String,
        lease: Duration,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(lease / 4);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // Taken before the statement: what begins meanwhile is not missed from its answer.
            let held = self.entries(|entries| entries.clone());
            if held.is_empty() {
                continue;
            }
            match lease::renew(&db, &worker, lease).await {
                Ok(renewed) => cancel_taken(&held, &renewed),
                Err(error) => {
                    tracing::warn!(%error, runs = held.len(), "leases could not be renewed, trying again");
                }
            }
        }
    }
}

fn cancel_taken(held: &HashMap<Uuid, Entry>, renewed: &[(Uuid, i64)]) {
    let renewed: HashMap<_, _> = renewed.iter().copied().collect();
    for (run, entry) in held {
        if renewed.get(run) != Some(&entry.token) {
            entry.taken.cancel();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.entries(|entries| {
            // The same run may have been begun again since, under a higher token.
            if entries
                .get(&self.run)
                .is_some_and(|entry| entry.token == self.token)
            {
                entries.remove(&self.run);
            }
        });
    }
}

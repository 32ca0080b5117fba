//! The runs that a worker process holds, and their signs of life.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entity::lease::{self, Held};
use entity::{Database, DbErr};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The runs in hand, by id. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases(Arc<Mutex<HashMap<Uuid, Entry>>>);

#[derive(Debug, Clone)]
struct Entry {
    token: i64,
    suspect: bool,
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
    /// Takes a run that has just begun into renewal. `None`: it is a suspect, which may have killed
    /// its last worker, and another suspect is held already.
    pub(crate) fn hold(&self, held: &Held, suspect: bool) -> Option<Lease> {
        let taken = CancellationToken::new();
        let entry = Entry {
            token: held.token,
            suspect,
            taken: taken.clone(),
        };
        self.entries(|entries| {
            if suspect && entries.values().any(|entry| entry.suspect) {
                return None;
            }
            entries.insert(held.run, entry);
            Some(Lease {
                run: held.run,
                token: held.token,
                leases: self.clone(),
                taken,
            })
        })
    }

    /// Whether a suspect is held.
    pub(crate) fn hold_suspect(&self) -> bool {
        self.entries(|entries| entries.values().any(|entry| entry.suspect))
    }

    /// How many are held.
    pub(crate) fn count(&self) -> usize {
        self.entries(|entries| entries.len())
    }

    fn entries<T>(&self, f: impl FnOnce(&mut HashMap<Uuid, Entry>) -> T) -> T {
        // A panic elsewhere leaves the map whole.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Renews all leases four times in the time of one, until `stop` fires, and looks in between
    /// whether they are still this worker's. A run that the database no longer gives to it is
    /// cancelled on the spot.
    pub(crate) async fn renew(self, signs: Signs, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK.min(signs.lease / 4));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            signs.turns.beat();
            // Taken before the statement: what begins meanwhile is not missed from its answer.
            let held = self.entries(|entries| entries.clone());
            let due = renewed.is_none_or(|at| at.elapsed() >= signs.lease / 4);
            if !due && held.is_empty() {
                continue;
            }
            let look = async {
                match due {
                    true => signs.give(&held).await,
                    false => lease::held(&signs.db, &signs.worker).await,
                }
            };
            // A server that vanished without a word leaves a connection on which nothing ever comes.
            let owned = tokio::time::timeout(signs.lease, look)
                .await
                .unwrap_or_else(|_| Err(DbErr::Custom("no answer within a lease".to_owned())));
            match owned {
                Ok(owned) => {
                    cancel_taken(&held, &owned);
                    if due {
                        renewed = Some(Instant::now());
                        signs.pulse.beat();
                    }
                }
                Err(error) if due && !held.is_empty() => {
                    tracing::warn!(error = %telemetry::Chain(&error), runs = held.len(), "leases could not be renewed, trying again");
                }
                Err(error) => {
                    tracing::debug!(error = %telemetry::Chain(&error), "leases could not be looked at")
                }
            }
        }
    }
}

/// From one look at the leases to the next: within this time a pause stops a sync.
const LOOK: Duration = Duration::from_secs(1);

/// A worker's signs of life.
#[derive(Debug)]
pub(crate) struct Signs {
    pub(crate) db: Database,
    pub(crate) worker: String,
    pub(crate) concurrency: usize,
    pub(crate) lease: Duration,
    /// Beats with each of them that the database has taken.
    pub(crate) pulse: telemetry::Pulse,
    /// Beats with each look at the leases.
    pub(crate) turns: telemetry::Pulse,
}

impl Signs {
    /// One for the process, and one for the runs that it knows to hold.
    async fn give(&self, held: &HashMap<Uuid, Entry>) -> Result<Vec<(Uuid, i64)>, DbErr> {
        let version = env!("CARGO_PKG_VERSION");
        entity::worker::beat(&self.db, &self.worker, version, self.concurrency).await?;
        let runs: Vec<Uuid> = held.keys().copied().collect();
        lease::renew(&self.db, &self.worker, &runs, self.lease).await
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

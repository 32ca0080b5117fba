//! A look at the whole every few seconds, beside the ticks, for those who watch it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use entity::overview::{self, Age, Overview};
use entity::{Database, DbErr};
use queue::{Depth, Producer};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// The longest that a look may take; what has not answered by then is left for the next one.
const LOOK: Duration = Duration::from_secs(3);
/// What was seen so long ago is not told any more: nothing is better than what is no longer so.
pub(crate) const STALE: Duration = Duration::from_secs(30);
/// As many providers have their age told one by one. Above, none has: which are left out would be by
/// chance.
pub(crate) const MOST_AGES: i64 = 1_000;

/// What the database knew.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) overview: Overview,
    /// Of the providers, if there are no more than [`MOST_AGES`].
    pub(crate) ages: Vec<Age>,
}

/// What was seen last. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

/// The two are looked at apart: either may be away.
#[derive(Debug, Default)]
struct Seen {
    database: Option<(Instant, Arc<Whole>)>,
    queue: Option<(Instant, Depth)>,
}

impl Watch {
    /// What the database knew a moment ago.
    pub(crate) fn whole(&self) -> Option<Arc<Whole>> {
        let seen = self.seen();
        let (at, whole) = seen.database.as_ref()?;
        (at.elapsed() <= STALE).then(|| Arc::clone(whole))
    }

    /// What the queue held a moment ago.
    pub(crate) fn depth(&self) -> Option<Depth> {
        let (at, depth) = self.seen().queue?;
        (at.elapsed() <= STALE).then_some(depth)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing that holds it can panic midway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks every `pause` until `shutdown` fires, and then no longer.
    pub(crate) async fn run(
        self,
        db: Database,
        producer: Producer,
        lease: Duration,
        pause: Duration,
        shutdown: CancellationToken,
    ) {
        let mut looks = tokio::time::interval(pause);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            loop {
                looks.tick().await;
                tokio::join!(
                    self.look_at_database(&db, lease),
                    self.look_at_queue(&producer)
                );
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = looking => {}
        }
    }

    async fn look_at_database(&self, db: &Database, lease: Duration) {
        match tokio::time::timeout(LOOK, whole(db, lease)).await {
            Ok(Ok(whole)) => self.seen().database = Some((Instant::now(), Arc::new(whole))),
            Ok(Err(error)) => {
                tracing::debug!(error = %telemetry::Chain(&error), "the whole could not be looked at");
            }
            Err(_) => tracing::debug!("the database did not tell of the whole in time"),
        }
    }

    async fn look_at_queue(&self, producer: &Producer) {
        match tokio::time::timeout(LOOK, producer.depth()).await {
            Ok(Ok(depth)) => self.seen().queue = Some((Instant::now(), depth)),
            Ok(Err(error)) => {
                tracing::debug!(error = %telemetry::Chain(&error), "the queue could not be looked at");
            }
            Err(_) => tracing::debug!("the queue did not tell of its jobs in time"),
        }
    }
}

async fn whole(db: &Database, lease: Duration) -> Result<Whole, DbErr> {
    let overview = overview::overview(db, lease).await?;
    let ages = if overview.staleness.providers() <= MOST_AGES {
        overview::ages(db, MOST_AGES).await?
    } else {
        Vec::new()
    };
    Ok(Whole { overview, ages })
}

#[cfg(test)]
pub(crate) mod tests {
    use entity::overview::{Breakers, Staleness};

    use super::*;

    impl Watch {
        /// As if this had been seen so long ago.
        pub(crate) fn saw(&self, whole: Whole, depth: Depth, ago: Duration) {
            let at = Instant::now() - ago;
            let mut seen = self.seen();
            seen.database = Some((at, Arc::new(whole)));
            seen.queue = Some((at, depth));
        }
    }

    pub(crate) fn some_whole() -> Whole {
        Whole {
            overview: Overview {
                version: 7,
                queued: 120,
                oldest_queued_ms: Some(90_500),
                running: 16,
                begun_lately: 240,
                workers: 2,
                staleness: Staleness {
                    fresh: 5,
                    late: 4,
                    stale: 3,
                    never: 2,
                    paused: 1,
                },
                breakers: Breakers {
                    closed: 12,
                    half_open: 1,
                    open: 1,
                    longest_ms: Some(3_600_000),
                },
                holding: 1,
            },
            ages: vec![Age {
                provider: "acme".to_owned(),
                ms: 1_500,
            }],
        }
    }

    pub(crate) const DEPTH: Depth = Depth {
        waiting: 100,
        in_flight: 20,
    };

    #[test]
    fn what_was_seen_is_told_for_half_a_minute() {
        let watch = Watch::default();
        assert!(watch.whole().is_none() && watch.depth().is_none());
        watch.saw(some_whole(), DEPTH, Duration::from_secs(25));
        assert!(watch.whole().is_some());
        assert_eq!(watch.depth(), Some(DEPTH));
        watch.saw(some_whole(), DEPTH, Duration::from_secs(31));
        assert!(watch.whole().is_none() && watch.depth().is_none());
    }
}

//! Whether the consumers of a process still go round.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

/// At least this often a consumer goes round, unless the queue keeps it waiting.
pub(crate) const TURN: Duration = Duration::from_secs(5);

/// When each consumer of a queue last went round. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<Uuid, State>>>);

#[derive(Debug, Clone, Copy)]
struct State {
    turned: Instant,
    /// Jobs that were handed to the worker and that it has not taken up.
    untaken: usize,
    /// Since when the worker has taken up none of them.
    untaken_since: Instant,
}

impl Turns {
    /// A consumer that begins.
    pub(crate) fn register(&self) -> Turning {
        let turning = Turning {
            id: Uuid::new_v4(),
            turns: self.clone(),
        };
        let now = Instant::now();
        let state = State {
            turned: now,
            untaken: 0,
            untaken_since: now,
        };
        self.states(|states| states.insert(turning.id, state));
        turning
    }

    /// Whether some consumer has not gone round, or its worker has let jobs lie, for longer.
    pub(crate) fn stalled(&self, longest: Duration) -> bool {
        self.stalled_at(Instant::now(), longest)
    }

    fn stalled_at(&self, now: Instant, longest: Duration) -> bool {
        let for_long = |since| now.saturating_duration_since(since) > longest;
        self.states(|states| {
            states.values().any(|state| {
                for_long(state.turned) || (state.untaken > 0 && for_long(state.untaken_since))
            })
        })
    }

    fn states<T>(&self, f: impl FnOnce(&mut HashMap<Uuid, State>) -> T) -> T {
        // A panic elsewhere leaves the map whole.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One consumer's part in it, until it ends. Both ends of its channel hold it.
#[derive(Debug)]
pub(crate) struct Turning {
    id: Uuid,
    turns: Turns,
}

impl Turning {
    pub(crate) fn turn(&self) {
        self.change(|state| state.turned = Instant::now());
    }

    /// Jobs go to the worker.
    pub(crate) fn hand(&self, jobs: usize) {
        self.change(|state| {
            if state.untaken == 0 {
                state.untaken_since = Instant::now();
            }
            state.untaken += jobs;
        });
    }

    /// The worker has taken one up.
    pub(crate) fn take(&self) {
        self.change(|state| {
            state.untaken = state.untaken.saturating_sub(1);
            state.untaken_since = Instant::now();
        });
    }

    fn change(&self, f: impl FnOnce(&mut State)) {
        self.turns.states(|states| {
            if let Some(state) = states.get_mut(&self.id) {
                f(state);
            }
        });
    }
}

impl Drop for Turning {
    fn drop(&mut self) {
        self.turns.states(|states| states.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    #[test]
    fn consumer_that_goes_round_and_whose_jobs_are_taken_is_not_stalled() {
        let turns = Turns::default();
        let later = Instant::now() + 2 * LONGEST;
        assert!(!turns.stalled_at(later, LONGEST), "nobody has begun");
        let [one, other] = [turns.register(), turns.register()];
        assert!(!turns.stalled(LONGEST));
        assert!(turns.stalled_at(later, LONGEST));
        drop(one);
        assert!(turns.stalled_at(later, LONGEST));
        drop(other);
        assert!(!turns.stalled_at(later, LONGEST), "all have ended");
    }

    #[test]
    fn worker_that_lets_jobs_lie_is_stalled_although_its_consumer_goes_round() {
        let turns = Turns::default();
        let turning = turns.register();
        turning.hand(2);
        let rounds = |ahead: Duration| {
            turning.change(|state| state.turned += ahead);
            turns.stalled_at(Instant::now() + ahead, LONGEST)
        };
        assert!(!rounds(LONGEST / 2));
        assert!(rounds(2 * LONGEST));
        turning.take();
        assert!(rounds(2 * LONGEST), "one of two lies still");
        turning.take();
        assert!(!rounds(2 * LONGEST));
        turning.take();
        turning.hand(1);
        assert!(rounds(2 * LONGEST), "one too many was not counted");
    }
}

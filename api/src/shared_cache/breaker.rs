//! When to leave a server alone.
//!
//! After a few failures in a row nobody is let through for a second. Then one is, to try: while it
//! is under way nobody else, and after another failure nobody for twice as long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Trouble;

const FAILURES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug)]
enum State {
    /// All are let through; so many have failed since one succeeded.
    Closed { failures: u32 },
    /// Nobody is let through before `until`, and one at a time from then on.
    Open {
        since: Instant,
        until: Instant,
        pause: Duration,
        trying: bool,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Leave to ask the server, which is to be told how that went. `None` to go without it.
    pub(super) fn pass(self: &Arc<Self>) -> Option<Pass> {
        let tries = match &mut *self.state() {
            State::Closed { .. } => false,
            State::Open { trying: true, .. } => return None,
            State::Open { until, .. } if Instant::now() < *until => return None,
            State::Open { trying, .. } => {
                *trying = true;
                true
            }
        };
        let breaker = Arc::clone(self);
        Some(Pass { breaker, tries })
    }

    /// The same for what need not be tried with.
    pub(super) fn pass_if_closed(self: &Arc<Self>) -> Option<Pass> {
        let State::Closed { .. } = *self.state() else {
            return None;
        };
        let breaker = Arc::clone(self);
        let tries = false;
        Some(Pass { breaker, tries })
    }

    /// Whether the server is left alone, or just tried again.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.state(), State::Open { .. })
    }

    /// No step here leaves it half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to ask the server once. Dropped without a word, it counts neither way.
#[derive(Debug)]
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    tries: bool,
}

impl Pass {
    pub(super) fn succeeded(self) {
        let mut state = self.breaker.state();
        match &*state {
            State::Open { since, .. } if self.tries => {
                let outage_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(outage_ms, "the shared cache answers again");
                *state = State::default();
            }
            // From before it opened.
            State::Open { .. } => {}
            State::Closed { .. } => *state = State::default(),
        }
    }

    pub(super) fn failed(self, trouble: &Trouble) {
        let now = Instant::now();
        let mut state = self.breaker.state();
        match &mut *state {
            State::Open { until, pause, .. } if self.tries => {
                *pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                *until = now + *pause;
            }
            // From before it opened.
            State::Open { .. } => {}
            State::Closed { failures } if *failures + 1 < FAILURES => *failures += 1,
            State::Closed { .. } => {
                let error = telemetry::Chain(trouble).to_string();
                tracing::warn!(
                    error,
                    "the shared cache fails, going without it for a while"
                );
                *state = State::Open {
                    since: now,
                    until: now + FIRST_PAUSE,
                    pause: FIRST_PAUSE,
                    trying: false,
                };
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.tries
            && let State::Open { trying, .. } = &mut *self.breaker.state()
        {
            *trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn fail(breaker: &Arc<Breaker>) {
        breaker.pass().unwrap().failed(&Trouble::Busy);
    }

    fn opened() -> Arc<Breaker> {
        let breaker = Arc::default();
        (0..FAILURES).for_each(|_| fail(&breaker));
        breaker
    }

    /// How long nobody is let through from now on.
    async fn pause(breaker: &Arc<Breaker>) -> Duration {
        let start = Instant::now();
        while breaker.pass().is_none() {
            advance(Duration::from_millis(100)).await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row() {
        let breaker = Arc::default();
        for _ in 0..5 {
            fail(&breaker);
            fail(&breaker);
            breaker.pass().unwrap().succeeded();
        }
        fail(&breaker);
        fail(&breaker);
        assert!(breaker.pass_if_closed().is_some());
        fail(&breaker);
        assert!(breaker.pass().is_none() && breaker.pass_if_closed().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_try_doubles_the_pause_up_to_30_seconds() {
        let breaker = opened();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(pause(&breaker).await, Duration::from_secs(seconds));
            fail(&breaker);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_tries_and_the_others_go_without() {
        let breaker = opened();
        advance(FIRST_PAUSE).await;
        assert!(breaker.pass_if_closed().is_none());
        let trying = breaker.pass().unwrap();
        assert!(breaker.pass().is_none() && breaker.pass_if_closed().is_none());
        trying.succeeded();
        assert!(breaker.pass().is_some() && breaker.pass_if_closed().is_some());
        fail(&breaker);
        assert!(breaker.pass().is_some(), "the count starts again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_says_nothing_leaves_the_next_one_to_try() {
        let breaker = opened();
        advance(FIRST_PAUSE).await;
        drop(breaker.pass().unwrap());
        assert!(breaker.pass_if_closed().is_none());
        assert!(breaker.pass().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_before_it_opened_changes_nothing() {
        let breaker = Arc::default();
        let early: Vec<Pass> = (0..4).map_while(|_| Breaker::pass(&breaker)).collect();
        (0..FAILURES).for_each(|_| fail(&breaker));
        for (at, pass) in early.into_iter().enumerate() {
            match at % 2 {
                0 => pass.failed(&Trouble::Busy),
                _ => pass.succeeded(),
            }
        }
        assert_eq!(pause(&breaker).await, FIRST_PAUSE);
        assert!(breaker.pass_if_closed().is_none());
    }
}

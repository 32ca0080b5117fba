//! Times in which the source does not answer: one log line when they begin, one when they end.

use std::{
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// How long to wait before the next try: doubles from 50 ms to 2 s, and jitter takes off up to
/// half, so that the workers of a cluster do not come back in step.
pub(crate) fn backoff(failures: u32) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled
        .min(LONGEST_DELAY)
        .mul_f64(rand::random_range(0.5..=1.0))
}

/// How many consumers get no answer from the source. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Silent(Arc<AtomicUsize>);

impl Silent {
    pub(crate) fn is(&self) -> bool {
        self.0.load(Relaxed) > 0
    }
}

#[derive(Debug)]
pub(crate) struct Outage {
    since: Option<Instant>,
    silent: Silent,
}

impl Outage {
    /// None is on; others see of it by `silent`.
    pub(crate) fn new(silent: Silent) -> Self {
        Self {
            since: None,
            silent,
        }
    }

    pub(crate) fn begins(&mut self, worker: &str, error: &dyn std::error::Error) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.silent.0.fetch_add(1, Relaxed);
            tracing::warn!(worker, error = %Chain(error), "queue does not answer, trying again until it does");
        }
    }

    pub(crate) fn ends(&mut self, worker: &str) {
        if let Some(since) = self.since.take() {
            self.silent.0.fetch_sub(1, Relaxed);
            let outage_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(worker, outage_ms, "queue answers again");
        }
    }
}

/// A consumer that stops amid an outage knows of none any more.
impl Drop for Outage {
    fn drop(&mut self) {
        if self.since.is_some() {
            self.silent.0.fetch_sub(1, Relaxed);
        }
    }
}

/// An error with its causes on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_silent_until_it_answers_all_who_still_ask() {
        let silent = Silent::default();
        let error = std::io::Error::other("gone");
        let [mut one, mut other] = [(); 2].map(|()| Outage::new(silent.clone()));
        one.begins("one", &error);
        other.begins("other", &error);
        other.begins("other", &error);
        one.ends("one");
        assert!(silent.is());
        drop(other);
        assert!(!silent.is());
        one.ends("one");
        assert!(!silent.is());
    }

    #[test]
    fn backoff_grows_from_50_ms_to_2_s() {
        assert!(backoff(1) <= FIRST_DELAY && backoff(1) >= FIRST_DELAY / 2);
        assert!(backoff(3) <= FIRST_DELAY * 4 && backoff(3) >= FIRST_DELAY * 2);
        for failures in [7, 40, u32::MAX] {
            assert!(backoff(failures) <= LONGEST_DELAY);
            assert!(backoff(failures) >= LONGEST_DELAY / 2);
        }
    }
}

//! Whether this scheduler may judge others by their silence: it may be the one that was away.

use std::time::{Duration, Instant};

/// For how long a scheduler has had the database without a break.
#[derive(Debug)]
pub(crate) struct Steadiness {
    lease: Duration,
    since: Option<Instant>,
    last: Option<Instant>,
    failing: bool,
}

impl Steadiness {
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            lease,
            since: None,
            last: None,
            failing: false,
        }
    }

    /// Reaping waits for one unbroken lease: after an outage of the database, or of this process,
    /// all workers' signs of life are old through no fault of theirs.
    pub(crate) fn allows_reaping(&self, now: Instant) -> bool {
        let unbroken = self.last.is_some_and(|last| now - last < self.lease / 2);
        unbroken && self.since.is_some_and(|since| now - since >= self.lease)
    }

    /// A tick had the database. True if the one before had not.
    pub(crate) fn succeeded(&mut self, now: Instant) -> bool {
        let broken = self.last.is_none_or(|last| now - last >= self.lease / 2);
        if broken || self.failing {
            self.since = Some(now);
        }
        self.last = Some(now);
        std::mem::take(&mut self.failing)
    }

    /// A tick had not. True if the one before had.
    pub(crate) fn failed(&mut self) -> bool {
        self.since = None;
        self.last = None;
        !std::mem::replace(&mut self.failing, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(20);

    fn steady(start: Instant, seconds: u64) -> Steadiness {
        let mut steadiness = Steadiness::new(LEASE);
        for second in 0..=seconds {
            steadiness.succeeded(start + Duration::from_secs(second));
        }
        steadiness
    }

    #[test]
    fn reaping_waits_for_one_unbroken_lease() {
        let start = Instant::now();
        assert!(!steady(start, 19).allows_reaping(start + Duration::from_secs(19)));
        assert!(steady(start, 20).allows_reaping(start + Duration::from_secs(20)));
    }

    #[test]
    fn an_outage_starts_the_wait_anew_and_is_told_once() {
        let start = Instant::now();
        let mut steadiness = steady(start, 30);
        assert!(steadiness.failed());
        assert!(!steadiness.failed());
        let back = start + Duration::from_secs(33);
        assert!(steadiness.succeeded(back));
        assert!(!steadiness.succeeded(back + Duration::from_secs(1)));
        assert!(!steadiness.allows_reaping(back + Duration::from_secs(2)));
    }

    #[test]
    fn a_scheduler_that_was_frozen_starts_the_wait_anew() {
        let start = Instant::now();
        let mut steadiness = steady(start, 30);
        let thawed = start + Duration::from_secs(90);
        assert!(!steadiness.allows_reaping(thawed));
        steadiness.succeeded(thawed);
        assert!(!steadiness.allows_reaping(thawed + Duration::from_secs(1)));
    }
}

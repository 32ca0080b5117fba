//! Whether what runs in the background does what it is there for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When something last went well, or was tried. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// It has just gone well.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// It went well then.
    pub fn beat_at(&self, at: Instant) {
        // An instant is never half-written.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Whether that was `longest` ago at most; false if it has not happened yet.
    #[must_use]
    pub fn within(&self, longest: Duration) -> bool {
        self.last().is_some_and(|last| last.elapsed() <= longest)
    }

    /// Whether it has gone well once, but not for longer than `longest`.
    #[must_use]
    pub fn stopped(&self, longest: Duration) -> bool {
        self.last().is_some_and(|last| last.elapsed() > longest)
    }

    fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_felt_for_a_while_after_a_beat_and_not_before_the_first() {
        let second = Duration::from_secs(1);
        let pulse = Pulse::default();
        assert!(!pulse.within(60 * second) && !pulse.stopped(second));
        pulse.clone().beat();
        assert!(pulse.within(60 * second));
        pulse.beat_at(Instant::now() - 10 * second);
        assert!(pulse.within(60 * second) && !pulse.within(9 * second));
        assert!(pulse.stopped(9 * second) && !pulse.stopped(60 * second));
    }
}

//! Waiting for a thing that happened, never for a while.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// What a condition answers: `true` or `Some` when it holds.
pub trait Awaited {
    /// What [`eventually`] returns.
    type Value;

    /// The value, if the condition holds.
    fn held(self) -> Option<Self::Value>;
}

impl Awaited for bool {
    type Value = ();

    fn held(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Awaited for Option<T> {
    type Value = T;

    fn held(self) -> Option<T> {
        self
    }
}

/// Asks every few milliseconds until `condition` holds, and returns its value.
///
/// The timeout is a safety net and counts real time, also where tokio's clock is paused.
///
/// # Panics
/// When the timeout passes first: `what` says what was waited for.
pub async fn eventually<A: Awaited>(
    timeout: Duration,
    what: impl Display,
    mut condition: impl AsyncFnMut() -> A,
) -> A::Value {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(value) = condition().await.held() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {timeout:?} in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

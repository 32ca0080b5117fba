//! How many requests may work with the database, and how many may wait for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::Error;

/// Lets in so many at once, lets so many wait, and turns away the rest.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
}

impl Admission {
    pub(crate) fn new(places: usize, most_waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            waiting: AtomicUsize::new(0),
            most_waiting,
        }
    }

    /// A place, to be held for as long as the database is worked with. What is left after `deadline`
    /// should be enough for that: work that is begun too late to end in time helps nobody.
    ///
    /// # Errors
    /// [`Error::Overloaded`] at once if too many wait already, [`Error::DatabaseSilent`] if no place
    /// is free by `deadline`.
    pub(crate) async fn enter(
        &self,
        deadline: Instant,
        limit: Duration,
    ) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most_waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Overloaded);
        }
        let _waiting = Waiting(&self.waiting);
        match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed.
            Ok(Err(_)) => Err(Error::Overloaded),
            Err(_) => Err(Error::DatabaseSilent { limit }),
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_when_too_many_wait_is_turned_away_at_once() {
        let admission = Admission::new(1, 2);
        let enter = || admission.enter(Instant::now() + LIMIT, LIMIT);
        let inside = enter().await.unwrap();
        let mut first = Box::pin(enter());
        let mut second = Box::pin(enter());
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        let refused = enter().now_or_never().expect("it does not wait");
        assert!(matches!(refused, Err(Error::Overloaded)));
        drop(inside);
        let inside = first.await.unwrap();
        // One who gives up makes room for another to wait.
        drop(second);
        let mut third = Box::pin(enter());
        assert!((&mut third).now_or_never().is_none());
        drop(inside);
        drop(third.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_in_time() {
        let admission = Admission::new(1, 2);
        let _inside = admission
            .enter(Instant::now() + LIMIT, LIMIT)
            .await
            .unwrap();
        let refused = admission.enter(Instant::now() + LIMIT, LIMIT).await;
        assert!(matches!(refused, Err(Error::DatabaseSilent { .. })));
    }
}

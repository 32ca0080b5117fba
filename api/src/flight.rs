//! One question, many who ask at once: the database is asked once.
//!
//! Whoever asks first starts the work, all of them drive it, and when the last one has left it is
//! dropped midway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

/// Work under way, by what it is about.
pub(crate) struct Flights<T: Clone> {
    under_way: Arc<Mutex<HashMap<String, Flight<T>>>>,
}

struct Flight<T: Clone> {
    number: u64,
    work: WeakShared<BoxFuture<'static, T>>,
}

impl<T: Clone> Default for Flights<T> {
    fn default() -> Self {
        Self {
            under_way: Arc::default(),
        }
    }
}

impl<T: Clone> std::fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// Joins the work about `key`, or starts it.
    pub(crate) fn join(
        &self,
        key: String,
        start: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> Shared<BoxFuture<'static, T>> {
        let mut flights = lock(&self.under_way);
        if let Some(work) = flights.get(&key).and_then(|flight| flight.work.upgrade()) {
            return work;
        }
        let number = flights.get(&key).map_or(0, |flight| flight.number + 1);
        let landing = Landing {
            under_way: Arc::clone(&self.under_way),
            key: key.clone(),
            number,
        };
        let work = start();
        let work = async move {
            // Dropped with the work, whether it ends or is given up.
            let _landing = landing;
            work.await
        };
        let work = work.boxed().shared();
        if let Some(weak) = work.downgrade() {
            flights.insert(key, Flight { number, work: weak });
        }
        work
    }

    /// How much is under way.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.under_way).len()
    }
}

/// Takes its flight off the list, unless another has taken its place.
struct Landing<T: Clone> {
    under_way: Arc<Mutex<HashMap<String, Flight<T>>>>,
    key: String,
    number: u64,
}

impl<T: Clone> Drop for Landing<T> {
    fn drop(&mut self) {
        let mut flights = lock(&self.under_way);
        if flights
            .get(&self.key)
            .is_some_and(|flight| flight.number == self.number)
        {
            flights.remove(&self.key);
        }
    }
}

/// Nothing that is done under the lock can leave the list half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_meanwhile_share_one_answer() {
        let flights = Flights::<u8>::default();
        let started = AtomicUsize::new(0);
        let (answer, wait) = oneshot::channel();
        let mut wait = Some(wait);
        let mut join = || {
            flights.join("key".into(), || {
                started.fetch_add(1, Ordering::Relaxed);
                let wait = wait.take().unwrap();
                async move { wait.await.unwrap() }.boxed()
            })
        };
        let all = [join(), join(), join()];
        assert_eq!(flights.len(), 1);
        answer.send(7).unwrap();
        assert_eq!(futures::future::join_all(all).await, [7, 7, 7]);
        assert_eq!(started.load(Ordering::Relaxed), 1);
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_dropped() {
        let flights = Flights::<u8>::default();
        let (held, dropped) = oneshot::channel::<()>();
        let first = flights.join("key".into(), || {
            async move {
                let _held = held;
                std::future::pending().await
            }
            .boxed()
        });
        let second = flights.join("key".into(), || unreachable!("it is under way"));
        drop(first);
        assert_eq!(flights.len(), 1);
        drop(second);
        assert!(dropped.await.is_err(), "the work is gone");
        assert_eq!(flights.len(), 0);
        let again = flights.join("key".into(), || async { 9 }.boxed());
        assert_eq!(again.await, 9);
    }

    #[tokio::test]
    async fn one_who_leaves_does_not_take_the_answer_from_the_others() {
        let flights = Flights::<u8>::default();
        let (answer, wait) = oneshot::channel();
        let mut first = flights.join("key".into(), || async { wait.await.unwrap() }.boxed());
        let second = flights.join("key".into(), || unreachable!("it is under way"));
        assert!((&mut first).now_or_never().is_none());
        drop(first);
        answer.send(3).unwrap();
        assert_eq!(second.await, 3);
    }
}

//! The task between a source and a worker: takes jobs while slots are free, settles them in
//! batches, and rides out outages.

use std::{sync::Arc, time::Duration};

use apalis_core::{
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;

use crate::{
    Delivery, SyncJob, TraceContext,
    delivery::{Receipt, Settled},
    outage::{Outage, Silent, backoff},
    redis::ReachError,
    turns::{TURN, Turning},
};

/// Most jobs that one exchange takes; it bounds how long a script runs.
const MOST_AT_ONCE: usize = 512;

/// Where jobs come from.
pub(crate) trait Source: Send + 'static {
    type Bell: Bell;

    /// What rings when there may be jobs. It is apart from the source, which must not wait for it.
    fn bell(&self) -> Self::Bell;

    /// Settles and takes in one step. Safe to repeat after an error, with the same settlements.
    fn exchange(
        &mut self,
        settled: &[Settled],
        take: usize,
    ) -> impl Future<Output = Result<Exchange, ReachError>> + Send;
}

pub(crate) trait Bell: Send + 'static {
    /// Ends when there may be jobs, or now and then.
    fn ring(&mut self) -> impl Future<Output = Result<(), ReachError>> + Send;
}

pub(crate) struct Exchange {
    pub(crate) taken: Vec<Taken>,
    /// There is more to take or to settle, so that waiting for the bell would be wrong.
    pub(crate) more: bool,
}

pub(crate) struct Taken {
    pub(crate) job: SyncJob,
    pub(crate) trace: TraceContext,
    pub(crate) receipt: Receipt,
}

pub(crate) struct Dispatcher<S: Source> {
    pub(crate) source: S,
    pub(crate) worker: WorkerContext,
    pub(crate) worker_name: String,
    pub(crate) slots: usize,
    /// No more jobs are wanted.
    pub(crate) stop: CancellationToken,
    /// No handler runs any more: settle what is left and end.
    pub(crate) close: CancellationToken,
    pub(crate) close_timeout: Duration,
    pub(crate) silent: Silent,
    pub(crate) turning: Arc<Turning>,
    /// Until no more jobs are wanted.
    pub(crate) jobs: Option<UnboundedSender<Task<SyncJob>>>,
    pub(crate) settle: UnboundedSender<Settled>,
    pub(crate) settled: UnboundedReceiver<Settled>,
}

impl<S: Source> Dispatcher<S> {
    /// Ends when it has been stopped and all that it took is settled, or too late after `close`.
    pub(crate) async fn run(mut self) {
        let close = self.close.clone();
        let close_timeout = self.close_timeout;
        let worker_name = self.worker_name.clone();
        tokio::select! {
            () = self.work() => {}
            () = async {
                close.cancelled().await;
                tokio::time::sleep(close_timeout).await;
            } => tracing::warn!(
                worker = worker_name,
                "queue closed before all acknowledgements arrived; their jobs may come again"
            ),
        }
    }

    async fn work(&mut self) {
        let mut bell = Ringing::Still(Some(self.source.bell()));
        let mut bell_works = true;
        let mut outage = Outage::new(self.silent.clone());
        let mut failures = 0;
        // Free slots are those of jobs that are not held. A job is held from its taking until its
        // settlement is read here, and both travel in the same exchange.
        let mut held = 0;
        let mut unsent = Vec::new();
        let mut look = true;
        loop {
            self.turning.turn();
            while let Ok(settled) = self.settled.try_recv() {
                held -= 1;
                unsent.push(settled);
            }
            let stopping = self.stop.is_cancelled() || self.worker.is_shutting_down();
            if stopping {
                // A job that was sent while its receiver went lies in the channel until this end
                // goes, too, and is held as long.
                self.jobs = None;
            }
            let free = if stopping { 0 } else { self.slots - held };

            if !unsent.is_empty() || (look && free > 0) {
                match self.source.exchange(&unsent, free.min(MOST_AT_ONCE)).await {
                    Ok(exchange) => {
                        failures = 0;
                        if bell_works {
                            outage.ends(&self.worker_name);
                        }
                        unsent.clear();
                        look = exchange.more;
                        held += exchange.taken.len();
                        self.hand_out(exchange.taken);
                    }
                    Err(error) => {
                        failures += 1;
                        bell.doubt();
                        outage.begins(&self.worker_name, &error);
                        look = true;
                        let stop = (!stopping).then_some(&self.stop);
                        pause(backoff(failures), stop).await;
                    }
                }
                continue;
            }
            if stopping && held == 0 {
                return;
            }

            tokio::select! {
                Some(settled) = self.settled.recv() => {
                    held -= 1;
                    unsent.push(settled);
                }
                rung = bell.rung(), if !stopping && held < self.slots => {
                    look = true;
                    bell_works = rung.is_ok();
                    if let Err(error) = rung {
                        outage.begins(&self.worker_name, &error);
                    }
                }
                () = self.stop.cancelled(), if !stopping => {}
                () = tokio::time::sleep(TURN) => {}
            }
        }
    }

    fn hand_out(&self, taken: Vec<Taken>) {
        self.turning.hand(taken.len());
        for Taken {
            job,
            trace,
            receipt,
        } in taken
        {
            let task = TaskBuilder::new(job)
                .task_id(TaskId::from_string(job.run))
                .metadata(&trace)
                .lock_by(Some(self.worker_name.clone()))
                .data(Delivery::new(receipt, self.settle.clone()))
                .build();
            // A consumer that has gone leaves the task to be dropped here, which returns its job.
            if let Some(jobs) = &self.jobs {
                let _ = jobs.send(task);
            }
        }
    }
}

async fn pause(delay: Duration, stop: Option<&CancellationToken>) {
    let stopped = OptionFuture::from(stop.map(CancellationToken::cancelled));
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        Some(()) = stopped => {}
    }
}

/// A bell that keeps ringing while nobody listens: to hang up on a blocking command would cost a
/// connection each time.
enum Ringing<B> {
    Still(Option<B>),
    Waiting {
        rings: BoxFuture<'static, (B, Result<(), ReachError>)>,
        /// The source has failed since it began to ring.
        doubtful: bool,
    },
}

impl<B: Bell> Ringing<B> {
    /// An error says that the source fails now. That it failed at a time which is known from
    /// elsewhere only makes the bell ring.
    async fn rung(&mut self) -> Result<(), ReachError> {
        if let Self::Still(bell) = self {
            let mut bell = bell.take().expect("a still bell is there");
            *self = Self::Waiting {
                rings: Box::pin(async move {
                    let rung = bell.ring().await;
                    (bell, rung)
                }),
                doubtful: false,
            };
        }
        let Self::Waiting { rings, doubtful } = self else {
            unreachable!("it was made to wait above")
        };
        let (bell, rung) = rings.await;
        let rung = if *doubtful { Ok(()) } else { rung };
        *self = Self::Still(Some(bell));
        rung
    }

    /// The source has failed: a ring that began before may find out late.
    fn doubt(&mut self) {
        if let Self::Waiting { doubtful, .. } = self {
            *doubtful = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// Fails as often as it is let.
    struct Failing(Arc<Semaphore>);

    impl Bell for Failing {
        async fn ring(&mut self) -> Result<(), ReachError> {
            self.0.acquire().await.expect("it is not closed").forget();
            Err(redis::RedisError::from((redis::ErrorKind::Io, "gone")).into())
        }
    }

    #[tokio::test]
    async fn a_ring_that_fails_after_the_source_was_known_to_fail_is_no_second_outage() {
        let let_fail = Arc::new(Semaphore::new(0));
        let mut bell = Ringing::Still(Some(Failing(Arc::clone(&let_fail))));
        assert!(futures::poll!(std::pin::pin!(bell.rung())).is_pending());
        bell.doubt();
        let_fail.add_permits(1);
        assert!(bell.rung().await.is_ok());
        // Nothing was known when this one began.
        bell.doubt();
        let_fail.add_permits(1);
        assert!(bell.rung().await.is_err());
    }
}

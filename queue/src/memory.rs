//! The queue in this process, with the semantics of the one in Redis.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use crate::{
    Depth, Push, PushError, QueueConfig, SyncJob, TraceContext,
    delivery::{Fate, Receipt, Settled},
    dispatch::{Bell, Exchange, Source, Taken},
    redis::ReachError,
};

#[derive(Debug, Clone)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
    pushed: watch::Sender<()>,
    limit: usize,
    redeliver_after: Duration,
    namespace: Arc<str>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Uuid>,
    /// All that wait or are in flight.
    jobs: HashMap<Uuid, Job>,
    last_stamp: u64,
}

#[derive(Debug)]
struct Job {
    trace: TraceContext,
    taken: Option<(u64, Instant)>,
    /// It was pushed while in flight and gets another turn.
    again: bool,
}

impl Memory {
    pub(crate) fn new(config: &QueueConfig) -> Self {
        Self {
            state: Arc::default(),
            pushed: watch::Sender::new(()),
            limit: config.memory_limit,
            redeliver_after: config.redeliver_after,
            namespace: config.namespace.as_str().into(),
        }
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn push(&self, jobs: &[Push]) -> Result<usize, PushError> {
        let queued = {
            let mut state = self.state();
            let before = state.waiting.len();
            for push in jobs {
                if state.waiting.len() >= self.limit && !state.jobs.contains_key(&push.job.run) {
                    self.pushed.send_replace(());
                    return Err(PushError::Full { limit: self.limit });
                }
                state.push(push, self.redeliver_after);
            }
            state.waiting.len() - before
        };
        if queued > 0 {
            self.pushed.send_replace(());
        }
        Ok(queued)
    }

    pub(crate) fn depth(&self) -> Depth {
        let state = self.state();
        Depth {
            waiting: state.waiting.len() as u64,
            in_flight: (state.jobs.len() - state.waiting.len()) as u64,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, Push { job, trace }: &Push, redeliver_after: Duration) {
        match self.jobs.entry(job.run) {
            hash_map::Entry::Vacant(new) => {
                new.insert(Job {
                    trace: trace.clone(),
                    taken: None,
                    again: false,
                });
                self.waiting.push_back(job.run);
            }
            hash_map::Entry::Occupied(mut known) => {
                let job = known.get_mut();
                if job
                    .taken
                    .is_some_and(|(_, at)| at.elapsed() > redeliver_after)
                {
                    (job.taken, job.again) = (None, false);
                    self.waiting.push_back(*known.key());
                } else {
                    job.again = job.taken.is_some();
                }
            }
        }
    }

    /// Gives whether the job waits again.
    fn settle(&mut self, Settled { receipt, fate }: &Settled) -> bool {
        let Ok(run) = Uuid::from_slice(&receipt.id) else {
            return false;
        };
        let Some(job) = self.jobs.get_mut(&run) else {
            return false;
        };
        if job.taken.is_none_or(|(stamp, _)| stamp != receipt.stamp) {
            return false;
        }
        match fate {
            Fate::Done if !job.again => {
                self.jobs.remove(&run);
                return false;
            }
            Fate::Done => self.waiting.push_back(run),
            Fate::Return => self.waiting.push_front(run),
        }
        (job.taken, job.again) = (None, false);
        true
    }

    fn take(&mut self) -> Option<Taken> {
        let run = self.waiting.pop_front()?;
        let job = self.jobs.get_mut(&run)?;
        self.last_stamp += 1;
        job.taken = Some((self.last_stamp, Instant::now()));
        Some(Taken {
            job: SyncJob { run },
            trace: job.trace.clone(),
            receipt: Receipt {
                id: run.as_bytes().to_vec(),
                stamp: self.last_stamp,
            },
        })
    }
}

impl Source for Memory {
    type Bell = MemoryBell;

    fn bell(&self) -> MemoryBell {
        MemoryBell(self.pushed.subscribe())
    }

    async fn exchange(&mut self, settled: &[Settled], take: usize) -> Result<Exchange, ReachError> {
        let mut state = self.state();
        // Backwards, so that returned jobs stand at the head in their old order.
        let mut returned = false;
        for settled in settled.iter().rev() {
            returned |= state.settle(settled);
        }
        if returned {
            self.pushed.send_replace(());
        }
        Ok(Exchange {
            taken: std::iter::from_fn(|| state.take()).take(take).collect(),
            more: !state.waiting.is_empty(),
        })
    }
}

/// Remembers which pushes it has rung for, so that none falls between a look and a wait.
pub(crate) struct MemoryBell(watch::Receiver<()>);

impl Bell for MemoryBell {
    async fn ring(&mut self) -> Result<(), ReachError> {
        if self.0.changed().await.is_err() {
            // Nobody is left to push.
            future::pending::<()>().await;
        }
        Ok(())
    }
}

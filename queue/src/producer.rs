//! The scheduler's end of the queue.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    SyncJob, TraceContext,
    memory::Memory,
    redis::{ReachError, Redis},
};

/// One job to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The job.
    pub job: SyncJob,
    /// The trace that it continues.
    pub trace: TraceContext,
}

impl Push {
    /// A run's job, in the trace that the run belongs to.
    pub fn of_run(run: Uuid, traceparent: Option<String>) -> Self {
        Self {
            job: SyncJob { run },
            trace: TraceContext {
                traceparent,
                tracestate: None,
            },
        }
    }
}

/// What the queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that no consumer has taken.
    pub waiting: u64,
    /// Jobs that consumers hold; those of dead ones count until they are forgotten.
    pub in_flight: u64,
}

/// How a pool of connections is used at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Open connections that are being asked for or checked.
    pub used: u64,
    /// Open connections that wait.
    pub idle: u64,
    /// Connections that it may have.
    pub max: u64,
}

/// Pushes jobs and looks at the queue. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Producer(pub(crate) Source);

#[derive(Debug, Clone)]
pub(crate) enum Source {
    Redis(Arc<Redis>),
    Memory(Memory),
}

/// Pushing failed. Some of the jobs may be queued; pushing all of them again is safe.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Redis cannot be reached or refuses.
    #[error("push to the queue")]
    Reach(#[from] ReachError),
    /// The in-process queue holds as many jobs as it may.
    #[error(
        "the in-process queue is full with {limit} waiting jobs: let workers catch up, or use redis"
    )]
    Full {
        /// How many jobs may wait.
        limit: usize,
    },
}

impl PushError {
    /// The failure in one of few words, for a span.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reach(_) => "queue_unreachable",
            Self::Full { .. } => "queue_full",
        }
    }
}

impl Producer {
    /// What keeps the queue, as OpenTelemetry names messaging systems: `redis`, or `fanfare` for
    /// this process.
    pub fn system(&self) -> &'static str {
        match &self.0 {
            Source::Redis(_) => "redis",
            Source::Memory(_) => "fanfare",
        }
    }

    /// The queue's namespace.
    pub fn namespace(&self) -> &str {
        match &self.0 {
            Source::Redis(redis) => redis.namespace(),
            Source::Memory(memory) => memory.namespace(),
        }
    }

    /// Queues the jobs in order, in bulk, and says how many were newly queued. Safe to repeat.
    ///
    /// A job that still waits stays where it is. One that a consumer holds gets one more turn once it
    /// is acknowledged, for its holder may have decided before the push, and is delivered again
    /// anyway once it has been held for [`redeliver_after`], by the queue's clock.
    ///
    /// [`redeliver_after`]: crate::QueueConfig::redeliver_after
    pub async fn push(&self, jobs: &[Push]) -> Result<usize, PushError> {
        match &self.0 {
            Source::Redis(redis) => Ok(redis.push(jobs).await?),
            Source::Memory(memory) => memory.push(jobs),
        }
    }

    /// How much waits and how much is held right now.
    pub async fn depth(&self) -> Result<Depth, ReachError> {
        match &self.0 {
            Source::Redis(redis) => redis.depth().await,
            Source::Memory(memory) => Ok(memory.depth()),
        }
    }

    /// Says whether the queue answers, for health checks.
    pub async fn ping(&self) -> Result<(), ReachError> {
        match &self.0 {
            Source::Redis(redis) => redis.ping().await,
            Source::Memory(_) => Ok(()),
        }
    }
}

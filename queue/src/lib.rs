//! The contract between scheduler and worker: the job that travels, its trace context, and one
//! producer and one consumer over two sources, Redis and this process.
//!
//! The database is the truth and the queue owes little: it hands each job to some worker soon,
//! forgets what is done, and never stops consuming. Retries, schedules, attempts and the runs of
//! dead workers are the database's. Nothing outside this crate knows which source feeds it.
//!
//! ```no_run
//! use apalis::prelude::WorkerBuilder;
//! use queue::{Push, QueueConfig, SyncJob, TraceContext};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! async fn sync(job: SyncJob, trace: TraceContext) {
//!     println!("run {} of trace {:?}", job.run, trace.traceparent);
//! }
//!
//! let shutdown = CancellationToken::new();
//! let queue = queue::open(QueueConfig::default()).await?;
//! let job = SyncJob { run: uuid::Uuid::new_v4() };
//! queue.producer().push(&[Push { job, trace: TraceContext::default() }]).await?;
//! let worker = WorkerBuilder::new("worker-1")
//!     .backend(queue.consumer("worker-1", 16, shutdown.clone()))
//!     .build(sync);
//! worker.run().await?; // until `shutdown` fires and running jobs are done
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test that cannot go on panics")
)]

mod config;
mod consumer;
mod delivery;
mod dispatch;
mod job;
mod memory;
mod open;
mod outage;
mod producer;
mod redis;
mod settle;
mod trace;
mod turns;

pub use config::{QueueConfig, RedisUrl, RedisUrlError};
pub use consumer::{Consumer, ConsumerError};
pub use delivery::{Delivery, MissingDelivery};
pub use job::SyncJob;
pub use open::{OpenError, Queue, open};
pub use producer::{Depth, PoolUse, Producer, Push, PushError};
pub use redis::{ExamineError, Examined, Part, ReachError, RedisPlace, RefusedCommand, examine};
pub use settle::{HandlerPanic, Settle, SettleLayer};
pub use trace::TraceContext;

//! One run in, rows out: a worker takes a job, begins its run, fetches that provider's feed, parses
//! it and stores what changed, and records how it went.
//!
//! A job carries only a run's id. Whether there is anything to do, and for whom, the database says
//! (`entity::lease`); a job that comes late, twice or for nothing is dropped. [`sync_provider`] is
//! the work itself and needs no queue.

pub mod fetch;
pub mod format;
mod job;
mod leases;
mod metrics;
pub mod spool;
mod sync;
mod trace;
pub mod visit;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use apalis::prelude::WorkerBuilder;
use entity::Database;
use entity::host::Politeness;
use queue::Queue;
use tokio_util::sync::CancellationToken;

use fetch::Fetcher;
use job::Context;
use leases::{Leases, Signs};
use metrics::Metrics;
use opentelemetry::metrics::Meter;
pub use sync::{
    Changed, Check, CheckError, Checked, Subject, Synced, Tools, check, record_panic, sync_provider,
};

/// How a worker process works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Unique to this process' start; shown wherever runs are.
    pub name: String,
    /// Runs at once.
    pub concurrency: usize,
    /// How long a run is believed without a sign of life.
    pub lease: Duration,
    /// How long running syncs may go on after a stop before they are handed back.
    pub drain: Duration,
    /// How feeds are fetched: what it may cost and where it may lead.
    pub fetch: fetch::Config,
    /// What a feed may ask of the parser.
    pub format: format::Limits,
    /// How fetches treat a host, all workers together.
    pub politeness: Politeness,
    /// Makes the instruments.
    pub meter: Meter,
    /// Beats when the database has taken a sign of life, which is four times in a lease.
    pub pulse: telemetry::Pulse,
    /// Beats with each look at the leases, at least once a second, whether or not it goes well.
    pub turns: telemetry::Pulse,
}

impl Config {
    /// The defaults, under a name. What is measured goes where telemetry was set up to, before this.
    pub fn new(name: String) -> Self {
        Self {
            name,
            concurrency: 16,
            lease: Duration::from_secs(20),
            drain: Duration::from_secs(20),
            fetch: fetch::Config::default(),
            format: format::Limits::default(),
            politeness: Politeness::default(),
            meter: telemetry::meter(),
            pulse: telemetry::Pulse::default(),
            turns: telemetry::Pulse::default(),
        }
    }
}

/// Works until `shutdown` fires and its running syncs are done, or handed back at the deadline.
///
/// # Errors
/// Nothing can be fetched with this configuration, or the worker has ended unasked, which is a fault of
/// ours: nothing that happens to a run, the queue or the database ends one.
pub async fn run(
    config: Config,
    db: Database,
    queue: &Queue,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let http = Fetcher::new(config.fetch).context("can't fetch")?;
    let leases = Leases::default();
    let context = Arc::new(Context {
        tools: Tools {
            db: db.clone(),
            http,
            format: config.format,
        },
        worker: config.name.clone(),
        lease: config.lease,
        politeness: config.politeness,
        leases: leases.clone(),
        producer: queue.producer(),
        deadline: CancellationToken::new(),
        metrics: Metrics::new(&config.meter, config.concurrency, &leases),
    });
    let renewed = CancellationToken::new();
    // However this ends: what nobody works on must not look alive.
    let _stop_renewing = renewed.clone().drop_guard();
    let signs = Signs {
        db: db.clone(),
        worker: config.name.clone(),
        concurrency: config.concurrency,
        lease: config.lease,
        pulse: config.pulse,
        turns: config.turns,
    };
    let renewal = tokio::spawn(leases.renew(signs, renewed.clone()));
    let consumer = queue.consumer(&config.name, config.concurrency, shutdown.clone());
    let worker = WorkerBuilder::new(config.name.as_str())
        .backend(consumer)
        .data(Arc::clone(&context))
        .build(job::sync);
    tracing::info!(
        worker = config.name,
        concurrency = config.concurrency,
        "worker is ready"
    );
    let drain = async {
        shutdown.cancelled().await;
        tracing::info!(worker = config.name, "worker drains");
        tokio::time::sleep(config.drain).await;
        context.deadline.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = worker.run() => {
            ended.context("the queue's consumer failed")?;
            ensure!(shutdown.is_cancelled(), "the queue's consumer ended unasked");
        }
        () = drain => {}
    }
    renewed.cancel();
    // It only ever ends by that token; a panic of it has been reported.
    let _ = renewal.await;
    if let Err(error) = entity::worker::forget(&db, &config.name).await {
        tracing::debug!(error = %telemetry::Chain(&error), "the worker's sign of life stays until it is pruned");
    }
    tracing::info!(worker = config.name, "worker stopped");
    Ok(())
}

/// What a panic says of itself.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

//! Decides what is due, enqueues it and reaps what was lost; never fetches anything.
//!
//! Schedulers are interchangeable: each one's tick claims what the others have not locked. What a
//! tick cannot finish, because the queue, the database or this process fails, any later tick of any
//! scheduler does.

mod gauges;
mod metrics;
mod prune;
mod sends;
mod spans;
mod steadiness;
mod tick;
mod watch;

use std::time::{Duration, Instant};

use entity::retention::Retention;
use entity::{Database, DbErr};
use opentelemetry::metrics::Meter;
use queue::Producer;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use metrics::Metrics;
use steadiness::Steadiness;
use tick::{Reach, Tick};
use watch::Watch;

/// How a scheduler works.
#[derive(Debug, Clone)]
pub struct Config {
    /// From one look at the database to the next.
    pub tick: Duration,
    /// Providers that one transaction claims at most.
    pub batch: u64,
    /// Runs that may be queued or running before nothing more is claimed. Each scheduler looks
    /// before each batch, so that several at once can pass it by a batch each.
    pub max_outstanding: u64,
    /// How long a running sync is believed without a sign of life.
    pub lease: Duration,
    /// How long runs and changes are kept.
    pub retention: Retention,
    /// Runs of one fan-out that share its trace; each above that begins one of its own, which is
    /// linked to it.
    pub trace_children: u64,
    /// From one look at the whole, for its gauges, to the next.
    pub watch: Duration,
    /// Whether it tells the dataset's version: not where the API of the same process tells its own.
    pub tells_version: bool,
    /// Makes the instruments.
    pub meter: Meter,
    /// How long one step of a tick may take. After that its tick is given up, for a server that vanished
    /// without a word never answers; the next one goes over other connections.
    pub patience: Duration,
    /// Beats with each tick that went well.
    pub pulse: telemetry::Pulse,
    /// Beats with each step of a tick, whether or not it goes well.
    pub turns: telemetry::Pulse,
}

impl Default for Config {
    /// What is measured goes where telemetry was set up to, before this.
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(1),
            batch: 500,
            max_outstanding: 20_000,
            lease: Duration::from_secs(20),
            retention: Retention::default(),
            trace_children: 500,
            watch: Duration::from_secs(5),
            tells_version: true,
            meter: telemetry::meter(),
            patience: Duration::from_secs(120),
            pulse: telemetry::Pulse::default(),
            turns: telemetry::Pulse::default(),
        }
    }
}

/// Schedules until `shutdown` fires; the tick that is on ends first.
///
/// # Errors
/// None: an outage of the database or the queue is told once and waited for.
pub async fn run(
    config: Config,
    db: Database,
    producer: Producer,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut steadiness = Steadiness::new(config.lease);
    let mut ticks = tokio::time::interval(config.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let metrics = Metrics::new(&config.meter);
    let tick = Tick {
        metrics: &metrics,
        config: &config,
        db: &db,
        producer: &producer,
        stop: &shutdown,
        queue: Reach::default(),
    };
    let pruning = tokio::spawn(prune::run(db.clone(), config.retention, shutdown.clone()));
    let watch = Watch::default();
    gauges::tell(&config.meter, &watch, config.tells_version);
    let (lease, pause) = (config.lease, config.watch);
    let watching = watch.run(db.clone(), producer.clone(), lease, pause, shutdown.clone());
    let watching = tokio::spawn(watching);
    tracing::info!("scheduler is ready");
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = ticks.tick() => {}
        }
        config.turns.beat();
        let reap = steadiness.allows_reaping(Instant::now());
        let begun = Instant::now();
        let ticked = tokio::select! {
            ticked = tick.run(reap) => ticked,
            () = silent(&config.turns, config.patience) => {
                Err(DbErr::Custom("a step of the tick had no answer in time".to_owned()))
            }
        };
        metrics.ticked(begun.elapsed(), ticked.is_ok());
        match ticked {
            Ok(()) => {
                config.pulse.beat();
                if steadiness.succeeded(Instant::now()) {
                    tracing::info!("the database is back");
                }
            }
            Err(error) => {
                if steadiness.failed() {
                    tracing::warn!(error = %telemetry::Chain(&error), "the database fails, trying again at each tick");
                }
            }
        }
    }
    // They end by the same token; a panic of one has been reported.
    let _ = tokio::join!(pruning, watching);
    tracing::info!("scheduler stopped");
    Ok(())
}

/// Ends when nothing has beaten for so long.
async fn silent(turns: &telemetry::Pulse, patience: Duration) {
    while !turns.stopped(patience) {
        tokio::time::sleep(Duration::from_secs(1).min(patience)).await;
    }
}

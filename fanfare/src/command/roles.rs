//! The roles: each alone, or all in one process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use entity::host::Politeness;
use entity::provider::{self, Spec};
use entity::retention::Retention;
use entity::{Database, Session};
use queue::Queue;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::fetch;

use crate::cli::{All, Api, Scheduler, Worker};
use crate::listen::listen;
use crate::options::{FetchOptions, LeaseOptions, ObserveOptions, SchedulerOptions, WorkerOptions};
use crate::refuse::Contradiction;
use crate::{measure, observe, show, start, stop};

/// How long the API's connections may take to end, once its requests have.
const CLOSED_WITHIN: Duration = Duration::from_secs(3);

/// `fanfare api`.
pub(crate) async fn api(options: Api) -> anyhow::Result<()> {
    let mut config = options.api.config(options.database.connections())?;
    config.exposes_metrics = options.observe.observe_listen.is_none();
    let shutdown = stop::on_signal()?;
    let listener = listen(options.api.listen.listen, "--listen").await?;
    let db =
        start::database_for_roles(&options.database, "fanfare api", start::short_session()).await?;
    measure::pools(&telemetry::meter(), &db, None);
    // It has seen the schema.
    let _observing = observe::start(&options.observe, Vec::new(), &shutdown).await?;
    announce(&listener)?;
    let served = api::run(config, listener, db.clone(), shutdown).await;
    // A large answer that nobody waits for any more may still be read.
    let _ = tokio::time::timeout(CLOSED_WITHIN, db.close()).await;
    served
}

/// Says where the API is: on the standard output, so that a script that asked for port 0 can read
/// it.
fn announce(listener: &TcpListener) -> anyhow::Result<()> {
    let address = listener.local_addr().context("a socket has an address")?;
    show::line(&format!("listening on http://{address}"));
    Ok(())
}

/// `fanfare scheduler`.
pub(crate) async fn scheduler(options: Scheduler) -> anyhow::Result<()> {
    check_tick(&options.scheduler, &options.lease)?;
    let shutdown = stop::on_signal()?;
    let specs = read_providers(options.scheduler.providers.as_deref())?;
    let queue = start::shared_queue(&options.queue, &options.database, "scheduler");
    let session = Session::below_lease(options.lease.lease);
    let db = start::database_for_roles(&options.database, "fanfare scheduler", session);
    let (db, queue) = tokio::try_join!(db, queue)?;
    apply_providers(&db, &specs).await?;
    let config = scheduler_config(&options.scheduler, &options.lease);
    measure::pools(&config.meter, &db, Some(&queue));
    let roles = vec![observe::scheduler(&config)];
    let _observing = observe::start(&options.observe, roles, &shutdown).await?;
    let scheduled = scheduler::run(config, db.clone(), queue.producer(), shutdown).await;
    db.close().await;
    scheduled
}

/// `fanfare worker`.
pub(crate) async fn worker(options: Worker, name: &str) -> anyhow::Result<()> {
    let shutdown = stop::on_signal()?;
    let queue = start::shared_queue(&options.queue, &options.database, "worker");
    let session = Session::below_lease(options.lease.lease);
    let db = start::database_for_roles(&options.database, name, session);
    let (db, queue) = tokio::try_join!(db, queue)?;
    let config = worker_config(&options.worker, &options.lease, name);
    measure::pools(&config.meter, &db, Some(&queue));
    let roles = vec![observe::worker(&config, &queue)];
    let _observing = observe::start(&options.observe, roles, &shutdown).await?;
    let worked = worker::run(config, db.clone(), &queue, shutdown).await;
    db.close().await;
    worked
}

/// `fanfare all`.
pub(crate) async fn all(options: All, name: &str) -> anyhow::Result<()> {
    check_tick(&options.scheduler, &options.lease)?;
    // The other half of the connections is the other roles'.
    let mut api = options
        .api
        .config((options.database.connections() / 2).max(1))?;
    api.exposes_metrics = options.observe.observe_listen.is_none();
    let shutdown = stop::on_signal()?;
    let specs = read_providers(options.scheduler.providers.as_deref())?;
    let listener = listen(options.api.listen.listen, "--listen").await?;
    let session = Session::below_lease(options.lease.lease);
    let db = start::database_for_roles(&options.database, name, session);
    let (db, queue) = tokio::try_join!(db, start::queue(&options.queue))?;
    apply_providers(&db, &specs).await?;
    let roles = Roles {
        db: db.clone(),
        queue,
        listener,
        api,
        scheduler: scheduler_config(&options.scheduler, &options.lease),
        worker: worker_config(&options.worker, &options.lease, name),
        observe: options.observe,
    };
    announce(&roles.listener)?;
    let ran = roles.run(shutdown).await;
    db.close().await;
    ran
}

/// Every role, in one process.
pub(crate) struct Roles {
    pub(crate) db: Database,
    pub(crate) queue: Queue,
    pub(crate) listener: TcpListener,
    pub(crate) api: api::Config,
    pub(crate) scheduler: scheduler::Config,
    pub(crate) worker: worker::Config,
    pub(crate) observe: ObserveOptions,
}

impl Roles {
    /// Runs them until `shutdown` fires and each has drained. If one ends before that, all end.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        // The API tells the version that it answers from.
        self.scheduler.tells_version = false;
        measure::pools(&telemetry::meter(), &self.db, Some(&self.queue));
        let roles = vec![
            observe::scheduler(&self.scheduler),
            observe::worker(&self.worker, &self.queue),
        ];
        let _observing = observe::start(&self.observe, roles, &shutdown).await?;
        if self.db.kind() == entity::Kind::Sqlite {
            entity::claim::release_all(&self.db)
                .await
                .context("can't take up the runs of the last start")?;
        }
        let mut roles = JoinSet::new();
        let producer = self.queue.producer();
        let (db, stop) = (self.db.clone(), shutdown.clone());
        roles.spawn(async move { scheduler::run(self.scheduler, db, producer, stop).await });
        let (db, stop) = (self.db.clone(), shutdown.clone());
        roles.spawn(async move { worker::run(self.worker, db, &self.queue, stop).await });
        let stop = shutdown.clone();
        roles.spawn(async move { api::run(self.api, self.listener, self.db, stop).await });
        let mut first_error = None;
        while let Some(ended) = roles.join_next().await {
            let early = !shutdown.is_cancelled();
            shutdown.cancel();
            let failed = match ended {
                Ok(Ok(())) if early => Some(anyhow!("a role ended by itself")),
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(panic) => Some(anyhow!(panic).context("a role panicked")),
            };
            first_error = first_error.or(failed);
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// A scheduler that looks less often could not tell a silent worker from its own absence.
pub(crate) fn check_tick(scheduler: &SchedulerOptions, lease: &LeaseOptions) -> anyhow::Result<()> {
    if scheduler.tick > lease.lease / 4 {
        bail!(Contradiction(format!(
            "a tick of {} is too long for a lease of {}: FANFARE_TICK must be at most a quarter of \
             FANFARE_LEASE",
            humantime::format_duration(scheduler.tick),
            humantime::format_duration(lease.lease)
        )));
    }
    Ok(())
}

fn scheduler_config(options: &SchedulerOptions, lease: &LeaseOptions) -> scheduler::Config {
    scheduler::Config {
        tick: options.tick,
        max_outstanding: options.max_outstanding,
        lease: lease.lease,
        retention: Retention {
            runs: options.keep_runs,
            changes: options.keep_changes,
        },
        trace_children: options.trace_children,
        patience: observe::scheduler_patience(lease.lease),
        ..scheduler::Config::default()
    }
}

fn worker_config(options: &WorkerOptions, lease: &LeaseOptions, name: &str) -> worker::Config {
    let mut config = worker::Config::new(name.to_owned());
    config.concurrency = usize::from(options.worker_concurrency);
    config.lease = lease.lease;
    config.drain = options.drain;
    config.fetch = fetch_config(&options.fetch);
    config.politeness = Politeness {
        concurrency: options.host_concurrency,
        gap: options.host_gap,
    };
    config
}

/// How feeds are fetched with these options.
pub(crate) fn fetch_config(options: &FetchOptions) -> fetch::Config {
    let mut config = fetch::Config::default();
    config.limits.body = options.max_body;
    config.limits.wire = options.max_wire;
    config.limits.ratio = options.max_ratio;
    config.spool.total = options.max_spool;
    if let Some(folder) = &options.spool_dir {
        config.spool.directory.clone_from(folder);
    }
    config.allow = options.allow_networks.clone().unwrap_or_default();
    config.contact.clone_from(&options.contact);
    config.proxy.clone_from(&options.proxy);
    config
}

fn read_providers(file: Option<&Path>) -> anyhow::Result<Vec<Spec>> {
    file.map_or(Ok(Vec::new()), read_provider_file)
}

/// Reads a provider file whole, or tells everything that is wrong with it.
pub(crate) fn read_provider_file(file: &Path) -> anyhow::Result<Vec<Spec>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("can't read the provider file {}", file.display()))?;
    parse_providers(&text).with_context(|| format!("the provider file {}", file.display()))
}

/// Parses the text of a provider file.
pub(crate) fn parse_providers(text: &str) -> anyhow::Result<Vec<Spec>> {
    let formats = worker::format::Format::ALL.map(worker::format::Format::name);
    Ok(provider::parse(text, &formats)?)
}

async fn apply_providers(db: &Database, specs: &[Spec]) -> anyhow::Result<()> {
    if specs.is_empty() {
        return Ok(());
    }
    let applied = provider::apply(db, specs, false, false)
        .await
        .context("can't apply the provider file")?;
    tracing::info!(
        providers = specs.len(),
        changed = applied.len(),
        "provider file applied"
    );
    Ok(())
}

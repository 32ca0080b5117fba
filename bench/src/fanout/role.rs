//! A worker or scheduler process of a benchmark.

use anyhow::Context;
use clap::Args;
use entity::Session;
use queue::QueueConfig;
use telemetry::{Export, LogFormat};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::show;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long)]
    database: entity::DatabaseUrl,
    #[arg(long)]
    redis: queue::RedisUrl,
    #[arg(long)]
    queue: String,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Worker,
    Scheduler,
}

impl Role {
    /// The subcommand of this program that it is.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
        }
    }
}

/// Works until SIGTERM.
pub(crate) async fn run(role: Role, options: Options) -> anyhow::Result<()> {
    let export = Export::from_variables(|name| std::env::var(name).ok())?;
    // As the binary does, where somebody receives it; otherwise nothing is made at all.
    let telemetry = if export == Export::off() {
        None
    } else {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Some(telemetry::init(&telemetry::Config {
            service_name: format!("fanfare-{}", role.name()),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            instance_id: instance(),
            log_format: LogFormat::Auto,
            log_filter: "warn".to_owned(),
            export,
        })?)
    };
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
    let fired = stop.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        fired.cancel();
    });
    let worked = work(role, options, stop).await;
    if let Some(telemetry) = telemetry {
        telemetry.shutdown().await;
    }
    worked
}

async fn work(role: Role, options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let queue = queue::open(QueueConfig {
        redis_url: Some(options.redis),
        namespace: options.queue,
        ..QueueConfig::default()
    })
    .await?;
    let mut database = entity::Config::new(options.database);
    match role {
        Role::Worker => {
            let mut config = worker::Config::new(instance());
            config.fetch.allow = worker::fetch::Networks::loopback();
            database.max_connections = 16;
            database.session = Session::below_lease(config.lease);
            let db = entity::connect(&database).await?;
            show::line("ready");
            worker::run(config, db, &queue, stop).await
        }
        Role::Scheduler => {
            let config = scheduler::Config::default();
            database.max_connections = 4;
            let db = entity::connect(&database).await?;
            show::line("ready");
            Ok(scheduler::run(config, db, queue.producer(), stop).await?)
        }
    }
}

fn instance() -> String {
    format!("bench-{}", std::process::id())
}

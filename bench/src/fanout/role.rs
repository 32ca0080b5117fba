//! A worker process of a benchmark.

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

/// Works until SIGTERM.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let export = Export::from_variables(|name| std::env::var(name).ok())?;
    // As the binary does, where somebody receives it; otherwise nothing is made at all.
    let telemetry = if export == Export::off() {
        None
    } else {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Some(telemetry::init(&telemetry::Config {
            service_name: "fanfare-worker".to_owned(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            instance_id: format!("bench-{}", std::process::id()),
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
    let mut config = worker::Config::new(format!("bench-{}", std::process::id()));
    config.fetch.allow = worker::fetch::Networks::loopback();
    let mut database = entity::Config::new(options.database);
    database.max_connections = 16;
    database.session = Session::below_lease(config.lease);
    let db = entity::connect(&database).await?;
    let queue = queue::open(QueueConfig {
        redis_url: Some(options.redis),
        namespace: options.queue,
        ..QueueConfig::default()
    })
    .await?;
    show::line("ready");
    let worked = worker::run(config, db, &queue, stop).await;
    if let Some(telemetry) = telemetry {
        telemetry.shutdown().await;
    }
    worked
}

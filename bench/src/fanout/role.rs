//! A worker process of a benchmark.

use anyhow::Context;
use clap::Args;
use entity::Session;
use queue::QueueConfig;
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
    worker::run(config, db, &queue, stop).await
}

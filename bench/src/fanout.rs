//! The fan-out at scale: claims, the queue alone, and the whole path.

mod claims;
mod growth;
pub(crate) mod path;
mod queue_alone;
pub(crate) mod role;

use clap::Args;
use testkit::{PostgresServer, RedisServer};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Small numbers, which show that it runs and nothing else
    #[arg(long)]
    quick: bool,
}

/// How much of everything.
struct Scale {
    due: usize,
    jobs: usize,
    latencies: usize,
    providers: usize,
    processes: &'static [usize],
    known: [usize; 2],
    synced: usize,
}

const FULL: Scale = Scale {
    due: 100_000,
    jobs: 60_000,
    latencies: 500,
    providers: 2_000,
    processes: &[1, 2, 4],
    known: [100, 100_000],
    synced: 300,
};

const QUICK: Scale = Scale {
    due: 1_000,
    jobs: 1_000,
    latencies: 20,
    providers: 20,
    processes: &[1],
    known: [10, 100],
    synced: 10,
};

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let scale = if options.quick { QUICK } else { FULL };
    let postgres = PostgresServer::start_with(&[
        "max_connections=300",
        "shared_preload_libraries=pg_stat_statements",
    ])
    .await;
    let redis = RedisServer::start().await;
    claims::run(&postgres, &redis, scale.due).await?;
    queue_alone::run(&redis, scale.jobs, scale.latencies).await?;
    path::run(&postgres, &redis, scale.providers, scale.processes).await?;
    growth::run(&postgres, scale.known, scale.synced).await
}

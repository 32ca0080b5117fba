//! Benchmarks: each prints what it measured beside the limit that it stands against, both from the
//! same run on the same machine.

mod api;
mod begin;
mod cpu;
mod database;
mod fanout;
mod memory;
mod observed;
mod show;
mod sync;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

use crate::fanout::role::{self, Role};

/// The same as the binary that is measured has.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Measures Fanfare against stated limits")]
struct Cli {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Syncs one feed into PostgreSQL and SQLite: new, unchanged and slightly changed, wide and huge
    Sync(sync::Options),
    /// Claims, queue and whole path with many providers
    Fanout(fanout::Options),
    /// Searches beside a server that does nothing, and beside the database alone
    Api(api::Options),
    /// What metrics and traces cost the API and the sync
    Telemetry(observed::Options),
    /// A receiver of telemetry that counts what comes
    #[command(hide = true)]
    Receiver,
    /// A process that syncs and measures itself
    #[command(hide = true)]
    SyncWorker(sync::child::Options),
    /// A worker process of a benchmark
    #[command(hide = true)]
    Worker(Box<role::Options>),
    /// A scheduler process of a benchmark
    #[command(hide = true)]
    Scheduler(Box<role::Options>),
    /// An API process of a benchmark
    #[command(hide = true)]
    ApiServer(api::served::Options),
    /// A server that always answers the same
    #[command(hide = true)]
    BareServer(api::bare::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().benchmark {
        Benchmark::Sync(options) => sync::run(options).await?,
        Benchmark::SyncWorker(options) => sync::child::run(options).await?,
        Benchmark::Fanout(options) => fanout::run(options).await?,
        Benchmark::Worker(options) => role::run(Role::Worker, *options).await?,
        Benchmark::Scheduler(options) => role::run(Role::Scheduler, *options).await?,
        Benchmark::Telemetry(options) => return observed::run(options).await,
        Benchmark::Receiver => observed::receiver::run().await?,
        Benchmark::Api(options) => return api::run(options).await,
        Benchmark::ApiServer(options) => api::served::run(options).await?,
        Benchmark::BareServer(options) => api::bare::run(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

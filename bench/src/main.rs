//! Benchmarks: each prints what it measured beside the limit that it stands against, both from the
//! same run on the same machine.

mod cpu;
mod database;
mod fanout;
mod memory;
mod show;
mod sync;
mod tools;

use clap::{Parser, Subcommand};

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
    /// A process that syncs and measures itself
    #[command(hide = true)]
    SyncWorker(sync::child::Options),
    /// A worker process of a benchmark
    #[command(hide = true)]
    Worker(Box<fanout::role::Options>),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().benchmark {
        Benchmark::Sync(options) => sync::run(options).await,
        Benchmark::SyncWorker(options) => sync::child::run(options).await,
        Benchmark::Fanout(options) => fanout::run(options).await,
        Benchmark::Worker(options) => fanout::role::run(*options).await,
    }
}

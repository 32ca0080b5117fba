//! Searches over HTTP: each figure beside its limit, taken in the same run and by turns. The limit of
//! what is cached is axum alone with the same bytes; that of what is not, the database alone with
//! the same statement.

pub(crate) mod bare;
mod beside;
mod client;
mod dataset;
pub(crate) mod figures;
mod footprint;
mod meter;
pub(crate) mod observed;
mod pgbench;
pub(crate) mod served;
pub(crate) mod server;
mod statement;
mod syncing;
mod uncached;
pub(crate) mod verdict;
mod world;
mod writer;
pub(crate) mod wrk;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::verdict::Verdict;
use self::world::World;
use crate::show;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Events to search
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2_000..=10_000_000))]
    events: u32,
    /// Length of each measurement, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Times that each is taken, by turns with its limit; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
    /// Distinct searches after which memory is looked at
    #[arg(long, default_value_t = 1_000_000)]
    queries: u64,
    /// Measure all encodings, not only br
    #[arg(long)]
    all_encodings: bool,
    /// Measure only this; can be given several times
    #[arg(long, value_enum)]
    only: Vec<Leg>,
    /// End well although a limit is missed
    #[arg(long)]
    no_fail: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Leg {
    /// The same search of 20 results
    Cached,
    /// The same search by whoever has its answer
    NotModified,
    /// The same search of 1,000 results
    Large,
    /// The same, compressed
    Compressed,
    /// Searches that were never made before
    Uncached,
    /// Searches while events change
    Syncing,
    /// What many distinct searches leave in memory
    Memory,
}

const LEGS: [Leg; 7] = [
    Leg::Cached,
    Leg::NotModified,
    Leg::Large,
    Leg::Compressed,
    Leg::Uncached,
    Leg::Syncing,
    Leg::Memory,
];

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Some(wrk) = wrk::program() else {
        show::line("the load client wrk is not installed: run `apt-get install wrk`");
        return Ok(ExitCode::FAILURE);
    };
    let legs: Vec<Leg> = LEGS
        .into_iter()
        .filter(|leg| options.only.is_empty() || options.only.contains(leg))
        .collect();
    let no_fail = options.no_fail;
    let mut verdict = Verdict::default();
    let world = World::start(options, wrk).await?;
    for leg in legs {
        let (world, verdict) = (&world, &mut verdict);
        match leg {
            Leg::Cached => beside::cached(world, verdict, 20, None).await?,
            Leg::NotModified => beside::not_modified(world, verdict).await?,
            Leg::Large => beside::cached(world, verdict, 1_000, None).await?,
            Leg::Compressed => {
                let all = ["br", "zstd", "gzip"];
                let few = if world.options.all_encodings { 3 } else { 1 };
                for encoding in &all[..few] {
                    beside::cached(world, verdict, 1_000, Some(encoding)).await?;
                }
            }
            Leg::Uncached => uncached::run(world, verdict).await?,
            Leg::Syncing => syncing::run(world, verdict).await?,
            Leg::Memory => footprint::run(world, verdict).await?,
        }
    }
    world.stop().await?;
    show::line("the service that this replaces: 1463/s cached, 261/s uncached, of 20 results each");
    let held = verdict.tell();
    Ok(if held || no_fail {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

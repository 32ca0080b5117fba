//! What metrics and traces cost: each rate beside that of a process that measures and traces nothing,
//! taken in the same run and by turns. What is traced goes to a live receiver on this machine, which
//! takes its share of the processors.

pub(crate) mod receiver;
mod syncs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::api::observed::Leg;
use crate::api::verdict::Verdict;
use crate::api::{self, observed};
use receiver::Receiver;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Length of each measurement of the API, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Times that each is taken, by turns with its limit; the median of the ratios counts
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..=99))]
    pub(crate) rounds: u8,
    /// Providers that are synced at once in a measurement
    #[arg(long, default_value_t = 2_000)]
    pub(crate) providers: usize,
    /// Measure only this of the API; can be given several times
    #[arg(long, value_enum)]
    pub(crate) only: Vec<Leg>,
    /// Leave the syncs out
    #[arg(long)]
    no_syncs: bool,
    /// The program of a rotel to send spans to as well; what that costs is told and has no limit
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) rotel: Option<PathBuf>,
    /// End well although a limit is missed
    #[arg(long)]
    no_fail: bool,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Some(wrk) = api::wrk::program() else {
        crate::show::line("the load client wrk is not installed: run `apt-get install wrk`");
        return Ok(ExitCode::FAILURE);
    };
    let mut verdict = Verdict::default();
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start(&folder.path().join("receiver.log")).await?;
    observed::run(&options, wrk, &receiver, &mut verdict).await?;
    if !options.no_syncs {
        syncs::run(&options, &receiver, &mut verdict).await?;
    }
    receiver.stop().await?;
    let held = verdict.tell();
    Ok(if held || options.no_fail {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

//! The command line: one binary, a subcommand a role.

mod api_options;
mod cli;
mod command;
mod listen;
mod measure;
mod observe;
mod options;
mod progress;
mod refuse;
mod screen;
mod show;
mod start;
mod stop;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use cli::Cli;

/// Answers are many small pieces that one thread makes and another drops, which the system's own
/// allocator takes a third of their time for.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Threads for what blocks: two at most for each run of a worker, for a body that is coming and for a
/// feed that is read, and as many as usual for everything else. They are made when they are needed.
const BLOCKING_THREADS: usize = 2 * options::MOST_CONCURRENCY as usize + 512;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => {
            show::refusal(&format!("can't start: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> ExitCode {
    // Whoever came first has set the process' provider, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => refuse::refuse(&error),
    };
    match command::run(cli).await {
        Ok(code) => code,
        Err(error) => {
            show::error(&error);
            match error.is::<refuse::Contradiction>() {
                true => ExitCode::from(2),
                false => ExitCode::FAILURE,
            }
        }
    }
}

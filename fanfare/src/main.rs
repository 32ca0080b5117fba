//! The command line: one binary, a subcommand a role.

mod api_options;
mod cli;
mod command;
mod given;
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
use std::time::Duration;

use clap::Parser;
use mimalloc::MiMalloc;
use tokio::runtime::Runtime;

use cli::Cli;

/// Answers are many small pieces that one thread makes and another drops, which the system's own
/// allocator takes a third of their time for.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Threads for what blocks: two at most for each run of a worker, for a body that is coming and for a
/// feed that is read, and as many as usual for everything else. They are made when they are needed.
const BLOCKING_THREADS: usize = 2 * options::MOST_CONCURRENCY as usize + 512;

/// How long a command that is over waits for threads that block.
const ENDED_WITHIN: Duration = Duration::from_secs(2);

/// Threads of a command that asks and ends. One for each processor would be many to start for a probe,
/// on a machine that has many.
const THREADS_TO_ASK: usize = 2;

fn main() -> ExitCode {
    // Whoever came first has set the process' provider, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => refuse::refuse(&error),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if !cli.command.serves() {
        runtime.worker_threads(THREADS_TO_ASK);
    }
    let runtime = runtime
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    match runtime {
        Ok(runtime) => to_the_end(runtime, run(cli)),
        Err(error) => {
            show::refusal(&format!("can't start: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a command. A runtime that is dropped would wait for threads that block, and some may for minutes
/// or for ever: to resolve a name while no resolver answers, to read a file whose server is away. The
/// command has given up on them before its end, and nothing is left in them that must be done.
fn to_the_end(runtime: Runtime, command: impl Future<Output = ExitCode>) -> ExitCode {
    let code = runtime.block_on(command);
    runtime.shutdown_timeout(ENDED_WITHIN);
    code
}

async fn run(cli: Cli) -> ExitCode {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_command_ends_although_a_thread_still_blocks() {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let (free, freed) = mpsc::channel::<()>();
        let code = to_the_end(runtime, async {
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                freed.recv()
            });
            has_begun.await.unwrap();
            ExitCode::from(7)
        });
        assert_eq!(code, ExitCode::from(7));
        // It was not the thread's end that was waited for.
        free.send(()).unwrap();
    }
}

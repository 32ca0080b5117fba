//! The command line: one binary, a subcommand a role.

mod cli;
mod command;
mod listen;
mod observe;
mod options;
mod refuse;
mod show;
mod start;
mod stop;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
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
            ExitCode::FAILURE
        }
    }
}

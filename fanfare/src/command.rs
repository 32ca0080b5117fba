//! Each command, in a file of its own.

mod check;
mod demo;
mod doctor;
mod findings;
mod healthcheck;
mod migrate;
mod provider;
mod roles;
mod run;
mod simulate;
mod sync;
mod why;
mod workers;

use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{Cli, Command};
use crate::options::{LogFormat, LogOptions};
use crate::screen::Screen;
use crate::show;

/// What a role logs unless told otherwise: its own words, and of the libraries' only warnings.
const ROLE: &str = "info,apalis_core=warn";

/// What the demo logs.
const DEMO: &str = "warn";

/// A receiver that is gone we tell ourselves, once; the exporter would tell of each attempt.
const QUIET: &str = "opentelemetry=warn,opentelemetry_sdk=off,opentelemetry-otlp=off";

/// What telemetry calls a single command.
const SINGLE: &str = "command";

/// What a single command logs. Whether its trace was taken is not what it was asked for.
const COMMAND: &str = "warn,telemetry=error";

/// Runs one command to its end.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let instance = crate::start::worker_name();
    let (role, default_filter) = match &cli.command {
        Command::Demo(_) => ("demo", DEMO),
        Command::All(_) => ("all", ROLE),
        Command::Api(_) => ("api", ROLE),
        Command::Scheduler(_) => ("scheduler", ROLE),
        Command::Worker(options) if options.command.is_none() => ("worker", ROLE),
        Command::Simulate(_) => ("simulate", ROLE),
        _ => (SINGLE, COMMAND),
    };
    let screen = Screen::default();
    let export = match &cli.command {
        // It tells what is wrong with the variables, and a receiver that is away keeps it from nothing.
        Command::Doctor(_) => telemetry::Export::off(),
        _ => telemetry::Export::from_variables(|name| std::env::var(name).ok())?,
    };
    let telemetry = telemetry(role, &instance, default_filter, &cli.log, export, &screen)?;
    if role != SINGLE {
        telemetry::tell_of_process(&telemetry::meter(), env!("CARGO_PKG_VERSION"), role);
    }
    let done = dispatch(cli.command, &instance, &screen).await;
    telemetry.shutdown().await;
    done
}

async fn dispatch(command: Command, instance: &str, screen: &Screen) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(options) => demo::run(options, instance, screen).await?,
        Command::All(options) => roles::all(*options, instance).await?,
        Command::Api(options) => roles::api(options).await?,
        Command::Scheduler(options) => roles::scheduler(options).await?,
        Command::Worker(mut options) => match options.command.take() {
            None => roles::worker(*options, instance).await?,
            Some(command) => workers::run(command).await?,
        },
        Command::Migrate(options) => return migrate::run(options).await,
        Command::Simulate(options) => simulate::run(options).await?,
        Command::Provider(command) => provider::run(command).await?,
        Command::Sync(options) => return sync::run(options, screen).await,
        Command::Check(options) => return check::run(options).await,
        Command::Run(command) => run::run(command).await?,
        Command::Why(options) => why::run(options).await?,
        Command::Openapi => show::line(&api::openapi_json()),
        Command::Doctor(options) => return doctor::run(*options).await,
        Command::Healthcheck(options) => healthcheck::run(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn telemetry(
    role: &str,
    instance: &str,
    default_filter: &str,
    log: &LogOptions,
    mut export: telemetry::Export,
    screen: &Screen,
) -> anyhow::Result<telemetry::Guard> {
    if role == SINGLE {
        // It is over before anyone could look at them.
        export.metrics = telemetry::Destination::Off;
    }
    let config = telemetry::Config {
        service_name: format!("fanfare-{role}"),
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
        instance_id: instance.to_owned(),
        log_format: match log.log_format {
            LogFormat::Auto => telemetry::LogFormat::Auto,
            LogFormat::Human => telemetry::LogFormat::Human,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
        export,
        log_filter: log_filter(log.log.as_deref().unwrap_or(default_filter)),
    };
    let screen = screen.clone();
    telemetry::init_to(&config, move || screen.clone()).context("can't set up logs and traces")
}

/// The exporter is quiet unless the filter itself speaks of it.
fn log_filter(filter: &str) -> String {
    if filter.contains("opentelemetry") {
        return filter.to_owned();
    }
    format!("{filter},{QUIET}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exporter_is_quiet_unless_the_filter_speaks_of_it() {
        assert_eq!(log_filter("debug"), format!("debug,{QUIET}"));
        let spoken = "info,opentelemetry_sdk=debug";
        assert_eq!(log_filter(spoken), spoken);
    }
}

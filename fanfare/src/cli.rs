//! The commands and what each one takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::tz::TimeZone;
use worker::format::Format;

use crate::api_options::ApiOptions;
use crate::options::{
    DatabaseOptions, FetchOptions, LeaseOptions, ListenOptions, LogOptions, ObserveOptions,
    QueueOptions, SchedulerOptions, WorkerOptions,
};

/// Collects event listings from many providers and serves them from one fast API.
#[derive(Debug, Parser)]
#[command(name = "fanfare", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulated providers and every role in one process; nothing to set up
    Demo(Demo),
    /// Every role in one process, with your own providers
    All(Box<All>),
    /// Serves the events over HTTP
    Api(Api),
    /// Decides what is due and enqueues it; run one or several
    Scheduler(Scheduler),
    /// Fetches, parses and stores feeds; run as many as you need. `worker list` shows them
    Worker(Box<Worker>),
    /// Brings the database's schema up to date
    Migrate(Migrate),
    /// Serves simulated feeds, good and bad ones
    Simulate(Simulate),
    /// Shows and changes the providers
    #[command(subcommand)]
    Provider(Provider),
    /// Asks for a sync now
    Sync(Sync),
    /// Tells what a sync would do with a feed, and writes nothing
    #[command(after_help = CHECK_ENDS)]
    Check(Check),
    /// Shows what ran and what is running
    #[command(subcommand)]
    Run(Run),
    /// Tells why a provider is or is not being synced now
    Why(ProviderNamed),
    /// Prints the API's OpenAPI document
    Openapi,
    /// Looks at all that Fanfare needs, as set up here, and says how to fix what is wrong; changes nothing
    #[command(after_help = DOCTOR_ENDS)]
    Doctor(Box<Doctor>),
    /// Asks a running process whether it lives; exit 0 or 1
    Healthcheck(Healthcheck),
}

impl Command {
    /// Whether it runs until it is told to stop.
    pub(crate) fn serves(&self) -> bool {
        matches!(
            self,
            Self::Demo(_)
                | Self::All(_)
                | Self::Api(_)
                | Self::Scheduler(_)
                | Self::Worker(_)
                | Self::Simulate(_)
        )
    }
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Simulated providers
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) providers: u32,
    /// Events of each provider, about
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) events: u32,
    /// Folder of the database; a second start on it finds its events again [default: a fresh one
    /// that is removed at the end]
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(flatten)]
    pub(crate) observe: ObserveOptions,
}

#[derive(Debug, Args)]
pub(crate) struct All {
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    #[command(flatten)]
    pub(crate) queue: QueueOptions,
    #[command(flatten)]
    pub(crate) scheduler: SchedulerOptions,
    #[command(flatten)]
    pub(crate) worker: WorkerOptions,
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(flatten)]
    pub(crate) lease: LeaseOptions,
    #[command(flatten)]
    pub(crate) observe: ObserveOptions,
}

#[derive(Debug, Args)]
pub(crate) struct Api {
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(flatten)]
    pub(crate) observe: ObserveOptions,
}

#[derive(Debug, Args)]
pub(crate) struct Scheduler {
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    #[command(flatten)]
    pub(crate) queue: QueueOptions,
    #[command(flatten)]
    pub(crate) scheduler: SchedulerOptions,
    #[command(flatten)]
    pub(crate) lease: LeaseOptions,
    #[command(flatten)]
    pub(crate) observe: ObserveOptions,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Worker {
    #[command(subcommand)]
    pub(crate) command: Option<WorkerCommand>,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    #[command(flatten)]
    pub(crate) queue: QueueOptions,
    #[command(flatten)]
    pub(crate) worker: WorkerOptions,
    #[command(flatten)]
    pub(crate) lease: LeaseOptions,
    #[command(flatten)]
    pub(crate) observe: ObserveOptions,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    /// Only tell what is missing; exit 1 if anything is
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// Address to listen on; port 0 picks one
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: std::net::SocketAddr,
    /// Simulated providers
    #[arg(long, default_value_t = 20)]
    pub(crate) providers: usize,
    /// Events of each provider, about
    #[arg(long, default_value_t = 200)]
    pub(crate) events: usize,
    /// Decides everything that the feeds say
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Time from one state of the feeds to the next; without it they change only when told to
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) round: Option<std::time::Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// Adds and updates providers from a TOML file, all or none, and prints the difference
    Apply(ProviderApply),
    /// Lists the providers, how fresh each is and what is wrong
    List(ProviderList),
    /// Shows one provider and its latest runs
    Show(ProviderNamed),
    /// Stops a provider's syncs until it is resumed
    Pause(ProviderPause),
    /// Lifts a pause; the provider is due at once
    Resume(ProviderNamed),
    /// Hides a provider and ends its syncs; its events stay
    Remove(ProviderRemove),
}

#[derive(Debug, Args)]
pub(crate) struct ProviderApply {
    /// The provider file
    pub(crate) file: PathBuf,
    /// Only tell what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Retire the providers that are not in the file
    #[arg(long)]
    pub(crate) prune: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProviderList {
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProviderNamed {
    /// The provider's name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProviderPause {
    #[command(flatten)]
    pub(crate) named: ProviderNamed,
    /// Shown wherever the provider is
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct ProviderRemove {
    #[command(flatten)]
    pub(crate) named: ProviderNamed,
    /// Delete its events and their history, too
    #[arg(long)]
    pub(crate) purge: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// The providers' names
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) names: Vec<String>,
    /// All providers that are neither paused nor retired
    #[arg(long)]
    pub(crate) all: bool,
    /// Take for gone what their feeds lack, however much it is, and fetch them whatever is known
    #[arg(long, conflicts_with = "all")]
    pub(crate) accept_gone: bool,
    /// Show the progress until it is over; exit 1 if a run failed
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest wait
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration, requires = "wait")]
    pub(crate) timeout: std::time::Duration,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const CHECK_ENDS: &str = "\
Exit codes:
  0  the feed would be stored as a whole
  1  it can't be fetched, read or compared; the error says why
  2  the arguments make no sense
  3  it would be stored, but something would be set aside, or held because too much is missing";

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A provider's name; or an http:// or https:// address; or a file: what is there as one, or has
    /// a slash or a dot
    #[arg(value_name = "NAME_URL_OR_FILE")]
    pub(crate) subject: String,
    /// What the feed is written in [default: the provider's, or plan-list]
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// An IANA time zone, for naive times in the feed [default: the provider's, or UTC]
    #[arg(long, value_parser = timezone)]
    pub(crate) timezone: Option<TimeZone>,
    /// Compare an address or a file with what is stored of this provider; without it, everything is
    /// new. A provider is compared with itself
    #[arg(long, value_name = "NAME")]
    pub(crate) against: Option<String>,
    /// How many of each kind are shown
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub(crate) few: usize,
    /// The longest that the fetch may take [default: the provider's, or 30s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    #[command(flatten)]
    pub(crate) fetch: FetchOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn timezone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        format!("there is no time zone `{name}`: give an IANA name such as Europe/Madrid")
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Lists the worker processes, what they hold and their last signs of life. One that has given
    /// none for a lease is silent: others take its runs over
    List(WorkerList),
}

#[derive(Debug, Args)]
pub(crate) struct WorkerList {
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    #[command(flatten)]
    pub(crate) lease: LeaseOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// Lists runs, newest first
    List(RunList),
    /// Shows one run: what it found, what its time went to, and its trace
    Show(RunShow),
}

#[derive(Debug, Args)]
pub(crate) struct RunList {
    /// Only this provider's
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Only those that are queued or running
    #[arg(long)]
    pub(crate) open: bool,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub(crate) limit: i64,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunShow {
    /// The run's id
    pub(crate) id: uuid::Uuid,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const DOCTOR_ENDS: &str = "\
Exit codes:
  0  there is no error
  1  there is one, or with --strict a warning
  2  a setting can't be understood";

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Let warnings count like errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// What the roles take, so that it can be run with their environment.
    #[command(flatten)]
    pub(crate) roles: All,
}

#[derive(Debug, Args)]
pub(crate) struct Healthcheck {
    #[command(flatten)]
    pub(crate) listen: ListenOptions,
    #[command(flatten)]
    pub(crate) observe: ObserveOptions,
    /// Ask whether it is ready rather than whether it lives
    #[arg(long)]
    pub(crate) ready: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every variable that some command reads, with its default.
    fn variables(command: &clap::Command, found: &mut std::collections::BTreeMap<String, String>) {
        for argument in command.get_arguments() {
            if let Some(name) = argument.get_env() {
                let default = argument
                    .get_default_values()
                    .iter()
                    .map(|value| value.to_string_lossy().into_owned())
                    .collect();
                found.insert(name.to_string_lossy().into_owned(), default);
            }
        }
        for subcommand in command.get_subcommands() {
            variables(subcommand, found);
        }
    }

    #[test]
    fn the_example_environment_lists_every_variable_with_its_default() {
        let mut expected = std::collections::BTreeMap::new();
        variables(&Cli::command(), &mut expected);
        let example = include_str!("../../.env.example");
        let listed: std::collections::BTreeMap<String, String> = example
            .lines()
            .filter_map(|line| line.trim_start_matches('#').trim().split_once('='))
            .filter(|(name, _)| name.starts_with("FANFARE_"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(listed, expected);
    }
}

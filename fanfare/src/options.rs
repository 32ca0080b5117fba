//! Options that several commands share, one struct a concern. Each is an environment variable, too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use entity::{DatabaseUrl, Kind};
use queue::RedisUrl;
use worker::fetch::{Networks, Proxy};

use crate::given::ListenGiven;

#[derive(Debug, Args)]
pub(crate) struct LogOptions {
    /// What is logged: a level, or directives such as info,worker=debug
    #[arg(long, global = true, env = "FANFARE_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How: for people in a terminal and as JSON otherwise, or one of them always
    #[arg(
        long,
        global = true,
        env = "FANFARE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "auto"
    )]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Auto,
    Human,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct DatabaseOptions {
    /// Where events live: `sqlite://FILE?mode=rwc` or `postgres://USER:PASSWORD@HOST/NAME`
    #[arg(
        long,
        env = "FANFARE_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "sqlite://fanfare.db?mode=rwc"
    )]
    pub(crate) database_url: DatabaseUrl,
    /// What the API reads from, if not the same: a replica
    #[arg(
        long,
        env = "FANFARE_DATABASE_READ_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) database_read_url: Option<DatabaseUrl>,
    /// Connections to PostgreSQL at most, for writes and for reads each
    #[arg(
        long,
        env = "FANFARE_DATABASE_CONNECTIONS",
        value_name = "NUMBER",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub(crate) database_connections: u32,
}

impl DatabaseOptions {
    /// Reads of an embedded database at once.
    pub(crate) const EMBEDDED_READERS: usize = 4;

    /// Reads at once.
    pub(crate) fn connections(&self) -> usize {
        match self.database_url.kind() {
            Kind::Sqlite => Self::EMBEDDED_READERS,
            Kind::Postgres => usize::try_from(self.database_connections).unwrap_or(usize::MAX),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct QueueOptions {
    /// The queue: `redis://HOST:PORT` or `rediss://USER:PASSWORD@HOST:PORT`. Without it it is in
    /// this process, which only `all` and `demo` can do
    #[arg(
        long,
        env = "FANFARE_REDIS_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) redis_url: Option<RedisUrl>,
    /// Name of the queue, for several Fanfares on one Redis
    #[arg(
        long,
        env = "FANFARE_QUEUE",
        value_name = "NAME",
        default_value = "fanfare"
    )]
    pub(crate) queue: String,
}

#[derive(Debug, Args)]
pub(crate) struct LeaseOptions {
    /// How long a running sync is believed without a sign of life; the same for all processes
    #[arg(
        long,
        env = "FANFARE_LEASE",
        value_name = "DURATION",
        default_value = "20s",
        value_parser = lease
    )]
    pub(crate) lease: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct SchedulerOptions {
    /// Provider file that is applied, never pruned, at the start
    #[arg(long, env = "FANFARE_PROVIDERS", value_name = "FILE")]
    pub(crate) providers: Option<PathBuf>,
    /// From one look for due providers to the next
    #[arg(
        long,
        env = "FANFARE_TICK",
        value_name = "DURATION",
        default_value = "1s",
        value_parser = tick
    )]
    pub(crate) tick: Duration,
    /// Runs that may be queued or running before nothing more is claimed
    #[arg(
        long,
        env = "FANFARE_MAX_OUTSTANDING",
        value_name = "NUMBER",
        default_value_t = 20_000,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) max_outstanding: u64,
    /// How long runs, fan-outs and set-aside items are kept after their end
    #[arg(
        long,
        env = "FANFARE_KEEP_RUNS",
        value_name = "DURATION",
        default_value = "14d",
        value_parser = humantime::parse_duration
    )]
    pub(crate) keep_runs: Duration,
    /// How long the log of changes is kept
    #[arg(
        long,
        env = "FANFARE_KEEP_CHANGES",
        value_name = "DURATION",
        default_value = "90d",
        value_parser = humantime::parse_duration
    )]
    pub(crate) keep_changes: Duration,
    /// Runs of one fan-out that share its trace; each above that begins one of its own, which is
    /// linked to it
    #[arg(
        long,
        env = "FANFARE_TRACE_CHILDREN",
        value_name = "NUMBER",
        default_value_t = 500
    )]
    pub(crate) trace_children: u64,
}

/// Runs at once in one process.
pub(crate) const MOST_CONCURRENCY: u16 = 4096;

#[derive(Debug, Args)]
pub(crate) struct WorkerOptions {
    /// Runs at once in this process
    #[arg(
        long,
        env = "FANFARE_WORKER_CONCURRENCY",
        value_name = "NUMBER",
        default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=MOST_CONCURRENCY.into())
    )]
    pub(crate) worker_concurrency: u16,
    /// How long running syncs may go on after a stop before they are handed back
    #[arg(
        long,
        env = "FANFARE_DRAIN",
        value_name = "DURATION",
        default_value = "20s",
        value_parser = humantime::parse_duration
    )]
    pub(crate) drain: Duration,
    /// Fetches at once from one host, by all workers together
    #[arg(
        long,
        env = "FANFARE_HOST_CONCURRENCY",
        value_name = "NUMBER",
        default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub(crate) host_concurrency: u32,
    /// Least time between the starts of two fetches from one host, by all workers together
    #[arg(
        long,
        env = "FANFARE_HOST_GAP",
        value_name = "DURATION",
        default_value = "0s",
        value_parser = humantime::parse_duration
    )]
    pub(crate) host_gap: Duration,
    #[command(flatten)]
    pub(crate) fetch: FetchOptions,
}

#[derive(Debug, Args)]
pub(crate) struct FetchOptions {
    /// Largest feed that is read, decompressed, in bytes
    #[arg(
        long,
        env = "FANFARE_MAX_BODY",
        value_name = "BYTES",
        default_value_t = 2_147_483_648,
        value_parser = clap::value_parser!(u64).range(1024..)
    )]
    pub(crate) max_body: u64,
    /// Largest feed that is read, as it comes over the wire, in bytes
    #[arg(
        long,
        env = "FANFARE_MAX_WIRE",
        value_name = "BYTES",
        default_value_t = 1_073_741_824,
        value_parser = clap::value_parser!(u64).range(1024..)
    )]
    pub(crate) max_wire: u64,
    /// How many times its size on the wire a feed may be, if it is past 16 MiB
    #[arg(
        long,
        env = "FANFARE_MAX_RATIO",
        value_name = "TIMES",
        default_value_t = 200,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) max_ratio: u64,
    /// Folder for feeds that are too large for memory, while they are read; the system's folder for
    /// temporary files without it
    #[arg(long, env = "FANFARE_SPOOL_DIR", value_name = "FOLDER")]
    pub(crate) spool_dir: Option<PathBuf>,
    /// What all feeds together may take of that folder at once, in bytes
    #[arg(
        long,
        env = "FANFARE_MAX_SPOOL",
        value_name = "BYTES",
        default_value_t = 8_589_934_592
    )]
    pub(crate) max_spool: u64,
    /// Networks that providers may live in although they are not public: addresses or CIDRs, with
    /// commas
    #[arg(long, env = "FANFARE_ALLOW_NETWORKS", value_name = "NETWORKS")]
    pub(crate) allow_networks: Option<Networks>,
    /// How providers reach you: an address of mail or of a page, shown to them with each fetch
    #[arg(long, env = "FANFARE_CONTACT", value_name = "ADDRESS")]
    pub(crate) contact: Option<String>,
    /// Proxy for all fetches; none is used without it
    #[arg(
        long,
        env = "FANFARE_PROXY",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) proxy: Option<Proxy>,
}

#[derive(Debug, Args)]
pub(crate) struct ListenOptions {
    // Before the address, which is taken out of what was read.
    #[command(flatten)]
    pub(crate) given: ListenGiven,
    /// The API's address; port 0 picks one
    #[arg(
        long,
        env = "FANFARE_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct ObserveOptions {
    /// Address of this process' own /healthz, /readyz and /metrics. Without it, the API has them at
    /// its address, and a scheduler or a worker has none
    #[arg(long, env = "FANFARE_OBSERVE_LISTEN", value_name = "ADDRESS")]
    pub(crate) observe_listen: Option<SocketAddr>,
}

fn lease(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_millis(500), Duration::from_secs(600))
}

fn tick(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_millis(20), Duration::from_secs(60))
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}: give a duration such as 500ms, 20s or 1m"))?;
    if duration < least || duration > most {
        return Err(format!(
            "give {} to {}",
            humantime::format_duration(least),
            humantime::format_duration(most)
        ));
    }
    Ok(duration)
}

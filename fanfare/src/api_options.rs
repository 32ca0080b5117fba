//! Options of the API, and how it behaves with them.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use api::{
    AdminToken, CacheControl, Cors, PerSecond, Rate, SharedCache, SharedCacheConfig, TrustedProxies,
};
use clap::Args;
use queue::RedisUrl;

use crate::options::ListenOptions;
use crate::refuse::Contradiction;

#[derive(Debug, Args)]
pub(crate) struct ApiOptions {
    #[command(flatten)]
    pub(crate) listen: ListenOptions,
    #[command(flatten)]
    access: AccessOptions,
    #[command(flatten)]
    cache: CacheOptions,
    #[command(flatten)]
    bounds: BoundOptions,
}

#[derive(Debug, Args)]
struct AccessOptions {
    /// What opens the API's admin routes, at least 16 characters; there are none without it
    #[arg(
        long,
        env = "FANFARE_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    admin_token: Option<AdminToken>,
    /// Requests that each client may send a second, on the long run; as many as it likes without it
    #[arg(long, env = "FANFARE_RATE_LIMIT", value_name = "NUMBER")]
    rate_limit: Option<PerSecond>,
    /// Requests that each client may send at once; those of one second without it
    #[arg(
        long,
        env = "FANFARE_RATE_BURST",
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    rate_burst: Option<u32>,
    /// Proxies whose X-Forwarded-For is believed: addresses or CIDRs, with commas
    #[arg(long, env = "FANFARE_TRUSTED_PROXIES", value_name = "NETWORKS")]
    trusted_proxies: Option<TrustedProxies>,
    /// Origins whose pages may read the API: scheme://host:port, with commas, or * for all
    #[arg(long, env = "FANFARE_CORS_ORIGINS", value_name = "ORIGINS")]
    cors_origins: Option<Cors>,
}

#[derive(Debug, Args)]
struct CacheOptions {
    /// A Redis in which the API's processes share their answers, not the queue's:
    /// `redis://HOST:PORT` or `rediss://USER:PASSWORD@HOST:PORT`
    #[arg(
        long,
        env = "FANFARE_CACHE_URL",
        hide_env_values = true,
        value_name = "URL",
        value_parser = shared_cache
    )]
    cache_url: Option<CacheUrl>,
    /// Memory for answers that are kept in this process, in bytes
    #[arg(
        long,
        env = "FANFARE_CACHE_BYTES",
        value_name = "BYTES",
        default_value_t = 67_108_864,
        value_parser = clap::value_parser!(u64).range(1_048_576..)
    )]
    cache_bytes: u64,
    /// How long caches between the API and its clients may give out an answer without asking
    #[arg(
        long,
        env = "FANFARE_CACHE_MAX_AGE",
        value_name = "DURATION",
        default_value = "1s",
        value_parser = humantime::parse_duration
    )]
    cache_max_age: Duration,
    /// How long past that they may give it out while they ask
    #[arg(
        long,
        env = "FANFARE_CACHE_STALE_WHILE_REVALIDATE",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = humantime::parse_duration
    )]
    cache_stale_while_revalidate: Duration,
    /// How long past that they may give it out while the API does not answer
    #[arg(
        long,
        env = "FANFARE_CACHE_STALE_IF_ERROR",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = humantime::parse_duration
    )]
    cache_stale_if_error: Duration,
}

#[derive(Debug, Args)]
struct BoundOptions {
    /// How long a replica may lack a commit before the API reads the primary instead
    #[arg(
        long,
        env = "FANFARE_REPLICA_LAG",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = humantime::parse_duration
    )]
    replica_lag: Duration,
    /// Requests to the API that may wait for the database; further ones are refused at once
    #[arg(
        long,
        env = "FANFARE_API_WAITING",
        value_name = "NUMBER",
        default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    api_waiting: u32,
    /// Connections to the API at once; beyond them only probes are answered
    #[arg(
        long,
        env = "FANFARE_API_CONNECTIONS",
        value_name = "NUMBER",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    api_connections: u32,
    /// Folder for answers that are too large for memory, while they are sent; the system's folder for
    /// temporary files without it
    #[arg(long, env = "FANFARE_API_SPOOL_DIR", value_name = "FOLDER")]
    api_spool_dir: Option<PathBuf>,
    /// What all such answers together may take at once, in memory and in that folder, in bytes
    #[arg(
        long,
        env = "FANFARE_API_MAX_SPOOL",
        value_name = "BYTES",
        default_value_t = 2_147_483_648
    )]
    api_max_spool: u64,
    /// How long the API goes on taking requests after a stop, not ready any more, so that a load
    /// balancer can notice
    #[arg(
        long,
        env = "FANFARE_DRAIN_DELAY",
        value_name = "DURATION",
        default_value = "0s",
        value_parser = humantime::parse_duration
    )]
    drain_delay: Duration,
}

/// The shared cache, and where it is for whoever looks at the server itself.
#[derive(Debug, Clone)]
struct CacheUrl {
    cache: SharedCache,
    url: RedisUrl,
}

fn shared_cache(url: &str) -> Result<CacheUrl, Box<dyn std::error::Error + Send + Sync>> {
    Ok(CacheUrl {
        cache: SharedCache::open(url, SharedCacheConfig::default())?,
        url: url.parse()?,
    })
}

impl ApiOptions {
    /// Where the shared cache is, if there is one.
    pub(crate) fn cache_url(&self) -> Option<&RedisUrl> {
        self.cache.cache_url.as_ref().map(|it| &it.url)
    }

    /// How the API behaves with these options, on a pool of so many connections.
    pub(crate) fn config(&self, connections: usize) -> anyhow::Result<api::Config> {
        let (access, cache, bounds) = (&self.access, &self.cache, &self.bounds);
        if access.rate_burst.is_some() && access.rate_limit.is_none() {
            bail!(Contradiction(
                "a burst needs a rate: set FANFARE_RATE_LIMIT as well, or leave FANFARE_RATE_BURST \
                 out"
                .to_owned()
            ));
        }
        let burst = access.rate_burst.and_then(NonZeroU32::new);
        Ok(api::Config {
            admin_token: access.admin_token.clone(),
            rate: access.rate_limit.map(|rate| Rate::new(rate, burst)),
            trusted_proxies: access.trusted_proxies.clone().unwrap_or_default(),
            cors: access.cors_origins.clone().unwrap_or_default(),
            shared_cache: cache.cache_url.as_ref().map(|it| it.cache.clone()),
            cache_bytes: cache.cache_bytes,
            cache_control: CacheControl {
                max_age: cache.cache_max_age,
                stale_while_revalidate: cache.cache_stale_while_revalidate,
                stale_if_error: cache.cache_stale_if_error,
            },
            replica_lag: bounds.replica_lag,
            queries: connections,
            waiting: number(bounds.api_waiting),
            connections: number(bounds.api_connections),
            spool_folder: bounds.api_spool_dir.clone(),
            spool_bytes: bounds.api_max_spool,
            drain_delay: bounds.drain_delay,
            meter: Some(telemetry::meter()),
            spans_of_hits: telemetry::ended_spans(),
            ..api::Config::default()
        })
    }
}

fn number(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn configured(options: &[&str]) -> anyhow::Result<api::Config> {
        let arguments = [&["fanfare", "api"], options].concat();
        let Command::Api(options) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("another command");
        };
        options.api.config(7)
    }

    #[test]
    fn the_apis_options_say_how_it_behaves() {
        let config = configured(&[
            "--admin-token=0123456789abcdef",
            "--rate-limit=0.5",
            "--rate-burst=7",
            "--trusted-proxies=10.0.0.0/8",
            "--cors-origins=https://app.example",
            "--cache-url=redis://127.0.0.1:1",
            "--cache-bytes=2000000",
            "--cache-max-age=2s",
            "--replica-lag=7s",
            "--api-waiting=3",
            "--api-max-spool=4",
            "--drain-delay=9s",
        ]);
        let config = config.unwrap();
        assert!(config.admin_token.is_some());
        let rate = api::Rate::new("0.5".parse().unwrap(), NonZeroU32::new(7));
        assert_eq!(config.rate, Some(rate));
        assert_eq!(config.trusted_proxies, "10.0.0.0/8".parse().unwrap());
        assert_eq!(config.cors, "https://app.example".parse().unwrap());
        assert!(config.shared_cache.is_some());
        assert_eq!(config.cache_bytes, 2_000_000);
        assert_eq!(config.cache_control.max_age, Duration::from_secs(2));
        assert_eq!(config.replica_lag, Duration::from_secs(7));
        assert_eq!((config.queries, config.waiting), (7, 3));
        assert_eq!(config.spool_bytes, 4);
        assert_eq!(config.drain_delay, Duration::from_secs(9));
    }

    #[test]
    fn without_options_the_api_behaves_as_its_own_defaults_say() {
        let (ours, its) = (configured(&[]).unwrap(), api::Config::default());
        assert_eq!(ours.cache_bytes, its.cache_bytes);
        assert_eq!(ours.cache_control, its.cache_control);
        assert_eq!(ours.replica_lag, its.replica_lag);
        assert_eq!(ours.waiting, its.waiting);
        assert_eq!(ours.connections, its.connections);
        assert_eq!(ours.spool_bytes, its.spool_bytes);
        assert_eq!(ours.drain_delay, its.drain_delay);
        assert!(ours.spans_of_hits.is_none() && ours.shared_cache.is_none());
    }

    #[test]
    fn without_options_the_api_limits_nobody_and_changes_nothing() {
        let config = configured(&[]).unwrap();
        assert!(config.admin_token.is_none() && config.rate.is_none());
        assert_eq!(config.trusted_proxies, api::TrustedProxies::default());
        assert_eq!(config.cors, api::Cors::Off);
        assert!(configured(&["--rate-burst=7"]).is_err());
    }
}

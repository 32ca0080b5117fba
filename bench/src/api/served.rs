//! The API, as `fanfare api` runs it, in a process of its own.

use anyhow::Context;
use clap::Args;
use entity::{Access, DatabaseUrl};
use telemetry::{Export, LogFormat};
use tokio::net::TcpListener;

use super::server;
use crate::show;

/// How its sessions are told from others.
pub(super) const APPLICATION: &str = "fanfare api";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long)]
    database: DatabaseUrl,
    /// Measure and trace nothing
    #[arg(long)]
    unobserved: bool,
}

/// Serves until the standard input ends; the first line on the standard output is the address, and
/// the log goes to the standard error.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    // As the binary does at its start: exporters need it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let telemetry = telemetry::init(&telemetry::Config {
        service_name: "fanfare-api".to_owned(),
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
        instance_id: format!("bench-{}", std::process::id()),
        log_format: LogFormat::Auto,
        log_filter: "info,opentelemetry=warn,opentelemetry_sdk=warn".to_owned(),
        export: Export::from_variables(|name| std::env::var(name).ok())?,
    })?;
    let mut config = config();
    if !options.unobserved {
        config.meter = Some(telemetry::meter());
        config.spans_of_hits = telemetry::ended_spans();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let db = entity::connect(&entity::Config {
        application_name: APPLICATION.to_owned(),
        access: Access::Roles,
        ..entity::Config::new(options.database)
    })
    .await?;
    let address = listener.local_addr().context("a socket has an address")?;
    show::line(&address.to_string());
    let stop = server::until_input_ends();
    let served = ::api::run(config, listener, db.clone(), stop).await;
    db.close().await;
    telemetry.shutdown().await;
    served
}

fn config() -> ::api::Config {
    ::api::Config::default()
}

/// The most memory that its cache may take.
pub(super) fn cache_bytes() -> u64 {
    config().cache_bytes
}

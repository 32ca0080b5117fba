//! Syncs by a scheduler and a worker that trace each of them, beside the same two that trace and measure
//! nothing.

use std::time::Duration;

use simulator::Simulator;
use testkit::{PostgresServer, RedisServer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Options;
use super::receiver::Receiver;
use crate::api::figures::Figures;
use crate::api::verdict::Verdict;
use crate::fanout::path;
use crate::show;

/// Least rate of what traces everything, of the rate of what traces nothing.
const TRACED: f64 = 0.95;
const EVENTS: usize = 20;
const WHAT: &str = "syncs, all traced";
/// Of a sync that stores: `send sync`, `process sync`, `wait`, `begin`, `fetch`, `GET`, `parse`,
/// `compare` and `store`.
const SPANS: f64 = 9.0;

pub(super) async fn run(
    options: &Options,
    receiver: &Receiver,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let postgres = PostgresServer::start_with(&[
        "max_connections=300",
        "shared_preload_libraries=pg_stat_statements",
    ])
    .await;
    let redis = RedisServer::start().await;
    let stop = CancellationToken::new();
    let config = simulator::Config {
        providers: options.providers,
        events: EVENTS,
        bad_items: false,
        ..simulator::Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let simulator = simulator::start(listener, config, stop.clone());
    let syncs = Syncs {
        servers: (&postgres, &redis),
        simulator: &simulator,
        providers: options.providers,
    };
    let off = [];
    let on = [("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint())];
    // What nobody looks at.
    syncs.take("warm", &off).await?;
    let before = receiver.received().await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let mut turns = [(&off[..], &mut without, "off"), (&on[..], &mut with, "on")];
        // Whoever comes second finds a warmer machine.
        if round % 2 == 1 {
            turns.reverse();
        }
        for (variables, took, name) in turns {
            let name = format!("syncs_{round}_{name}");
            took.push(syncs.take(&name, variables).await?.as_secs_f64());
        }
    }
    let received = receiver.received().await?.since(before);
    let ratios: Figures = std::iter::zip(&without, &with)
        .map(|(without, with)| without / with)
        .collect();
    let rate = |took: Vec<f64>| options.providers as f64 / Figures::from_iter(took).median();
    let held = verdict.at_least(WHAT, ratios.median(), TRACED);
    show::line(&format!(
        "{WHAT:<26} {:.0}/s; nothing observed {:.0}/s; ratio {ratios}, {held}",
        rate(with),
        rate(without),
    ));
    let synced = options.providers as f64 * f64::from(options.rounds);
    let spans = received.spans as f64 / synced;
    let held = verdict.at_least("spans a traced sync", spans, SPANS);
    show::line(&format!(
        "{:<26} {} spans arrived of scheduler and worker, {spans:.1} a sync, {held}; {:.0} bytes each",
        "",
        received.spans,
        received.bytes as f64 / received.spans as f64,
    ));
    stop.cancel();
    simulator.stopped().await;
    Ok(())
}

struct Syncs<'a> {
    servers: (&'a PostgresServer, &'a RedisServer),
    simulator: &'a Simulator,
    providers: usize,
}

impl Syncs<'_> {
    /// One sync of each provider, by one scheduler and one worker process with these variables.
    async fn take(&self, name: &str, variables: &[(&str, String)]) -> anyhow::Result<Duration> {
        let roles = (1, variables);
        let measured =
            path::fan_out(self.servers, self.simulator, self.providers, roles, name).await?;
        Ok(measured.took)
    }
}

//! What metrics and traces cost the API: the same search from memory, over and over.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::figures::Figures;
use super::server::Server;
use super::verdict::Verdict;
use super::world::{Loaded, World, p99_ms, rate};
use super::wrk::Requests;
use crate::observed::Options;
use crate::observed::receiver::{Received, Receiver};
use crate::show;

/// What is measured beside an API that measures and traces nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Leg {
    /// Metrics, and no traces
    Metrics,
    /// One trace in a hundred
    Few,
    /// Every trace
    All,
    /// Every trace, with the batches and the queue that a busy API needs
    Wide,
    /// Every trace, to rotel
    Rotel,
}

const LEGS: [Leg; 5] = [Leg::Metrics, Leg::Few, Leg::All, Leg::Wide, Leg::Rotel];

impl Leg {
    fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Few => "traces, 1 in 100",
            Self::All => "traces, all",
            Self::Wide => "traces, all, wide queue",
            Self::Rotel => "traces, all, to rotel",
        }
    }

    /// Least rate of it, of the rate of what observes nothing; `None` where it is only told.
    fn at_least(self) -> Option<f64> {
        match self {
            Self::Metrics | Self::Few => Some(0.95),
            Self::All => Some(0.6),
            Self::Wide | Self::Rotel => None,
        }
    }

    /// The share of traces that are recorded.
    fn sampled(self) -> f64 {
        match self {
            Self::Metrics => 0.0,
            Self::Few => 0.01,
            Self::All | Self::Wide | Self::Rotel => 1.0,
        }
    }

    fn variables(self, endpoint: &str) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if self != Self::Metrics {
            variables.push(("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned()));
            let sampler = "parentbased_traceidratio".to_owned();
            variables.push(("OTEL_TRACES_SAMPLER", sampler));
            variables.push(("OTEL_TRACES_SAMPLER_ARG", self.sampled().to_string()));
        }
        if self == Self::Wide {
            variables.push(("OTEL_BSP_MAX_QUEUE_SIZE", "32768".to_owned()));
            variables.push(("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096".to_owned()));
        }
        variables
    }
}

/// Measures all legs that are asked for.
pub(crate) async fn run(
    options: &Options,
    wrk: PathBuf,
    receiver: &Receiver,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let of_api = super::Options {
        events: 20_000,
        seconds: options.seconds,
        rounds: options.rounds,
        queries: 0,
        all_encodings: false,
        only: Vec::new(),
        no_fail: true,
    };
    let world = World::start(of_api, wrk).await?;
    let path = world.dataset.window(world.dataset.events / 3, 20);
    let off = world.api_with("off", Some("--unobserved"), &[]).await?;
    for leg in LEGS {
        if !options.only.is_empty() && !options.only.contains(&leg) {
            continue;
        }
        let rotel = match (leg, &options.rotel) {
            (Leg::Rotel, None) => {
                // Unless it was asked for, it is no part of the whole.
                if options.only.contains(&leg) {
                    verdict.skipped(leg.name(), "it needs --rotel PROGRAM");
                }
                continue;
            }
            (Leg::Rotel, Some(program)) => Some(Rotel::start(program).await?),
            _ => None,
        };
        let endpoint = rotel
            .as_ref()
            .map_or_else(|| receiver.endpoint(), |rotel| rotel.endpoint.clone());
        let name = format!("{leg:?}");
        let on = world
            .api_with(&name, None, &leg.variables(&endpoint))
            .await?;
        let turns = Turns {
            world: &world,
            leg,
            path: &path,
            off: &off,
            on: &on,
        };
        let before = receiver.received().await?;
        let made = turns.run(verdict).await?;
        // It sends what it still has.
        on.stop().await?;
        if rotel.is_none() && leg != Leg::Metrics {
            tell(leg, made, receiver.received().await?.since(before), verdict);
        }
    }
    off.stop().await?;
    world.stop().await
}

/// How many of the spans that were made have arrived.
fn tell(leg: Leg, requests: u64, received: Received, verdict: &mut Verdict) {
    let share = received.spans as f64 / requests as f64;
    show::line(&format!(
        "{:<26} {requests} requests, {} spans arrived, {:.2} of 100, {:.0} bytes each, {:.0} in a batch",
        "",
        received.spans,
        share * 100.0,
        received.bytes as f64 / received.spans as f64,
        received.spans as f64 / received.batches as f64,
    ));
    // What is sampled is more than a queue holds only if all is.
    let expected = leg.sampled();
    if leg == Leg::Few && (share - expected).abs() > expected / 5.0 {
        verdict.wrong(
            leg.name(),
            &format!("{:.2} of 100 spans arrived", share * 100.0),
        );
    }
    if leg != Leg::Few && share < 0.01 {
        verdict.wrong(leg.name(), "hardly a span arrived");
    }
}

struct Turns<'a> {
    world: &'a World,
    leg: Leg,
    path: &'a str,
    off: &'a Server,
    on: &'a Server,
}

impl Turns<'_> {
    /// Rounds of both; how many requests were answered with the leg on.
    async fn run(&self, verdict: &mut Verdict) -> anyhow::Result<u64> {
        let requests = Requests::Same(self.path);
        let mut made = 0;
        for server in [self.off, self.on] {
            let warm = self.world.load_for(server, &requests, 1).await?;
            if std::ptr::eq(server, self.on) {
                made += warm.requests;
            }
        }
        let (mut off, mut on) = (Vec::new(), Vec::new());
        for round in 0..self.world.options.rounds {
            let mut turns = [(self.off, &mut off), (self.on, &mut on)];
            // Whoever comes second finds a warmer machine.
            if round % 2 == 1 {
                turns.reverse();
            }
            for (server, loaded) in turns {
                let load = self.world.load(server, &requests, &[]).await?;
                verdict.clean(self.leg.name(), &load.told);
                loaded.push(load);
            }
        }
        made += on
            .iter()
            .map(|load: &Loaded| load.told.requests)
            .sum::<u64>();
        self.show(&off, &on, verdict);
        Ok(made)
    }

    fn show(&self, off: &[Loaded], on: &[Loaded], verdict: &mut Verdict) {
        let ratios: Figures = std::iter::zip(on, off)
            .map(|(on, off)| on.told.rate() / off.told.rate())
            .collect();
        let what = self.leg.name();
        let held = match self.leg.at_least() {
            Some(limit) => verdict.at_least(what, ratios.median(), limit),
            None => "no limit".to_owned(),
        };
        show::line(&format!(
            "{what:<26} {:.0}/s, p99 {:.1} ms; nothing observed {:.0}/s, p99 {:.1} ms; ratio {ratios}, \
             {held}",
            rate(on),
            p99_ms(on),
            rate(off),
            p99_ms(off),
        ));
        show::line(&format!(
            "{:<26} its CPU a request {:.2} us; nothing observed {:.2} us",
            "",
            cpu_us(on),
            cpu_us(off),
        ));
    }
}

/// CPU time of the server for each answer, sending what it tells included: other work on the machine
/// changes it less than it changes rates.
fn cpu_us(loads: &[Loaded]) -> f64 {
    let each = |load: &Loaded| load.cpu.server / load.told.rate() * 1e6;
    loads.iter().map(each).collect::<Figures>().median()
}

/// A real receiver, which takes spans apart and throws them away.
struct Rotel {
    _process: Child,
    endpoint: String,
}

impl Rotel {
    async fn start(program: &std::path::Path) -> anyhow::Result<Self> {
        let free = async || -> anyhow::Result<String> {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            Ok(listener.local_addr()?.to_string())
        };
        let (http, grpc) = (free().await?, free().await?);
        let process = Command::new(program)
            .args(["start", "--exporter", "blackhole"])
            .args(["--otlp-http-endpoint", &http])
            .args(["--otlp-grpc-endpoint", &grpc])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {}", program.display()))?;
        let listens = async {
            while TcpStream::connect(&http).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let soon = Duration::from_secs(30);
        let started = tokio::time::timeout(soon, listens).await;
        started.context("rotel does not start")?;
        Ok(Self {
            _process: process,
            endpoint: format!("http://{http}"),
        })
    }
}

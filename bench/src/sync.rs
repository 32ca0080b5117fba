//! One provider's feed into PostgreSQL, as a worker syncs it, beside a bare copy of the same rows
//! inside the database.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use entity::commit::Finish;
use entity::host::Politeness;
use entity::lease::{self, Ask, Begin};
use entity::run::Outcome;
use entity::{Database, claim, provider};
use sea_orm::ConnectionTrait;
use simulator::Simulator;
use testkit::PostgresServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use worker::fetch::{Fetcher, Networks};
use worker::{Synced, Tools, fetch, format};

use crate::cpu::Cpu;
use crate::{database, show};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Events of the feed
    #[arg(long, default_value_t = 10_000)]
    events: usize,
    /// Zones of each event
    #[arg(long, default_value_t = 3)]
    zones: usize,
    /// Times that everything is measured; the median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
}

/// One measured sync.
struct Measured {
    finish: Finish,
    wall: Duration,
    cpu: Cpu,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let server = PostgresServer::start().await;
    let mut new = Vec::new();
    let mut changed = Vec::new();
    let mut unchanged = Vec::new();
    let mut copied = Vec::new();
    for round in 0..options.rounds {
        let bench = Bench::start(&server, &options, round).await?;
        new.push(bench.sync(Outcome::Stored).await?);
        copied.push(bench.copy_rows().await?);
        unchanged.push(bench.sync(Outcome::Unchanged).await?);
        bench.simulator.advance();
        changed.push(bench.sync(Outcome::Stored).await?);
        bench.stop().await;
    }
    show::line(&format!(
        "{} events of up to {} zones each, PostgreSQL, median of {}; rows copied inside the database \
         into tables with the same indexes are the limit",
        options.events, options.zones, options.rounds
    ));
    copied.sort_unstable();
    let limit = copied[copied.len() / 2];
    report("all new", &mut new, limit);
    report("one round on", &mut changed, limit);
    report("unchanged", &mut unchanged, limit);
    show::line(&format!(
        "{:14} {:>7.3} s wall",
        "row copy",
        limit.as_secs_f64()
    ));
    Ok(())
}

fn report(what: &str, measured: &mut [Measured], limit: Duration) {
    measured.sort_unstable_by_key(|measured| measured.wall);
    let Measured { finish, wall, cpu } = &measured[measured.len() / 2];
    let counts = &finish.counts;
    show::line(&format!(
        "{what:14} {:>7.3} s wall, {:>5.2} s CPU ({:.2} worker + {:.2} database), {:>5.2} of the row \
         copy's rate; {} new, {} changed, {} gone, {} unchanged; {:?}",
        wall.as_secs_f64(),
        cpu.total().as_secs_f64(),
        cpu.own.as_secs_f64(),
        cpu.server.as_secs_f64(),
        limit.as_secs_f64() / wall.as_secs_f64(),
        counts.new,
        counts.changed,
        counts.gone,
        counts.unchanged,
        finish.durations,
    ));
}

struct Bench {
    db: Database,
    tools: Tools,
    simulator: Simulator,
    stop: CancellationToken,
    server: u32,
}

impl Bench {
    async fn start(server: &PostgresServer, options: &Options, round: u8) -> anyhow::Result<Self> {
        let db = database::fresh(server, &format!("bench_{round}"), 1).await?;
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let config = simulator::Config {
            providers: 1,
            events: options.events,
            zones: options.zones,
            bad_items: false,
            ..simulator::Config::default()
        };
        let simulator = simulator::start(listener, config, stop.clone());
        let specs = provider::parse(&simulator.providers_toml("15m"), &["plan-list"])?;
        provider::apply(&db, &specs, false, false).await?;
        let fetch = fetch::Config {
            allow: Networks::loopback(),
            ..fetch::Config::default()
        };
        Ok(Self {
            tools: Tools {
                db: db.clone(),
                http: Fetcher::new(fetch)?,
                format: format::Limits::default(),
            },
            db,
            simulator,
            stop,
            server: server.pid(),
        })
    }

    /// One run from begin to commit, and what it cost.
    async fn sync(&self, expected: Outcome) -> anyhow::Result<Measured> {
        self.db
            .write
            .execute_unprepared("UPDATE provider SET next_due_at = now()")
            .await?;
        let claimed = claim::claim_due(&self.db, Uuid::now_v7(), None, 1).await?;
        let run = claimed
            .and_then(|runs| Some(runs.first()?.id))
            .context("the provider is not due")?;
        let before = Cpu::now(self.server)?;
        let started = Instant::now();
        let ask = Ask {
            worker: "bench",
            lease: Duration::from_secs(60),
            politeness: Politeness::default(),
            holds_suspect: false,
        };
        let Begin::Begun(begun) = lease::begin(&self.db, run, ask).await? else {
            bail!("the run is not to be begun");
        };
        let synced = worker::sync_provider(&self.tools, &begun).await?;
        let wall = started.elapsed();
        let cpu = Cpu::now(self.server)?.since(before);
        match synced {
            Synced::Recorded(finish) if finish.outcome == expected => Ok(Measured {
                finish: *finish,
                wall,
                cpu,
            }),
            other => bail!("expected a run that is {expected}, got {other:?}"),
        }
    }

    /// Inserts the stored rows once more, into tables with the same columns and indexes.
    async fn copy_rows(&self) -> anyhow::Result<Duration> {
        let db = &self.db.write;
        for table in ["event", "event_change"] {
            let sql = format!("CREATE TABLE {table}_copy (LIKE {table} INCLUDING ALL)");
            db.execute_unprepared(&sql).await?;
        }
        let started = Instant::now();
        db.execute_unprepared(
            "INSERT INTO event_copy SELECT * FROM event ORDER BY id; \
             INSERT INTO event_change_copy SELECT * FROM event_change",
        )
        .await?;
        Ok(started.elapsed())
    }

    async fn stop(self) {
        self.stop.cancel();
        self.simulator.stopped().await;
        self.db.close().await;
    }
}

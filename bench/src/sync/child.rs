//! A process that does what a worker does, one command after another, and measures itself. It is one
//! of its own so that nothing but the work is in its memory and its CPU time.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use entity::DatabaseUrl;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use worker::{Synced, Tools};

use crate::begin::begin;
use crate::tools::tools;
use crate::{cpu, memory, show};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long)]
    database: DatabaseUrl,
}

/// What a child can be asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Syncs the one provider, so many times.
    Sync { times: u32 },
    /// Reads and discards what is there, as reqwest does by itself.
    Discard { url: String },
    /// Asks conditionally so many times, as reqwest does by itself.
    Ask {
        url: String,
        etag: String,
        times: u32,
    },
    /// Walks a document's tags and attributes, as quick-xml does by itself.
    Walk { path: std::path::PathBuf },
}

/// What it cost: of `times` of the same, each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cost {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    /// Resident memory before, and its peak above that, in KiB.
    pub(super) idle_kib: u64,
    pub(super) above_kib: u64,
    /// Outcome, counts and stages of the last sync.
    pub(super) told: BTreeMap<String, String>,
}

/// The child's side: one order a line, one cost a line.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut config = entity::Config::new(options.database);
    config.max_connections = 2;
    let db = entity::connect(&config).await?;
    let tools = tools(&db)?;
    show::line("ready");
    // Nothing else is to be done while an order is waited for.
    for order in std::io::stdin().lines() {
        let cost = match serde_json::from_str(&order?)? {
            Order::Sync { times } => sync(&tools, times).await?,
            Order::Discard { url } => discard(&url).await?,
            Order::Ask { url, etag, times } => ask(&url, &etag, times).await?,
            Order::Walk { path } => walk(&path)?,
        };
        show::line(&serde_json::to_string(&cost)?);
    }
    db.close().await;
    Ok(())
}

struct Meter {
    started: Instant,
    cpu: Duration,
    idle_kib: u64,
}

impl Meter {
    fn start() -> anyhow::Result<Self> {
        memory::forget_peak()?;
        Ok(Self {
            idle_kib: memory::resident_kib()?,
            cpu: cpu::own(),
            started: Instant::now(),
        })
    }

    fn read(&self) -> anyhow::Result<Cost> {
        Ok(Cost {
            wall: self.started.elapsed(),
            cpu: cpu::own().saturating_sub(self.cpu),
            idle_kib: self.idle_kib,
            above_kib: memory::peak_kib()?.saturating_sub(self.idle_kib),
            told: BTreeMap::new(),
        })
    }
}

async fn sync(tools: &Tools, times: u32) -> anyhow::Result<Cost> {
    let mut total: Option<Cost> = None;
    for _ in 0..times {
        let begun = begin(&tools.db).await?;
        let meter = Meter::start()?;
        let synced = worker::sync_provider(tools, &begun).await?;
        let cost = meter.read()?;
        let Synced::Recorded(finish) = synced else {
            bail!("the run was fenced");
        };
        if let Some(error) = &finish.error {
            bail!("the sync failed: {error}");
        }
        let counts = &finish.counts;
        let told = [
            ("outcome", finish.outcome.to_string()),
            ("new", counts.new.to_string()),
            ("changed", counts.changed.to_string()),
            ("unchanged", counts.unchanged.to_string()),
            ("stages", format!("{:?}", finish.durations)),
        ];
        let before = total.take();
        total = Some(Cost {
            wall: cost.wall + before.as_ref().map_or(Duration::ZERO, |cost| cost.wall),
            cpu: cost.cpu + before.as_ref().map_or(Duration::ZERO, |cost| cost.cpu),
            told: told.map(|(key, value)| (key.to_owned(), value)).into(),
            ..cost
        });
    }
    let total = total.context("nothing was to be done")?;
    Ok(each(total, times))
}

fn each(cost: Cost, times: u32) -> Cost {
    Cost {
        wall: cost.wall / times,
        cpu: cost.cpu / times,
        ..cost
    }
}

async fn discard(url: &str) -> anyhow::Result<Cost> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let meter = Meter::start()?;
    let mut response = client.get(url).send().await?.error_for_status()?;
    while response.chunk().await?.is_some() {}
    meter.read()
}

async fn ask(url: &str, etag: &str, times: u32) -> anyhow::Result<Cost> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = || {
        client
            .get(url)
            .header("if-none-match", format!("\"{etag}\""))
            .send()
    };
    request().await?;
    let meter = Meter::start()?;
    for _ in 0..times {
        let response = request().await?;
        if response.status() != 304 {
            bail!("the server answered {}", response.status());
        }
        response.bytes().await?;
    }
    Ok(each(meter.read()?, times))
}

fn walk(path: &std::path::Path) -> anyhow::Result<Cost> {
    let document = std::fs::read(path)?;
    let meter = Meter::start()?;
    let mut reader = Reader::from_reader(document.as_slice());
    let mut buffer = Vec::new();
    let mut seen = 0;
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer)? {
            Event::Start(tag) | Event::Empty(tag) => {
                for attribute in tag.attributes() {
                    seen += attribute?.value.len();
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    std::hint::black_box(seen);
    meter.read()
}

/// The parent's side of a child.
pub(super) struct Process {
    child: Child,
    orders: ChildStdin,
    costs: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(super) async fn start(database: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["sync-worker", "--database", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("can't start a process to measure")?;
        let orders = child.stdin.take().context("it has no input")?;
        let costs = child.stdout.take().context("it has no output")?;
        let mut process = Self {
            child,
            orders,
            costs: BufReader::new(costs).lines(),
        };
        process.line().await?;
        Ok(process)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let line = self.costs.next_line().await?;
        line.context("the process to measure has ended, see above")
    }

    pub(super) async fn order(&mut self, order: &Order) -> anyhow::Result<Cost> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        self.orders.write_all(line.as_bytes()).await?;
        Ok(serde_json::from_str(&self.line().await?)?)
    }

    pub(super) async fn sync(&mut self) -> anyhow::Result<Cost> {
        self.order(&Order::Sync { times: 1 }).await
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.orders);
        self.child.wait().await?;
        Ok(())
    }
}

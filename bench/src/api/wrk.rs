//! The load client `wrk`: a closed loop of so many connections, and what it tells in the end.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::process::Command;

use super::dataset::{self, Dataset};

const CONNECTIONS: u64 = 64;
const THREADS: u64 = 2;
/// Longest wait for an answer before it counts as an error: a slow one is told by its latency.
const TIMEOUT: &str = "15s";
/// As long as the client may take beyond its time.
const GRACE: Duration = Duration::from_secs(60);

const TELL: &str = include_str!("lua/tell.lua");
const MIX: &str = include_str!("lua/mix.lua");
const DISTINCT: &str = include_str!("lua/distinct.lua");

/// What is asked for.
pub(super) enum Requests<'a> {
    /// Always the same path.
    Same(&'a str),
    /// The paths of a file, one a line, in turn.
    Mix(&'a Path),
    /// So many events from a second on that was never asked for before.
    Distinct { results: usize },
}

/// The client, and which distinct windows were asked for already.
pub(super) struct Wrk {
    program: PathBuf,
    scripts: PathBuf,
    dataset: Dataset,
    distinct: Cell<u64>,
}

/// Where the client is, if it is installed.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("wrk"))
        .find(|program| program.is_file())
}

impl Wrk {
    /// Keeps its scripts in `folder`.
    pub(super) fn new(program: PathBuf, folder: &Path, dataset: Dataset) -> anyhow::Result<Self> {
        for (name, script) in [("same", ""), ("mix", MIX), ("distinct", DISTINCT)] {
            let file = folder.join(name).with_extension("lua");
            std::fs::write(&file, format!("{TELL}\n{script}"))
                .with_context(|| format!("can't write {}", file.display()))?;
        }
        Ok(Self {
            program,
            scripts: folder.to_owned(),
            dataset,
            distinct: Cell::new(0),
        })
    }

    /// Asks the server at `address`, such as `127.0.0.1:8080`, for so long.
    pub(super) async fn run(
        &self,
        address: &str,
        requests: &Requests<'_>,
        headers: &[(&str, &str)],
        seconds: u32,
    ) -> anyhow::Result<Told> {
        let (script, path, arguments) = match requests {
            Requests::Same(path) => ("same", *path, Vec::new()),
            Requests::Mix(file) => ("mix", "/", vec![file.display().to_string()]),
            Requests::Distinct { results } => ("distinct", "/", self.distinct(*results)),
        };
        let mut command = Command::new(&self.program);
        command
            .args(["--connections", &CONNECTIONS.to_string()])
            .args(["--threads", &THREADS.to_string()])
            .args(["--duration", &format!("{seconds}s"), "--timeout", TIMEOUT])
            .arg("--script")
            .arg(self.scripts.join(script).with_extension("lua"));
        for (name, value) in headers {
            command.args(["--header", &format!("{name}: {value}")]);
        }
        command
            .arg(format!("http://{address}{path}"))
            .arg("--")
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let limit = Duration::from_secs(seconds.into()) + GRACE;
        let output = tokio::time::timeout(limit, command.output())
            .await
            .context("wrk does not end")?
            .context("can't run wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().rfind(|line| line.starts_with('{'));
        let (true, Some(line)) = (output.status.success(), line) else {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("wrk failed: {text}{errors}");
        };
        let told: Told = serde_json::from_str(line).context("wrk tells something else")?;
        if matches!(requests, Requests::Distinct { .. }) {
            // One thread may have sent them all, and what was not answered was sent as well.
            let sent = THREADS * (told.requests + 2 * CONNECTIONS);
            self.distinct.set(self.distinct.get() + sent);
        }
        Ok(told)
    }

    fn distinct(&self, results: usize) -> Vec<String> {
        vec![
            dataset::SEARCH.to_owned(),
            self.distinct.get().to_string(),
            dataset::FIRST.to_string(),
            self.dataset.span(results).to_string(),
            dataset::STEP.to_string(),
            results.to_string(),
        ]
    }
}

/// What the client counted.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Told {
    pub(super) requests: u64,
    duration_us: u64,
    bytes: u64,
    p50_us: u64,
    p99_us: u64,
    connect: u64,
    read: u64,
    write: u64,
    status: u64,
    timeout: u64,
}

impl Told {
    /// Answers a second.
    pub(super) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds()
    }

    pub(super) fn seconds(&self) -> f64 {
        self.duration_us as f64 / 1e6
    }

    /// Of an answer, headers included.
    pub(super) fn bytes_each(&self) -> f64 {
        self.bytes as f64 / self.requests as f64
    }

    pub(super) fn p50_ms(&self) -> f64 {
        self.p50_us as f64 / 1e3
    }

    pub(super) fn p99_ms(&self) -> f64 {
        self.p99_us as f64 / 1e3
    }

    /// What went wrong, if something did. A redirection or a 304 is nothing wrong to `wrk`; those
    /// show in the bytes of an answer.
    pub(super) fn failures(&self) -> Option<String> {
        let counts = [
            (self.connect, "connections failed"),
            (self.read, "reads failed"),
            (self.write, "writes failed"),
            (self.timeout, "requests timed out"),
            (self.status, "answers were errors"),
        ];
        let failures: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!failures.is_empty()).then(|| failures.join(", "))
    }
}

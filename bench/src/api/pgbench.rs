//! The limit of a search that is in no cache: PostgreSQL's own load client with the same statement,
//! prepared.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

use super::dataset::{Dataset, FIRST};
use super::statement::Statement;

const CLIENTS: &str = "16";
const THREADS: &str = "2";
/// As long as the client may take beyond its time.
const GRACE: Duration = Duration::from_secs(60);

/// The statement from a random second on.
pub(super) fn script(dataset: Dataset, statement: &Statement, rows: usize) -> String {
    let last = dataset.span(rows) - 1;
    let sql = statement.with("to_timestamp(:second)", ":rows");
    format!("\\set second random({FIRST}, {FIRST} + {last})\n\\set rows {rows}\n{sql};\n")
}

/// The program that belongs to the server of that process.
pub(super) fn program(postgres: u32) -> anyhow::Result<PathBuf> {
    let server = std::fs::read_link(format!("/proc/{postgres}/exe"))
        .context("can't see which program PostgreSQL is")?;
    let program = server.with_file_name("pgbench");
    if !program.is_file() {
        bail!("there is no {}", program.display());
    }
    Ok(program)
}

/// Transactions a second.
pub(super) async fn run(
    program: &Path,
    script: &Path,
    url: &str,
    seconds: u32,
) -> anyhow::Result<f64> {
    let mut command = Command::new(program);
    command
        .args(["--no-vacuum", "--protocol", "prepared"])
        .args(["--client", CLIENTS, "--jobs", THREADS])
        .args(["--time", &seconds.to_string()])
        .arg("--file")
        .arg(script)
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let limit = Duration::from_secs(seconds.into()) + GRACE;
    let output = tokio::time::timeout(limit, command.output())
        .await
        .context("pgbench does not end")?
        .context("can't run pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    let (true, Some(rate)) = (output.status.success(), rate) else {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("pgbench failed: {text}{errors}");
    };
    Ok(rate)
}

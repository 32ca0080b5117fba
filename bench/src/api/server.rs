//! Servers in processes of their own, which are this program once more.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

/// A safety net.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// The parent's side. Killed on drop, and it ends by itself when this process does.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    pid: u32,
    /// Such as `127.0.0.1:8080`.
    pub(crate) address: String,
}

impl Server {
    /// Waits until it serves; it logs to `log`.
    pub(crate) async fn start<S: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = S>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        Self::start_with(arguments, &[], log).await
    }

    /// The same with variables; of those that say where telemetry goes it has no others.
    pub(crate) async fn start_with<S: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = S>,
        variables: &[(&str, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let errors = File::create(log).with_context(|| format!("can't write {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .context("can't start a server to measure")?;
        let input = child.stdin.take().context("it has no input")?;
        let output = child.stdout.take().context("it has no output")?;
        let pid = child.id().context("it has ended")?;
        let mut lines = BufReader::new(output).lines();
        let address = tokio::time::timeout(STARTS_WITHIN, lines.next_line())
            .await
            .context("the server to measure does not start")??;
        let Some(address) = address else {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            bail!("the server to measure does not start: {}", log.trim());
        };
        Ok(Self {
            child,
            input,
            pid,
            address,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it end in an orderly way.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.input);
        let ended = tokio::time::timeout(STOPS_WITHIN, self.child.wait()).await;
        let status = ended.context("a server does not stop")??;
        if !status.success() {
            bail!("a server ended with {status}");
        }
        Ok(())
    }
}

/// The child's side: fires when the parent has closed the input, or is no more.
pub(crate) fn until_input_ends() -> CancellationToken {
    let stop = CancellationToken::new();
    let fired = stop.clone();
    std::thread::spawn(move || {
        // Whatever ends it is its end.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        fired.cancel();
    });
    stop
}

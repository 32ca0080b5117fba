//! What PostgreSQL and Redis have in common as servers of one test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::child::Child;

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// Answers from the process id and the log so far.
type Ready = dyn Fn(u32, &str) -> bool + Send + Sync;

/// A server that writes a log and can be started again with the same command.
pub(crate) struct Server {
    name: &'static str,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    ready: Box<Ready>,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn new(
        name: &'static str,
        log: &Path,
        command: impl Fn() -> Command + Send + Sync + 'static,
        ready: impl Fn(u32, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            command: Box::new(command),
            ready: Box::new(ready),
            log: log.to_owned(),
            child: None,
        }
    }

    /// Returns once it is ready. One that ends at once is tried again for a while: after a kill
    /// the kernel may still hold its port or its shared memory.
    pub(crate) async fn start(&mut self, retry_within: Duration) -> Result<()> {
        assert!(!self.is_running(), "{} runs already", self.name);
        let begun = Instant::now();
        loop {
            let child = self.spawn()?;
            while child.status().is_none() {
                if (self.ready)(child.pid(), &self.log()) {
                    self.child = Some(child);
                    return Ok(());
                }
                if begun.elapsed() > READY_WITHIN {
                    bail!("{} is not ready:\n{}", self.name, self.log());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if begun.elapsed() > retry_within {
                bail!("{} did not start:\n{}", self.name, self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn spawn(&self) -> Result<Child> {
        let log = File::create(&self.log).context("create a log file")?;
        let mut command = (self.command)();
        command.stdout(log.try_clone().context("share a log file")?);
        command.stderr(log);
        let (child, _) = Child::spawn(command).with_context(|| format!("start {}", self.name))?;
        Ok(child)
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn is_running(&self) -> bool {
        self.child
            .as_ref()
            .is_some_and(|child| child.status().is_none())
    }

    pub(crate) fn pid(&self) -> u32 {
        let child = self.child.as_ref();
        child.expect("the server was started").pid()
    }

    /// Asks it to end in an orderly way and waits for that.
    pub(crate) async fn stop(&mut self, signal: Signal) {
        if let Some(child) = self.child.take() {
            child.signal(signal);
            let status = child.wait(STOPPED_WITHIN).await;
            assert!(status.is_some(), "{} did not stop", self.name);
        }
    }

    /// Ends it and its processes as a crash of the machine would.
    pub(crate) async fn kill(&mut self) {
        self.kill_all();
        if let Some(child) = self.child.take() {
            let status = child.wait(STOPPED_WITHIN).await;
            assert!(status.is_some(), "{} survived SIGKILL", self.name);
        }
    }

    fn kill_all(&self) {
        let workers = self.workers();
        self.signal(Signal::KILL);
        signal_each(&workers, Signal::KILL);
    }

    /// Stops it where it stands; its sockets stay open. The parent comes first, so that it makes
    /// no more processes.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        signal_each(&self.workers(), Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        signal_each(&self.workers(), Signal::CONT);
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            child.signal(signal);
        }
    }

    /// PostgreSQL serves each connection with a process of its own.
    fn workers(&self) -> Vec<Pid> {
        let Some(child) = &self.child else {
            return Vec::new();
        };
        let children = format!("/proc/{0}/task/{0}/children", child.pid());
        let children = fs::read_to_string(children).unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Frozen workers would not notice the end of their parent.
        self.kill_all();
    }
}

fn signal_each(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // One that has just ended needs no signal.
        let _ = kill_process(*pid, signal);
    }
}

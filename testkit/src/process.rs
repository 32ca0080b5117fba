//! A real program, run by a test.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;

use crate::child::Child;
use crate::program;

/// As many of the last lines are kept.
const KEPT_LINES: usize = 10_000;

/// A running program whose output a test can wait for; killed on drop.
///
/// When the test fails, its output is printed.
pub struct Process {
    child: Child,
    output: Output,
    name: String,
}

impl Process {
    /// Starts the command's program with its arguments, variables and folder, without the
    /// `FANFARE_*` and `OTEL_*` variables that the tests themselves run under. The output is
    /// this type's to read; there is no input.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start(command: &Command) -> Self {
        let name = format!("{command:?}");
        let mut tied = without_settings(program::tied(command.get_program()));
        tied.args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => tied.env(key, value),
                None => tied.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            tied.current_dir(folder);
        }
        tied.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (child, pipes) =
            Child::spawn(tied).unwrap_or_else(|error| panic!("start {name}: {error}"));
        let output = Output::default();
        if let Some(stdout) = pipes.stdout {
            output.collect(stdout);
        }
        if let Some(stderr) = pipes.stderr {
            output.collect(stderr);
        }
        Self {
            child,
            output,
            name,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.status().is_none()
    }

    /// Sends a signal; one to a process that has ended is lost.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When the timeout, a safety net, passes first.
    pub async fn wait(&self, timeout: Duration) -> ExitStatus {
        let status = self.child.wait(timeout).await;
        status.unwrap_or_else(|| panic!("{} did not end within {timeout:?}", self.name))
    }

    /// Returns the first line on either stream, past or to come, for which `wanted` holds.
    ///
    /// # Panics
    /// When the program has closed its output without it, or the timeout, a safety net, passes.
    pub async fn wait_for_line(&self, wanted: impl Fn(&str) -> bool, timeout: Duration) -> String {
        let found = tokio::time::timeout(timeout, self.output.find(wanted)).await;
        match found {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{} closed its output without the line", self.name),
            Err(_) => panic!("{} did not print the line within {timeout:?}", self.name),
        }
    }

    /// The lines of both streams so far, each stream's in order; only the last ten thousand.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.output.lock().lines.iter().cloned().collect()
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "the test harness shows it with the failure"
    )]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- output of {}", self.name);
            for line in &self.output.lock().lines {
                eprintln!("{line}");
            }
            eprintln!("--- status: {:?}", self.child.status());
        }
    }
}

fn without_settings(mut command: Command) -> Command {
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("FANFARE_") || name.starts_with("OTEL_") {
            command.env_remove(&key);
        }
    }
    command
}

/// Lines as they come, from as many streams as are collected.
#[derive(Clone, Default)]
struct Output {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    forgotten: usize,
    open_streams: usize,
}

impl Output {
    fn collect(&self, stream: impl Read + Send + 'static) {
        self.lock().open_streams += 1;
        let output = self.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                output.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            output.lock().open_streams -= 1;
            output.changed.send_replace(());
        });
    }

    fn push(&self, line: String) {
        let mut state = self.lock();
        state.lines.push_back(line);
        if state.lines.len() > KEPT_LINES {
            state.lines.pop_front();
            state.forgotten += 1;
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// `None` when all streams have closed without such a line.
    async fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut changes = self.changed.subscribe();
        let mut seen = 0;
        loop {
            changes.mark_unchanged();
            {
                let state = self.lock();
                let new = state
                    .lines
                    .iter()
                    .skip(seen.max(state.forgotten) - state.forgotten);
                if let Some(line) = new.into_iter().find(|line| wanted(line)) {
                    return Some(line.clone());
                }
                seen = state.forgotten + state.lines.len();
                if state.open_streams == 0 {
                    return None;
                }
            }
            changes.changed().await.ok()?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

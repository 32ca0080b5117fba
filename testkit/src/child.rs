//! A child process that cannot outlive its owner.

use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

/// What the child writes, for whoever wants to read it.
pub(crate) struct Pipes {
    pub(crate) stdout: Option<std::process::ChildStdout>,
    pub(crate) stderr: Option<std::process::ChildStderr>,
}

/// A running child, killed on drop.
pub(crate) struct Child {
    pid: Pid,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// Starts it from a thread that waits for its end: a parent-death signal follows the thread
    /// that forked, and the threads of an async runtime come and go.
    pub(crate) fn spawn(mut command: Command) -> io::Result<(Self, Pipes)> {
        let (started, start) = mpsc::channel();
        let (end, ended) = watch::channel(None);
        thread::spawn(move || {
            let mut child = match command.stdin(Stdio::null()).spawn() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let pid = Pid::from_child(&child);
            await_tie(pid);
            let pipes = Pipes {
                stdout: child.stdout.take(),
                stderr: child.stderr.take(),
            };
            drop(started.send(Ok((pid, pipes))));
            await_end(pid);
            // Reaped under the lock that `signal` takes, so that no signal can reach a process
            // which was given the same id.
            end.send_modify(|status| *status = child.wait().ok());
        });
        let (pid, pipes) = start
            .recv()
            .map_err(|_| io::Error::other("the thread that starts the process panicked"))??;
        Ok((Self { pid, ended }, pipes))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(crate) fn status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Sends a signal; one to a process that has ended is lost.
    pub(crate) fn signal(&self, signal: Signal) {
        let ended = self.ended.borrow();
        if ended.is_none() {
            // It can only fail for a process that ends at this moment.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Waits for the end; `None` when it did not come in time.
    pub(crate) async fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some);
        let status = tokio::time::timeout(timeout, end).await.ok()?;
        *status.expect("the sender is kept until the process has ended")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.status().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Until `setpriv` has become the program that it is to run, a parent's death may go unnoticed.
fn await_tie(pid: Pid) {
    let program = format!("/proc/{}/exe", pid.as_raw_nonzero());
    let deadline = Instant::now() + Duration::from_secs(5);
    while std::fs::read_link(&program).is_ok_and(|program| program.ends_with("setpriv"))
        && Instant::now() < deadline
    {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Leaves the process to be reaped.
fn await_end(pid: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(pid), options).is_err_and(|error| error == Errno::INTR) {}
}

//! A PostgreSQL of a test's own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::program::{self, User};
use crate::server::Server;

/// A private PostgreSQL for a test that stops, kills or freezes it; gone on drop.
///
/// What it has acknowledged survives [`kill`](Self::kill).
pub struct PostgresServer {
    server: Server,
    port: u16,
    _folder: TempDir,
}

impl PostgresServer {
    /// Starts one on a free loopback port; takes a second or two.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with more settings, such as `max_connections=10`.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start_with(settings: &[&str]) -> Self {
        let started = Self::try_start(settings).await;
        started.unwrap_or_else(|error| panic!("start PostgreSQL: {error:#}"))
    }

    async fn try_start(settings: &[&str]) -> Result<Self> {
        let user = User::instead_of_root()?;
        let folder = tempfile::Builder::new()
            .prefix("fanfare-postgres-")
            .permissions(Permissions::from_mode(0o711))
            .tempdir()
            .context("make a folder for PostgreSQL")?;
        let home = folder.path().join("home");
        fs::create_dir(&home).context("make a folder for PostgreSQL's data")?;
        if let Some(user) = &user {
            user.own(&home)?;
        }
        let data = home.join("data");
        let initdb = program::of_postgres("initdb")?;
        initialise(command_in(&home, user.as_ref(), &initdb), &data)?;

        let postgres = program::of_postgres("postgres")?;
        let port = crate::free_port();
        let mut settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        settings.extend([
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "fsync=off".to_owned(),
            "full_page_writes=off".to_owned(),
        ]);
        let pid_file = data.join("postmaster.pid");
        let mut server = Server::new(
            "postgres",
            &folder.path().join("log"),
            move || {
                let mut command = command_in(&home, user.as_ref(), &postgres);
                command.arg("-D").arg(&data);
                for setting in &settings {
                    command.arg("-c").arg(setting);
                }
                command
            },
            move |pid, _| says_ready(&pid_file, pid),
        );
        server.start(Duration::ZERO).await?;
        Ok(Self {
            server,
            port,
            _folder: folder,
        })
    }

    /// A superuser's URL of the maintenance database; the same for the server's whole life.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The process id of the server's parent process.
    ///
    /// # Panics
    /// While it is stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Ends all sessions and shuts down in an orderly way.
    pub async fn stop(&mut self) {
        self.server.stop(Signal::INT).await;
    }

    /// Kills all its processes at once (`SIGKILL`), as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Stops all its processes where they stand (`SIGSTOP`); connections stay open.
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.server.thaw();
    }

    /// Starts a stopped or killed server on the same port with the same data.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub async fn start_again(&mut self) {
        let started = self.server.start(Duration::from_secs(20)).await;
        started.unwrap_or_else(|error| panic!("start PostgreSQL again: {error:#}"));
    }
}

fn command_in(folder: &Path, user: Option<&User>, program: &Path) -> Command {
    let mut command = user.map_or_else(|| program::tied(program), |user| user.tied(program));
    // The current one may be closed to that user.
    command.current_dir(folder);
    command
}

fn initialise(mut initdb: Command, data: &Path) -> Result<()> {
    initdb.arg("--pgdata").arg(data);
    initdb.args(["--username=postgres", "--auth=trust", "--no-sync"]);
    initdb.args(["--locale=C.UTF-8", "--encoding=UTF8"]);
    let output = initdb.output().context("run initdb")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "initdb failed:\n{message}");
    Ok(())
}

/// The file's first line is the server's process id, its eighth the state. One that a killed
/// server has left behind says `ready` as well.
fn says_ready(pid_file: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(pid_file).unwrap_or_default();
    let mut lines = text.lines();
    lines.next() == Some(&pid.to_string()) && lines.nth(6).is_some_and(|l| l.starts_with("ready"))
}

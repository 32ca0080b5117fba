//! A PostgreSQL of a test's own.

mod standby;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::program::{self, User};
use crate::server::Server;
pub use standby::PostgresStandby;

/// A private PostgreSQL for a test that stops, kills or freezes it; gone on drop.
///
/// What it has acknowledged survives [`kill`](Self::kill).
pub struct PostgresServer {
    server: Server,
    port: u16,
    settings: Vec<String>,
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
        let settings = settings.iter().map(ToString::to_string).collect();
        let started = Self::try_start(settings, initialise).await;
        started.unwrap_or_else(|error| panic!("start PostgreSQL: {error:#}"))
    }

    /// A streaming replica of this server with the same settings, which answers reads. It takes as
    /// long to make as the server itself. While it is down or gone, this server keeps what it missed.
    ///
    /// # Panics
    /// When this server does not run, or the replica does not start.
    pub async fn standby(&self) -> PostgresStandby {
        let copied = Self::try_start(self.settings.clone(), |home| standby::copy(home, self.port));
        let server = copied.await;
        let server = server.unwrap_or_else(|error| panic!("start a standby: {error:#}"));
        PostgresStandby::new(server, self.url())
    }

    /// `prepare` fills the folder of data.
    async fn try_start(
        settings: Vec<String>,
        prepare: impl FnOnce(&Home) -> Result<()>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("fanfare-postgres-")
            .permissions(Permissions::from_mode(0o711))
            .tempdir()
            .context("make a folder for PostgreSQL")?;
        let home = Home::make(folder.path())?;
        prepare(&home)?;

        let postgres = program::of_postgres("postgres")?;
        let port = crate::free_port();
        let mut arguments = settings.clone();
        arguments.extend([
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "fsync=off".to_owned(),
            "full_page_writes=off".to_owned(),
        ]);
        let pid_file = home.data().join("postmaster.pid");
        let mut server = Server::new(
            "postgres",
            &folder.path().join("log"),
            move || {
                let mut command = home.command(&postgres);
                command.arg("-D").arg(home.data());
                for setting in &arguments {
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
            settings,
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

/// A server's own folder, and the user that it belongs to.
struct Home {
    folder: PathBuf,
    user: Option<User>,
}

impl Home {
    fn make(parent: &Path) -> Result<Self> {
        let user = User::instead_of_root()?;
        let folder = parent.join("home");
        fs::create_dir(&folder).context("make a folder for PostgreSQL's data")?;
        if let Some(user) = &user {
            user.own(&folder)?;
        }
        Ok(Self { folder, user })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &Path) -> Command {
        let user = self.user.as_ref();
        let mut command = user.map_or_else(|| program::tied(program), |user| user.tied(program));
        // The current one may be closed to that user.
        command.current_dir(&self.folder);
        command
    }
}

fn initialise(home: &Home) -> Result<()> {
    let mut initdb = home.command(&program::of_postgres("initdb")?);
    initdb.arg("--pgdata").arg(home.data());
    initdb.args(["--username=postgres", "--auth=trust", "--no-sync"]);
    initdb.args(["--locale=C.UTF-8", "--encoding=UTF8"]);
    complete(initdb)
}

/// Runs a program to its end.
fn complete(mut command: Command) -> Result<()> {
    let output = command
        .output()
        .context("run one of PostgreSQL's programs")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed:\n{message}");
    Ok(())
}

/// The file's first line is the server's process id, its eighth the state. One that a killed
/// server has left behind says `ready` as well.
fn says_ready(pid_file: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(pid_file).unwrap_or_default();
    let mut lines = text.lines();
    lines.next() == Some(&pid.to_string()) && lines.nth(6).is_some_and(|l| l.starts_with("ready"))
}

//! A Redis of a test's own.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::program;
use crate::server::Server;

/// A private Redis for a test that stops, kills or freezes it; gone on drop.
///
/// It keeps nothing on disk unless told to: what it held is lost when it stops.
pub struct RedisServer {
    server: Server,
    port: u16,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts one on a free loopback port.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with more arguments, such as `--appendonly yes`, each word by itself.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let started = Self::try_start(arguments).await;
        started.unwrap_or_else(|error| panic!("start Redis: {error:#}"))
    }

    async fn try_start(arguments: &[&str]) -> Result<Self> {
        let program = program::on_path("redis-server")?;
        let folder = tempfile::Builder::new()
            .prefix("fanfare-redis-")
            .tempdir()
            .context("make a folder for Redis")?;
        let port = crate::free_port();
        let data = folder.path().to_owned();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let mut server = Server::new(
            "redis-server",
            &folder.path().join("log"),
            move || {
                let mut command = program::tied(&program);
                command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
                command.args(["--save", "", "--appendonly", "no", "--dir"]);
                command.arg(&data).args(&arguments);
                command
            },
            |_, log| log.contains("Ready to accept connections"),
        );
        server.start(Duration::ZERO).await?;
        Ok(Self {
            server,
            port,
            _folder: folder,
        })
    }

    /// Its URL; the same for the server's whole life.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its process id.
    ///
    /// # Panics
    /// While it is stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Shuts it down in an orderly way.
    pub async fn stop(&mut self) {
        self.server.stop(Signal::TERM).await;
    }

    /// Kills it (`SIGKILL`), as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Stops it where it stands (`SIGSTOP`); connections stay open.
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.server.thaw();
    }

    /// Starts a stopped or killed server on the same port.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub async fn start_again(&mut self) {
        let started = self.server.start(Duration::from_secs(20)).await;
        started.unwrap_or_else(|error| panic!("start Redis again: {error:#}"));
    }
}

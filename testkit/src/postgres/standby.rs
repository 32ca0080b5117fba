//! A streaming replica of a test's own PostgreSQL.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use anyhow::Result;
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, Statement};

use super::{Home, PostgresServer, complete};
use crate::{eventually, program};

const PATIENCE: Duration = Duration::from_secs(30);

/// A replica that streams from a [`PostgresServer`]; gone on drop. What can be done to a server can
/// be done to it.
pub struct PostgresStandby {
    server: PostgresServer,
    primary: String,
}

impl Deref for PostgresStandby {
    type Target = PostgresServer;

    fn deref(&self) -> &PostgresServer {
        &self.server
    }
}

impl DerefMut for PostgresStandby {
    fn deref_mut(&mut self) -> &mut PostgresServer {
        &mut self.server
    }
}

/// Copies the server on `port`, with what makes the copy follow it.
pub(super) fn copy(home: &Home, port: u16) -> Result<()> {
    let mut backup = home.command(&program::of_postgres("pg_basebackup")?);
    backup.arg("--pgdata").arg(home.data());
    backup.args(["--host=127.0.0.1", "--username=postgres"]);
    backup.arg(format!("--port={port}"));
    let slot = format!("standby_{}", uuid::Uuid::new_v4().simple());
    backup.args([
        "--write-recovery-conf",
        "--wal-method=stream",
        "--create-slot",
    ]);
    backup.arg(format!("--slot={slot}"));
    backup.args(["--checkpoint=fast", "--no-sync"]);
    complete(backup)
}

impl PostgresStandby {
    pub(super) fn new(server: PostgresServer, primary: String) -> Self {
        Self { server, primary }
    }

    /// Waits until it shows all that its primary has committed by now.
    ///
    /// # Panics
    /// When one of them does not answer, or the replay is paused.
    pub async fn caught_up(&self) {
        let primary = Session::open(&self.primary).await;
        let now = primary
            .text("SELECT pg_current_wal_flush_lsn()::text")
            .await;
        let standby = Session::open(&self.url()).await;
        let sql = format!("SELECT (pg_last_wal_replay_lsn() >= '{now}')::text");
        eventually(PATIENCE, "the standby has caught up", async || {
            standby.text(&sql).await == "true"
        })
        .await;
    }

    /// Lets it show no more of what its primary commits; returns when that is so.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn pause_replay(&self) {
        let standby = Session::open(&self.url()).await;
        standby.run("SELECT pg_wal_replay_pause()").await;
        let sql = "SELECT pg_get_wal_replay_pause_state()";
        eventually(PATIENCE, "the replay is paused", async || {
            standby.text(sql).await == "paused"
        })
        .await;
    }

    /// Lets it go on with what it has received meanwhile.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn resume_replay(&self) {
        let standby = Session::open(&self.url()).await;
        standby.run("SELECT pg_wal_replay_resume()").await;
    }

    /// Makes a primary of it, with a history of its own from here on; returns when it takes writes.
    ///
    /// # Panics
    /// When it does not answer, or takes more than half a minute.
    pub async fn promote(&self) {
        let standby = Session::open(&self.url()).await;
        let promoted = standby.text("SELECT pg_promote(true, 30)::text").await;
        assert_eq!(promoted, "true", "the standby was promoted");
    }
}

/// A connection for a moment.
struct Session(DatabaseConnection);

impl Session {
    async fn open(url: &str) -> Self {
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        options.acquire_timeout(PATIENCE).connect_timeout(PATIENCE);
        let connected = sea_orm::Database::connect(options).await;
        Self(connected.unwrap_or_else(|error| panic!("connect to {url}: {error}")))
    }

    async fn run(&self, sql: &str) {
        let done = self.0.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn text(&self, sql: &str) -> String {
        let asked = async {
            let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
            let row = self.0.query_one_raw(statement).await?;
            row.ok_or_else(|| DbErr::RecordNotFound("no row".to_owned()))?
                .try_get_by_index(0)
        };
        let answer: Result<String, DbErr> = asked.await;
        answer.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

//! What every measurement works with.

use std::path::PathBuf;

use entity::Database;
use tempfile::TempDir;
use testkit::PostgresServer;

use super::Options;
use super::client::Client;
use super::dataset::Dataset;
use super::figures::Figures;
use super::meter::{Cpu, Meter};
use super::server::Server;
use super::wrk::{Requests, Told, Wrk};
use crate::{database, show};

pub(super) struct World {
    pub(super) options: Options,
    pub(super) dataset: Dataset,
    pub(super) db: Database,
    /// Of the database.
    pub(super) url: String,
    pub(super) client: Client,
    pub(super) api: Server,
    wrk: Wrk,
    postgres: PostgresServer,
    folder: TempDir,
}

const SETTINGS: [&str; 3] = [
    "shared_buffers=512MB",
    "max_wal_size=4GB",
    "track_activity_query_size=16384",
];

impl World {
    /// A filled database with the API over it.
    pub(super) async fn start(options: Options, wrk: PathBuf) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let dataset = Dataset {
            events: usize::try_from(options.events)?,
        };
        let wrk = Wrk::new(wrk, folder.path(), dataset)?;
        let client = Client::new()?;
        let postgres = PostgresServer::start_with(&SETTINGS).await;
        let db = database::fresh(&postgres, "api", 2).await?;
        dataset.fill(&db).await?;
        let url = database::url(&postgres, "api")?;
        let api = api(&url, folder.path().join("api.log")).await?;
        show::line(&format!(
            "{} events, wrk with 64 connections, {} s each, median of {} rounds and their range; CPU of \
             the last, in cores of {}",
            options.events,
            options.seconds,
            options.rounds,
            std::thread::available_parallelism()?
        ));
        Ok(Self {
            options,
            dataset,
            db,
            url,
            client,
            api,
            wrk,
            postgres,
            folder,
        })
    }

    /// Another API process over the same database.
    pub(super) async fn another_api(&self) -> anyhow::Result<Server> {
        api(&self.url, self.file("another-api.log")).await
    }

    /// The same, with what it may not do otherwise, and with variables.
    pub(super) async fn api_with(
        &self,
        name: &str,
        argument: Option<&str>,
        variables: &[(&str, String)],
    ) -> anyhow::Result<Server> {
        let arguments = ["api-server", "--database", &self.url].into_iter();
        let log = self.file(&format!("api-{name}.log"));
        Server::start_with(arguments.chain(argument), variables, &log).await
    }

    /// A file for whatever is needed.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// PostgreSQL's parent process.
    pub(super) fn postgres(&self) -> u32 {
        self.postgres.pid()
    }

    /// Puts load on `server` for as long as a measurement takes.
    pub(super) async fn load(
        &self,
        server: &Server,
        requests: &Requests<'_>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Loaded> {
        let meter = Meter::start(Some(server.pid()), self.postgres.pid())?;
        let seconds = self.options.seconds;
        let told = self
            .wrk
            .run(&server.address, requests, headers, seconds)
            .await?;
        let cpu = meter.read(told.seconds())?;
        Ok(Loaded { told, cpu })
    }

    /// A second of the same, which nobody looks at.
    pub(super) async fn warm_up(
        &self,
        server: &Server,
        requests: &Requests<'_>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        self.wrk.run(&server.address, requests, headers, 1).await?;
        Ok(())
    }

    /// The same for so many seconds, with what the client counted.
    pub(super) async fn load_for(
        &self,
        server: &Server,
        requests: &Requests<'_>,
        seconds: u32,
    ) -> anyhow::Result<Told> {
        self.wrk.run(&server.address, requests, &[], seconds).await
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.api.stop().await?;
        self.db.close().await;
        Ok(())
    }
}

async fn api(url: &str, log: PathBuf) -> anyhow::Result<Server> {
    Server::start(["api-server", "--database", url], &log).await
}

/// What load has brought.
pub(super) struct Loaded {
    pub(super) told: Told,
    pub(super) cpu: Cpu,
}

/// Answers a second.
pub(super) fn rate(loads: &[Loaded]) -> f64 {
    loads
        .iter()
        .map(|load| load.told.rate())
        .collect::<Figures>()
        .median()
}

/// Latency that half of the requests exceed.
pub(super) fn p50_ms(loads: &[Loaded]) -> f64 {
    loads
        .iter()
        .map(|load| load.told.p50_ms())
        .collect::<Figures>()
        .median()
}

/// Latency that one in a hundred requests exceeds.
pub(super) fn p99_ms(loads: &[Loaded]) -> f64 {
    loads
        .iter()
        .map(|load| load.told.p99_ms())
        .collect::<Figures>()
        .median()
}

//! A Fanfare of a test's own: its servers, its feeds and its processes.

use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use entity::fan_out::{self, Progress, Trigger};
use entity::provider;
use simulator::{Behavior, Simulator};
use tempfile::TempDir;
use testkit::{PostgresServer, Process, RedisServer, Signal, eventually};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// For whatever must happen: a safety net, as this machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Short, so that a takeover takes seconds.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

pub(crate) struct World {
    pub(crate) postgres: PostgresServer,
    pub(crate) redis: RedisServer,
    pub(crate) simulator: Simulator,
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
    /// Processes that took the jobs which they held with them.
    killed: Mutex<Vec<u32>>,
}

impl World {
    /// Servers with a migrated database, and simulated providers that nobody knows of yet.
    pub(crate) async fn start(simulated: simulator::Config) -> Self {
        let (postgres, redis) = tokio::join!(PostgresServer::start(), RedisServer::start());
        let listener = testkit::free_listener();
        let world = Self {
            variables: vec![
                ("FANFARE_DATABASE_URL", postgres.url()),
                ("FANFARE_REDIS_URL", redis.url()),
                ("FANFARE_LISTEN", "127.0.0.1:0".to_owned()),
                ("FANFARE_LEASE", "2s".to_owned()),
                ("FANFARE_TICK", "100ms".to_owned()),
                ("FANFARE_ALLOW_NETWORKS", "127.0.0.0/8".to_owned()),
                ("FANFARE_HOST_CONCURRENCY", "100".to_owned()),
            ],
            postgres,
            redis,
            simulator: simulator::start(listener, simulated, CancellationToken::new()),
            folder: tempfile::tempdir().unwrap(),
            killed: Mutex::default(),
        };
        let migrated = world.process(&["migrate"]).wait(PATIENCE).await;
        assert!(migrated.success());
        world
    }

    /// With so many providers of about 30 events each.
    pub(crate) async fn of(providers: usize) -> Self {
        Self::start(simulator::Config {
            providers,
            events: 30,
            ..simulator::Config::default()
        })
        .await
    }

    /// Sets a variable for all processes that are started from now on.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.variables.retain(|(set, _)| *set != name);
        self.variables.push((name, value.to_owned()));
    }

    /// Leaves a setting at its default.
    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.retain(|(set, _)| *set != name);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
        self.settle_in(&mut command);
        command.args(arguments);
        command
    }

    /// Gives a command this world's variables and folder.
    pub(crate) fn settle_in(&self, command: &mut Command) {
        command.current_dir(self.folder.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    fn process(&self, arguments: &[&str]) -> Process {
        Process::start(&self.command(arguments))
    }

    /// Starts a worker or scheduler, and returns once it is at work.
    pub(crate) async fn start_role(&self, role: &str) -> Process {
        started(&self.command(&[role]), role).await
    }

    pub(crate) async fn worker(&self) -> Process {
        self.start_role("worker").await
    }

    pub(crate) async fn scheduler(&self) -> Process {
        self.start_role("scheduler").await
    }

    /// Starts an API, and gives its address.
    pub(crate) async fn api(&self) -> (Process, String) {
        const LISTENING: &str = "listening on ";
        let process = self.process(&["api"]);
        let announces = |line: &str| line.starts_with(LISTENING);
        let line = process.wait_for_line(announces, PATIENCE).await;
        (process, line[LISTENING.len()..].to_owned())
    }

    /// Kills a process, and remembers that it took its jobs with it.
    pub(crate) async fn kill(&self, process: &Process) {
        process.signal(Signal::KILL);
        process.wait(PATIENCE).await;
        self.mourn(process);
    }

    /// Remembers that a process has died with the jobs that it held.
    pub(crate) fn mourn(&self, process: &Process) {
        self.killed.lock().unwrap().push(process.pid());
    }

    pub(crate) fn killed(&self) -> Vec<u32> {
        self.killed.lock().unwrap().clone()
    }

    /// The database as a test looks into it; a new one is needed after the server was away.
    pub(crate) async fn db(&self) -> entity::Database {
        let url = self.postgres.url().parse().unwrap();
        entity::connect(&entity::Config::new(url)).await.unwrap()
    }

    /// Makes the simulated providers known, due at once and then not again within this test.
    pub(crate) async fn apply(&self, db: &entity::Database) {
        self.apply_file(db, &self.simulator.providers_toml("1d"))
            .await;
    }

    pub(crate) async fn apply_file(&self, db: &entity::Database, file: &str) {
        let specs = provider::parse(file, &["plan-list"]).unwrap();
        provider::apply(db, &specs, false, false).await.unwrap();
    }

    /// Lets all providers answer so from their next request on.
    pub(crate) fn behave(&self, behavior: &Behavior) {
        for name in self.simulator.provider_names() {
            self.simulator
                .set_behavior(&name, behavior.clone())
                .unwrap();
        }
    }

    /// Asks for a sync of all providers.
    pub(crate) async fn request(&self, db: &entity::Database) -> Uuid {
        let providers = provider::active(&db.write).await.unwrap();
        let ids: Vec<i64> = providers.iter().map(|provider| provider.id).collect();
        let request = fan_out::Request {
            trigger: Trigger::Command,
            traceparent: None,
            providers: &ids,
            accept_gone: false,
        };
        fan_out::request(db, request).await.unwrap()
    }

    /// Moves the feeds on and syncs all of them, which must go well.
    pub(crate) async fn sync(&self, db: &entity::Database) {
        self.simulator.advance();
        let asked = self.request(db).await;
        let progress = closed(db, asked).await;
        assert_eq!((progress.failed, progress.waiting), (0, 0), "{progress:?}");
    }

    /// Returns once so many of the simulator's answers are under way.
    pub(crate) async fn fetching(&self, at_least: u64) {
        eventually(PATIENCE, format!("{at_least} fetches"), async || {
            self.simulator.stats().total.concurrent >= at_least
        })
        .await;
    }
}

pub(crate) async fn started(command: &Command, role: &str) -> Process {
    let process = Process::start(command);
    let ready = format!("{role} is ready");
    let is_ready = |line: &str| line.contains(&ready);
    process.wait_for_line(is_ready, PATIENCE).await;
    process
}

/// Waits for a fan-out's end.
pub(crate) async fn closed(db: &entity::Database, fan_out: Uuid) -> Progress {
    eventually(PATIENCE, "the fan-out's end", async || {
        // The database may be away for a while.
        let progress = fan_out::progress(&db.write, fan_out).await.ok().flatten();
        progress.filter(|progress| progress.closed)
    })
    .await
}

/// Asks processes to end, and checks that each does so well.
pub(crate) async fn stop(processes: &[&Process]) {
    for process in processes {
        process.signal(Signal::TERM);
    }
    for process in processes {
        let status = process.wait(PATIENCE).await;
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

//! A Fanfare of a test's own: its database, its queue, and its processes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Database, Process, SharedServer, Signal};

use crate::http::Api;

/// For whatever must happen: a safety net, as this machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with these arguments, without the settings that the tests themselves run under.
pub(crate) fn fanfare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("FANFARE_") || text.starts_with("OTEL_") {
            command.env_remove(&name);
        }
    }
    command.args(arguments);
    command
}

/// Each test, on the embedded database and on PostgreSQL.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test] async fn $name() {
                super::$name(crate::world::World::embedded().await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test] async fn $name() {
                super::$name(crate::world::World::postgres().await).await;
            })+
        }
    };
}

pub(crate) use on_both_databases;

pub(crate) struct World {
    pub(crate) folder: TempDir,
    variables: Vec<(&'static str, String)>,
    database: Database,
    _redis: Option<SharedServer>,
}

impl World {
    /// A migrated file, and the queue within one process.
    pub(crate) async fn embedded() -> Self {
        Self::over(Database::sqlite().await)
    }

    /// A migrated PostgreSQL database, and the queue within one process.
    pub(crate) async fn postgres() -> Self {
        Self::over(Database::postgres().await)
    }

    /// A migrated PostgreSQL database, and the queue in Redis.
    pub(crate) async fn distributed() -> Self {
        Self::postgres().await.with_redis().await
    }

    pub(crate) fn over(database: Database) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: vec![
                ("FANFARE_DATABASE_URL", database.url().to_owned()),
                ("FANFARE_LISTEN", "127.0.0.1:0".to_owned()),
                ("FANFARE_TICK", "100ms".to_owned()),
                ("FANFARE_ALLOW_NETWORKS", "127.0.0.0/8".to_owned()),
            ],
            database,
            _redis: None,
        }
    }

    pub(crate) async fn with_redis(self) -> Self {
        let redis = testkit::redis_url().await;
        let mut world = self
            .with("FANFARE_REDIS_URL", &redis)
            .with("FANFARE_QUEUE", &testkit::queue_namespace());
        world._redis = Some(redis);
        world
    }

    /// Sets a variable for all processes that are started from now on.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = fanfare(arguments);
        command.current_dir(self.folder.path());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments)).await
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&self.command(arguments))
    }

    /// Starts a scheduler or worker, and returns once it is at work.
    pub(crate) async fn start_ready(&self, arguments: &[&str]) -> Process {
        let process = self.start(arguments);
        let ready = format!("{} is ready", arguments[0]);
        let is_ready = |line: &str| line.contains(&ready);
        process.wait_for_line(is_ready, PATIENCE).await;
        process
    }

    /// Starts a process that serves the API.
    pub(crate) async fn serve(&self, arguments: &[&str]) -> Serving {
        let process = self.start(arguments);
        let api = Api::new(&announced(&process).await);
        Serving { process, api }
    }

    /// Every role in one process.
    pub(crate) async fn all(&self) -> Serving {
        self.serve(&["all"]).await
    }

    /// Writes a file into the world's folder, and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        text_of(&path)
    }

    /// Adds or changes providers, each a name and an address.
    pub(crate) async fn apply(&self, providers: &[(&str, &str)]) {
        let file = self.file("providers.toml", &provider_file(providers));
        self.run(&["provider", "apply", &file]).await.well();
    }

    /// Syncs a provider, and returns when that is over and went well.
    pub(crate) async fn sync(&self, provider: &str) {
        self.run(&["sync", provider, "--wait"]).await.well();
    }

    /// The database as a test looks into it.
    pub(crate) async fn db(&self) -> entity::Database {
        let url = self.database.url().parse().unwrap();
        entity::connect(&entity::Config::new(url)).await.unwrap()
    }
}

/// A process with the API that it serves.
pub(crate) struct Serving {
    pub(crate) process: Process,
    pub(crate) api: Api,
}

/// The address that a process says it listens on.
pub(crate) async fn announced(process: &Process) -> String {
    const LISTENING: &str = "listening on ";
    let announces = |line: &str| line.starts_with(LISTENING);
    let line = process.wait_for_line(announces, PATIENCE).await;
    line[LISTENING.len()..].to_owned()
}

/// Asks a process to end, and checks that it does so well.
pub(crate) async fn stop(process: &Process, signal: Signal) {
    process.signal(signal);
    ends_well(process).await;
}

pub(crate) async fn ends_well(process: &Process) {
    let status = process.wait(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

pub(crate) fn provider_file(providers: &[(&str, &str)]) -> String {
    let provider = |(name, url): &(&str, &str)| {
        format!(
            "[[provider]]\nname = \"{name}\"\nurl = \"{url}\"\nformat = \"plan-list\"\n\
             interval = \"1h\"\ntimezone = \"Europe/Madrid\"\n\n"
        )
    };
    providers.iter().map(provider).collect()
}

pub(crate) fn text_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A command that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    err: String,
}

/// Runs a command to its end; one that hangs is killed.
pub(crate) async fn ended(command: Command) -> Ended {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("the command ends").unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    /// Checks that it ended well, and gives what it printed.
    pub(crate) fn well(self) -> String {
        self.with_code(0)
    }

    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.well()).unwrap()
    }

    /// Checks that it ended with that code and nothing on the standard error, and gives what it
    /// printed.
    pub(crate) fn with_code(self, code: i32) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(code), ""), "{self:?}");
        self.out
    }

    /// Checks that it failed, and gives what it printed.
    pub(crate) fn badly(self) -> String {
        self.with_code(1)
    }

    /// Checks that it ended with nothing but an error in one line that has all of `words`.
    pub(crate) fn refused(&self, words: &[&str]) {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        let error = self.error();
        for word in words {
            assert!(error.contains(word), "no {word:?} in {self:?}");
        }
    }

    /// Its only line on the standard error, the log left aside.
    pub(crate) fn error(&self) -> &str {
        let lines: Vec<_> = self.err.lines().filter(|line| !is_log(line)).collect();
        match lines.as_slice() {
            [line] if line.starts_with("error: ") => line,
            _ => panic!("not one line: {self:?}"),
        }
    }

    /// Everything that it wrote.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

fn is_log(line: &str) -> bool {
    line.starts_with(r#"{"timestamp":"#)
}

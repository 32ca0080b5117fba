//! The embedded database, with its one process: killed, and out of room.

use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::Utc;
use entity::Database;
use simulator::Simulator;
use tempfile::TempDir;
use testkit::{Process, Signal, eventually};
use tokio_util::sync::CancellationToken;

use crate::checker::Check;
use crate::sql;
use crate::world::{PATIENCE, stop};

/// One process' database in a folder, and its feeds.
struct Embedded {
    simulator: Simulator,
    folder: TempDir,
}

impl Embedded {
    fn new(providers: usize, events: usize) -> Self {
        let config = simulator::Config {
            providers,
            events,
            ..simulator::Config::default()
        };
        let listener = testkit::free_listener();
        let simulator = simulator::start(listener, config, CancellationToken::new());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("providers.toml");
        std::fs::write(file, simulator.providers_toml("1d")).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        Self { simulator, folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn url(&self) -> String {
        format!("sqlite://{}/fanfare.db?mode=rwc", self.data().display())
    }

    /// Starts every role in one process, and returns once it serves.
    async fn all(&self) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
        command.current_dir(self.folder.path()).arg("all");
        command.env("FANFARE_DATABASE_URL", self.url());
        command.env("FANFARE_PROVIDERS", "providers.toml");
        command.env("FANFARE_LISTEN", "127.0.0.1:0");
        command.env("FANFARE_TICK", "100ms");
        command.env("FANFARE_ALLOW_NETWORKS", "127.0.0.0/8");
        let process = Process::start(&command);
        let serves = |line: &str| line.starts_with("listening on ");
        process.wait_for_line(serves, PATIENCE).await;
        process
    }

    async fn db(&self) -> Database {
        let config = entity::Config::new(self.url().parse().unwrap());
        entity::connect(&config).await.unwrap()
    }
}

async fn synced(db: &Database) -> i64 {
    sql::value(db, "SELECT count(last_success_at) FROM provider").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_process_that_is_killed_amid_its_commits_goes_on_at_its_next_start() {
    const PROVIDERS: i64 = 8;
    let embedded = Embedded::new(usize::try_from(PROVIDERS).unwrap(), 1_000);
    let mut process = embedded.all().await;
    let db = embedded.db().await;
    let since = Utc::now();
    for some in [1, 4] {
        eventually(PATIENCE, "a few commits", async || {
            synced(&db).await >= some
        })
        .await;
        process.signal(Signal::KILL);
        process.wait(PATIENCE).await;
        assert!(synced(&db).await < PROVIDERS, "it was killed too late");
        process = embedded.all().await;
    }
    let check = Check::embedded(&embedded.simulator, &db, since);
    check.holds().await;
    let lost = "SELECT count(*) FROM run WHERE outcome <> 'stored'";
    assert_eq!(sql::value::<i64>(&db, lost).await, 0);
    db.close().await;
    stop(&[&process]).await;
}

/// A small file system in memory, gone on drop.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` where this may not be.
    fn mount(folder: &'a Path, size: &str) -> Option<Self> {
        mount(folder, &format!("size={size}")).then_some(Self(folder))
    }

    fn grow(&self, size: &str) {
        assert!(mount(self.0, &format!("remount,size={size}")));
    }
}

fn mount(folder: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
    let mounted = command.arg(folder).output();
    mounted.is_ok_and(|output| output.status.success())
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Whatever still has a file open there is killed with the test.
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_costs_nothing_once_there_is_room() {
    let embedded = Embedded::new(4, 2_000);
    let data = embedded.data();
    let Some(disk) = SmallDisk::mount(&data, "4m") else {
        eprintln!("NOT TESTED: a full disk needs the right to mount one");
        return;
    };
    let since = Utc::now();
    let process = embedded.all().await;
    let tells = |line: &str| line.contains("disk is full");
    let told = process.wait_for_line(tells, PATIENCE).await;
    assert!(told.contains("WARN") || told.contains("ERROR"), "{told}");

    disk.grow("64m");
    let db = embedded.db().await;
    let intact: String = sql::value(&db, "PRAGMA integrity_check").await;
    assert_eq!(intact, "ok");
    let check = Check::embedded(&embedded.simulator, &db, since);
    check.holds().await;
    assert!(process.is_running());
    db.close().await;
    stop(&[&process]).await;
}

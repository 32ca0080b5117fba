//! Feeds that fit into no memory that they may have: on disk as long as they are needed, and no
//! longer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use entity::run::Outcome;
use simulator::Behavior;
use tempfile::TempDir;
use worker::fetch::{Answer, Request};
use worker::spool::SpoolConfig;

use crate::on_both_databases;
use crate::truth::{Simulated, start};
use crate::world::{PATIENCE, World};

on_both_databases!(
    a_feed_larger_than_its_memory_is_stored_exactly_and_leaves_nothing,
    a_large_feed_that_cannot_be_read_leaves_nothing,
    a_feed_past_the_budget_fails_for_now_and_is_not_its_providers_fault,
    what_differs_counts_towards_the_budget,
    a_folder_that_is_gone_fails_runs_for_now,
);

pub(crate) const NAME: &str = "provider-0001";

/// A world that spools into a folder of its own.
pub(crate) struct Spooling {
    pub(crate) world: World,
    pub(crate) simulated: Simulated,
    pub(crate) folder: Arc<TempDir>,
}

impl Spooling {
    pub(crate) async fn new(mut world: World, events: usize, memory: usize, total: u64) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        world.spool(SpoolConfig {
            memory,
            directory: folder.path().to_owned(),
            total,
        });
        let simulated = start(events);
        simulated.add_all(&world).await;
        Self {
            world,
            simulated,
            folder,
        }
    }

    pub(crate) fn on_disk(&self) -> u64 {
        self.world.tools.http.spools().on_disk()
    }

    /// Neither a file, nor one without a name, nor a share of the budget.
    pub(crate) fn has_left_nothing(&self) -> bool {
        let files = self.folder.path().read_dir().unwrap().count();
        (files, open_files(self.folder.path()), self.on_disk()) == (0, 0, 0)
    }

    /// The size of the provider's body.
    pub(crate) async fn body(&self) -> u64 {
        let provider = self.world.provider(NAME).await;
        let request = Request {
            url: &provider.url,
            timeout: PATIENCE,
            max_body: None,
            access: &provider.access,
            etag: None,
            last_modified: None,
        };
        let fetched = self.world.tools.http.fetch(&request).await.unwrap();
        match fetched.answer {
            Answer::Feed(feed) => feed.body.len(),
            Answer::NotModified => panic!("it was asked without condition"),
        }
    }

    async fn fails_for_now(&self, message: &str) {
        let before = self.world.stored(NAME).await;
        let (finish, run) = self.world.sync(NAME).await;
        assert_eq!(finish.outcome, Outcome::Failed);
        let error = finish.error.unwrap();
        assert_eq!(error.matches(message).count(), 1, "{error}");
        assert_eq!(self.world.stored(NAME).await, before);
        let provider = self.world.provider(NAME).await;
        let failures = (provider.transient_failures, provider.consecutive_failures);
        assert_eq!((failures, provider.consecutive_crashes), ((1, 0), 0));
        let wait = provider.next_due_at - run.finished_at.unwrap();
        assert!(wait <= TimeDelta::seconds(5), "{wait}");
    }
}

/// Files of this process in a folder, those without a name included; none where the system does not
/// tell.
fn open_files(folder: &Path) -> usize {
    let Ok(files) = Path::new("/proc/self/fd").read_dir() else {
        return 0;
    };
    let targets = files.filter_map(|file| file.ok()?.path().read_link().ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

async fn a_feed_larger_than_its_memory_is_stored_exactly_and_leaves_nothing(world: World) {
    let spooling = Spooling::new(world, 10_000, 256 << 10, 8 << 30).await;
    let (world, simulated) = (&spooling.world, &spooling.simulated);
    let (finish, run) = world.sync(NAME).await;
    assert_eq!(finish.outcome, Outcome::Stored, "{:?}", finish.error);
    assert!(run.bytes > Some(4 << 20), "{:?}", run.bytes);
    assert!(spooling.has_left_nothing());
    simulated.holds(world, NAME, &[0]).await;
    simulated.simulator.advance();
    let (finish, _) = world.sync(NAME).await;
    assert_eq!(finish.outcome, Outcome::Stored, "{:?}", finish.error);
    assert!(spooling.has_left_nothing());
    simulated.holds(world, NAME, &[0, 1]).await;
    assert!(finish.counts.unchanged > 8_000, "{:?}", finish.counts);
}

async fn a_large_feed_that_cannot_be_read_leaves_nothing(world: World) {
    let spooling = Spooling::new(world, 3_000, 64 << 10, 8 << 30).await;
    let world = &spooling.world;
    for behavior in [
        Behavior::Malformed,
        Behavior::CutDocument,
        Behavior::Truncated,
        Behavior::WrongRoot,
    ] {
        let told = format!("{behavior:?}");
        spooling.simulated.behave(NAME, behavior);
        let (finish, _) = world.sync(NAME).await;
        assert_eq!(finish.outcome, Outcome::Failed, "{told}");
        testkit::eventually(PATIENCE, &told, async || spooling.has_left_nothing()).await;
        assert!(world.events(NAME).await.is_empty(), "{told}");
    }
}

const FULL: &str = "temporary data would exceed the limit of";

async fn a_feed_past_the_budget_fails_for_now_and_is_not_its_providers_fault(world: World) {
    let spooling = Spooling::new(world, 1_000, 64 << 10, 100 << 10).await;
    spooling
        .fails_for_now(&format!("{FULL} {} bytes on disk", 100 << 10))
        .await;
    assert!(spooling.has_left_nothing());
}

async fn what_differs_counts_towards_the_budget(world: World) {
    // The body fits, and what differs does not.
    let mut spooling = Spooling::new(world, 1_000, 64 << 10, 8 << 30).await;
    let body = spooling.body().await;
    let total = body + body / 5;
    spooling.world.spool(SpoolConfig {
        memory: 64 << 10,
        directory: spooling.folder.path().to_owned(),
        total,
    });
    spooling
        .fails_for_now(&format!("{FULL} {total} bytes on disk"))
        .await;
    assert!(spooling.has_left_nothing());
}

async fn a_folder_that_is_gone_fails_runs_for_now(world: World) {
    let spooling = Spooling::new(world, 1_000, 64 << 10, 8 << 30).await;
    let folder = spooling.folder.path();
    std::fs::remove_dir(folder).unwrap();
    let message = format!(
        "can't write temporary data to {}: No such",
        folder.display()
    );
    spooling.fails_for_now(&message).await;
    assert_eq!(spooling.on_disk(), 0);
    // It heals by itself.
    std::fs::create_dir(folder).unwrap();
    let (finish, _) = spooling.world.sync(NAME).await;
    assert_eq!(finish.outcome, Outcome::Stored, "{:?}", finish.error);
    assert_eq!(finish.transient_failures, 0);
    assert!(finish.bytes > Some(64 << 10));
    assert!(finish.next_due_at > chrono::Utc::now() + Duration::from_secs(60));
}

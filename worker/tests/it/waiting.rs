//! Providers that keep syncs waiting, and what those hold meanwhile.

use std::future::Future;
use std::time::Duration;

use entity::run::Outcome;
use simulator::Behavior;
use worker::fetch::Limits;
use worker::{Synced, sync_provider};

use crate::feeds::{Answer, Feeds, base, feed};
use crate::on_both_databases;
use crate::truth::start;
use crate::world::{PATIENCE, World};

on_both_databases!(
    syncs_that_wait_for_their_providers_hold_no_connection,
    a_sync_amid_a_body_holds_no_connection,
);

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What a database with a single connection answers as long as nobody else holds it.
async fn answers<T>(asked: impl Future<Output = T>) -> T {
    let answered = tokio::time::timeout(PATIENCE / 2, asked).await;
    answered.expect("the only connection is free")
}

async fn syncs_that_wait_for_their_providers_hold_no_connection(mut world: World) {
    world.narrow().await;
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    feeds.close();
    let mut syncs = Vec::new();
    for name in NAMES {
        world.add(name, &feeds.url).await;
        let (tools, begun) = (world.tools.clone(), world.begin(name).await);
        syncs.push(tokio::spawn(async move {
            sync_provider(&tools, &begun).await.unwrap()
        }));
    }
    feeds.asked_times(NAMES.len()).await;
    assert_eq!(answers(world.version()).await, 0);
    // Nor is one kept to write with.
    answers(world.execute("UPDATE provider SET hold_percent = 60")).await;
    assert!(syncs.iter().all(|sync| !sync.is_finished()));
    feeds.open();
    for sync in syncs {
        let synced = tokio::time::timeout(PATIENCE, sync).await.unwrap().unwrap();
        let Synced::Recorded(finish) = synced else {
            panic!("{synced:?}")
        };
        assert_eq!(finish.outcome, Outcome::Stored);
    }
    assert_eq!(world.version().await, NAMES.len() as i64);
}

async fn a_sync_amid_a_body_holds_no_connection(mut world: World) {
    world.narrow().await;
    let simulated = start(300);
    simulated.add_all(&world).await;
    let name = "provider-0001";
    let behavior = Behavior::SlowBody {
        bytes_per_second: 10,
    };
    simulated.behave(name, behavior);
    world.limit(Limits {
        idle: Duration::from_secs(600),
        ..Limits::default()
    });
    let (tools, begun) = (world.tools.clone(), world.begin(name).await);
    let sync = tokio::spawn(async move { sync_provider(&tools, &begun).await });
    simulated.comes_under_way(name).await;
    assert_eq!(answers(world.version()).await, 0);
    assert!(!sync.is_finished());
    sync.abort();
    testkit::eventually(PATIENCE, "the fetch is given up", async || {
        simulated.under_way(name) == 0
    })
    .await;
}

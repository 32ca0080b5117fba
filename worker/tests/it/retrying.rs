//! Commits that stand in another's way, as their runs see them: not at all.

use entity::run::Outcome;
use sea_orm::{ConnectionTrait, TransactionTrait};
use worker::{Synced, sync_provider};

use crate::truth::start;
use crate::world::{PATIENCE, World};

#[tokio::test]
async fn a_run_whose_commit_has_to_come_again_stores_its_feed_once() {
    let world = World::postgres_with("default_transaction_isolation = 'repeatable read'").await;
    let simulated = start(2_500);
    simulated.add_all(&world).await;
    let name = "provider-0001";
    let (tools, begun) = (world.tools.clone(), world.begin(name).await);
    let run = begun.held.run;
    let other = world.db.write.begin().await.unwrap();
    let sql = "UPDATE provider SET paused_until = now()";
    other.execute_unprepared(sql).await.unwrap();
    let sync = tokio::spawn(async move { sync_provider(&tools, &begun).await });
    testkit::eventually(PATIENCE, "the commit waits for the provider", async || {
        let sql = "SELECT 1 FROM pg_stat_activity \
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
        let waiting = world.db.write.query_all_raw(world.statement(sql, vec![]));
        waiting.await.unwrap().len() == 1
    })
    .await;
    other.commit().await.unwrap();
    let Synced::Recorded(finish) = sync.await.unwrap().unwrap() else {
        panic!("it is still its worker's")
    };
    assert_eq!((finish.outcome, &finish.error), (Outcome::Stored, &None));
    simulated.holds(&world, name, &[0]).await;
    let events = world.events(name).await.len();
    // Several chunks of events, each logged once.
    assert!(events > 2_000);
    assert_eq!(world.changes(run).await.len(), events);
    assert_eq!(world.version().await, 1);
    let provider = world.provider(name).await;
    assert_eq!(
        (provider.consecutive_failures, provider.transient_failures),
        (0, 0)
    );
}

//! What is kept, for how long, and who is known to work.

use std::time::Duration;

use entity::commit::{Finish, commit};
use entity::retention::{Retention, prune};
use entity::run::Outcome;
use entity::{invariants, set_aside, worker};
use sea_orm::{ConnectionTrait, EntityTrait};

use crate::on_both_databases;
use crate::world::{WORKER, World, bare, creating, finish};

on_both_databases!(
    runs_and_changes_go_when_they_are_old_and_events_stay,
    what_is_young_or_open_is_kept,
    a_log_whose_times_are_out_of_order_is_pruned_without_a_hole,
    a_log_of_more_commits_than_a_batch_is_pruned_to_the_last,
    crashes_of_a_sync_count_and_the_third_pauses,
    workers_are_known_by_their_signs_of_life,
    an_invariant_that_is_broken_is_told,
);

/// Lets all that has happened be so many days old.
async fn age(world: &World, days: i64) {
    let at = world.in_seconds(-86_400 * days);
    for sql in [
        "UPDATE run SET queued_at = {at}, finished_at = {at} WHERE state = 'finished'",
        "UPDATE fan_out SET started_at = {at}, sealed_at = {at}, closed_at = {at}",
        "UPDATE dataset_commit SET committed_at = {at}",
    ] {
        world.execute(&sql.replace("{at}", &at), vec![]).await;
    }
}

async fn all_pruned(world: &World) -> u64 {
    let mut pruned = 0;
    loop {
        match prune(&world.db, Retention::default()).await.unwrap() {
            0 => return pruned,
            rows => pruned += rows,
        }
    }
}

async fn runs_and_changes_go_when_they_are_old_and_events_stay(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let item = entity::commit::SetAside {
        position: 1,
        path: "planList".to_owned(),
        reason: "no_such_day".to_owned(),
        identity: None,
        snippet: "<plan".to_owned(),
    };
    let changes = entity::commit::Changes {
        set_aside: vec![item],
        ..creating("acme", [bare("1")])
    };
    world.commit(&begun, &changes).await;
    age(&world, 15).await;
    let last = world.begun("acme").await;
    world.commit(&last, &creating("acme", [bare("2")])).await;

    assert_eq!(all_pruned(&world).await, 2, "a run and its fan-out");
    assert_eq!(world.count("run").await, 1);
    assert_eq!(
        world.run(last.held.run).await.outcome,
        Some(Outcome::Stored)
    );
    let items = set_aside::Entity::find().all(&world.db.write).await;
    assert!(items.unwrap().is_empty());
    assert_eq!(
        world.count("event_change").await,
        2,
        "changes are kept for longer"
    );
    age(&world, 91).await;
    all_pruned(&world).await;
    assert_eq!(
        (
            world.count("event_change").await,
            world.count("dataset_commit").await
        ),
        (0, 0)
    );
    assert_eq!((world.count("event").await, world.version().await), (2, 2));
    assert_eq!(
        world.count("run").await,
        1,
        "the last run of a provider stays"
    );
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
}

async fn what_is_young_or_open_is_kept(world: World) {
    world.add(&["acme"]).await;
    for event_id in ["1", "2"] {
        let begun = world.begun("acme").await;
        world
            .commit(&begun, &creating("acme", [bare(event_id)]))
            .await;
    }
    age(&world, 13).await;
    let open = world.begun("acme").await;
    assert_eq!(all_pruned(&world).await, 0);
    assert_eq!(world.count("run").await, 3);
    assert!(world.run(open.held.run).await.outcome.is_none());
}

/// Versions and runs of the log, oldest first; the changes must be of the same runs.
async fn logged(world: &World) -> Vec<i64> {
    let orphans = "SELECT count(*) FROM event_change c \
                   WHERE NOT EXISTS (SELECT 1 FROM dataset_commit d WHERE d.run_id = c.run_id)";
    assert_eq!(world.number(orphans).await, 0, "changes without a version");
    let empty = "SELECT count(*) FROM dataset_commit d \
                 WHERE NOT EXISTS (SELECT 1 FROM event_change c WHERE c.run_id = d.run_id)";
    assert_eq!(world.number(empty).await, 0, "versions without changes");
    let sql = "SELECT version FROM dataset_commit ORDER BY version";
    let rows = world.db.write.query_all_raw(world.statement(sql, vec![]));
    rows.await
        .unwrap()
        .iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect()
}

/// Stores so many events, each with a version of its own.
async fn store(world: &World, events: i64) {
    world.add(&["acme"]).await;
    for event_id in 1..=events {
        let begun = world.begun("acme").await;
        let content = bare(&event_id.to_string());
        world.commit(&begun, &creating("acme", [content])).await;
    }
}

/// A commit's time is that of its beginning: the longer it took, the further it lies behind.
async fn a_log_whose_times_are_out_of_order_is_pruned_without_a_hole(world: World) {
    store(&world, 5).await;
    for (version, days) in [(1, 91), (2, 92), (3, 89), (4, 91), (5, 1)] {
        let sql = format!(
            "UPDATE dataset_commit SET committed_at = {} WHERE version = {version}",
            world.in_seconds(-86_400 * days)
        );
        world.execute(&sql, vec![]).await;
    }
    all_pruned(&world).await;
    assert_eq!(logged(&world).await, [3, 4, 5]);

    let sql = format!(
        "UPDATE dataset_commit SET committed_at = {} WHERE version = 3",
        world.in_seconds(-86_400 * 91)
    );
    world.execute(&sql, vec![]).await;
    all_pruned(&world).await;
    assert_eq!(logged(&world).await, [5]);
}

async fn a_log_of_more_commits_than_a_batch_is_pruned_to_the_last(world: World) {
    store(&world, 101).await;
    age(&world, 91).await;
    let sql = format!(
        "UPDATE dataset_commit SET committed_at = {} WHERE version = 101",
        world.in_seconds(0)
    );
    world.execute(&sql, vec![]).await;
    all_pruned(&world).await;
    assert_eq!(logged(&world).await, [101]);
}

async fn crashes_of_a_sync_count_and_the_third_pauses(world: World) {
    world.add(&["acme"]).await;
    for crashes in 1..=3 {
        assert_eq!(world.provider("acme").await.paused_at, None);
        let begun = world.begun("acme").await;
        let crashed = Finish {
            outcome: Outcome::Failed,
            crashed: true,
            ..finish(&begun)
        };
        let nothing = entity::commit::Changes::default();
        commit(&world.db, &begun.held, &crashed, &nothing)
            .await
            .unwrap();
        assert_eq!(world.provider("acme").await.consecutive_crashes, crashes);
    }
    let provider = world.provider("acme").await;
    assert_eq!(
        provider.paused_reason.as_deref(),
        Some("its sync crashed 3 times in a row")
    );
    assert!(provider.paused_at.is_some());
    assert!(world.claim(10).await.is_empty());
}

async fn workers_are_known_by_their_signs_of_life(world: World) {
    world.add(&["acme"]).await;
    world.begun("acme").await;
    worker::beat(&world.db, WORKER, "1.2.3", 16).await.unwrap();
    worker::beat(&world.db, "worker-2", "1.2.3", 4)
        .await
        .unwrap();
    let sql = format!(
        "UPDATE worker SET started_at = {0}, seen_at = {0} WHERE name = 'worker-2'",
        world.in_seconds(-7200)
    );
    world.execute(&sql, vec![]).await;
    let known = worker::list(&world.db.read).await.unwrap();
    let shown: Vec<_> = known
        .iter()
        .map(|worker| (worker.name.as_str(), worker.concurrency, worker.running))
        .collect();
    assert_eq!(shown, [(WORKER, 16, 1), ("worker-2", 4, 0)]);
    assert!((0..60_000).contains(&known[0].silent_ms), "{known:?}");
    assert!(
        (7_199_000..7_300_000).contains(&known[1].silent_ms),
        "{known:?}"
    );

    let hour = Duration::from_secs(3600);
    assert_eq!(worker::forget_silent(&world.db, hour).await.unwrap(), 1);
    worker::forget(&world.db, WORKER).await.unwrap();
    assert!(worker::list(&world.db.read).await.unwrap().is_empty());
}

async fn an_invariant_that_is_broken_is_told(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
    let open = invariants::unsettled(&world.db).await.unwrap();
    assert_eq!(open[0].invariant, "every run is finished");
    world
        .execute("UPDATE provider SET token = token + 1", vec![])
        .await;
    let broken = invariants::violations(&world.db).await.unwrap();
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert_eq!((broken[0].count, broken[0].example.as_str()), (1, "acme"));
    world
        .execute("UPDATE provider SET token = token - 1", vec![])
        .await;
    world.commit(&begun, &creating("acme", [bare("1")])).await;
    world
        .execute("UPDATE dataset SET version = 7", vec![])
        .await;
    let broken = invariants::violations(&world.db).await.unwrap();
    assert_eq!(broken[0].invariant, "the dataset's versions have no gap");
}

//! A worker that no longer holds its run writes nothing at all.

use entity::commit::{Changes, Committed, SetAside, commit};
use entity::lease::Held;
use entity::run::Outcome;
use entity::{claim, provider, run};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::on_both_databases;
use crate::world::{PATIENCE, World, bare, creating, finish};

on_both_databases!(
    a_raised_token_fences_the_worker_off,
    a_token_raised_on_the_run_alone_fences_the_worker_off,
    a_run_that_is_over_takes_no_second_commit,
    a_run_in_other_hands_takes_no_commit,
    a_pause_cancels_the_run_and_fences_its_worker_off,
    a_reaped_run_takes_no_commit,
);

/// Events, a set-aside item and a change: something for every table.
fn changes() -> Changes {
    Changes {
        set_aside: vec![SetAside {
            position: 1,
            path: "planList".to_owned(),
            reason: "no_such_day".to_owned(),
            identity: None,
            snippet: "<plan".to_owned(),
        }],
        ..creating("acme", [bare("1"), bare("2")])
    }
}

async fn begun(world: &World) -> entity::lease::Begun {
    world.add(&["acme"]).await;
    world.begun("acme").await
}

async fn writes_nothing(world: &World, held: &Held, begun: &entity::lease::Begun) {
    let before = world.everything().await;
    let committed = commit(&world.db, held, &finish(begun), &changes()).await;
    assert_eq!(committed.unwrap(), Committed::Fenced);
    assert_eq!(world.everything().await, before);
}

async fn a_raised_token_fences_the_worker_off(world: World) {
    let begun = begun(&world).await;
    world
        .execute("UPDATE provider SET token = token + 1", vec![])
        .await;
    writes_nothing(&world, &begun.held, &begun).await;
}

async fn a_token_raised_on_the_run_alone_fences_the_worker_off(world: World) {
    let begun = begun(&world).await;
    world
        .execute("UPDATE run SET token = token + 1", vec![])
        .await;
    writes_nothing(&world, &begun.held, &begun).await;
}

async fn a_run_that_is_over_takes_no_second_commit(world: World) {
    let begun = begun(&world).await;
    assert_eq!(
        world.commit(&begun, &changes()).await,
        Committed::Yes(Some(1))
    );
    writes_nothing(&world, &begun.held, &begun).await;
}

async fn a_run_in_other_hands_takes_no_commit(world: World) {
    let begun = begun(&world).await;
    let other = Held {
        worker: "worker-2".to_owned(),
        ..begun.held.clone()
    };
    writes_nothing(&world, &other, &begun).await;
    assert_eq!(
        world.commit(&begun, &changes()).await,
        Committed::Yes(Some(1))
    );
}

async fn a_pause_cancels_the_run_and_fences_its_worker_off(world: World) {
    let begun = begun(&world).await;
    provider::pause(&world.db, "acme", "moving house", "ops")
        .await
        .unwrap();
    let run = world.run(begun.held.run).await;
    assert_eq!(
        (run.state, run.outcome),
        (run::State::Finished, Some(Outcome::Cancelled))
    );
    assert!(run.finished_at.is_some());
    let provider = world.provider("acme").await;
    assert_eq!(provider.paused_reason.as_deref(), Some("moving house"));
    assert_eq!(
        (provider.current_run, provider.token),
        (None, begun.held.token + 1)
    );
    writes_nothing(&world, &begun.held, &begun).await;
}

async fn a_reaped_run_takes_no_commit(world: World) {
    let begun = begun(&world).await;
    world.expire(begun.held.run).await;
    let reaped = claim::reap(&world.db, 10).await.unwrap();
    assert_eq!(reaped.takeovers.len(), 1);
    writes_nothing(&world, &begun.held, &begun).await;
}

/// The check waits for whoever is changing the provider, and sees what they did.
#[tokio::test]
async fn a_commit_that_waits_for_the_provider_sees_its_new_token() {
    let world = World::postgres().await;
    let begun = begun(&world).await;
    let other = world.db.write.begin().await.unwrap();
    let sql = "UPDATE provider SET token = token + 1";
    other
        .execute_raw(world.statement(sql, vec![]))
        .await
        .unwrap();
    let committing = {
        let (db, begun) = (world.db.clone(), begun.clone());
        tokio::spawn(async move { commit(&db, &begun.held, &finish(&begun), &changes()).await })
    };
    testkit::eventually(PATIENCE, "the commit waits for the lock", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
        world.number(sql).await == 1
    })
    .await;
    other.commit().await.unwrap();
    assert_eq!(committing.await.unwrap().unwrap(), Committed::Fenced);
    assert_eq!(world.count("event").await, 0);
    assert_eq!(world.version().await, 0);
}

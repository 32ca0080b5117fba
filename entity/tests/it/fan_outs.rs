//! Every fan-out closes in the end.

use entity::claim;
use entity::commit::{Changes, Finish, commit};
use entity::fan_out::{self, close_finished, failures, progress, seal};
use entity::run::Outcome;
use sea_orm::EntityTrait;
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::{World, bare, creating, finish};

on_both_databases!(
    a_fan_out_closes_when_it_is_sealed_and_its_last_run_is_over,
    what_was_closed_is_told_once_with_its_length_and_its_runs,
    one_without_a_run_ended_when_it_was_sealed,
    one_that_its_scheduler_abandoned_is_sealed_later,
    progress_and_failures_tell_how_it_went,
    nobody_knows_a_fan_out_that_was_never_made,
);

const MINUTE_MS: i64 = 60_000;

async fn a_fan_out_closes_when_it_is_sealed_and_its_last_run_is_over(world: World) {
    world.add(&["a", "b"]).await;
    let id = Uuid::now_v7();
    world.claim_for(id, 10).await;
    let a = world.begun("a").await;
    world.commit(&a, &Changes::default()).await;
    let b = world.begun("b").await;
    seal(&world.db, id).await.unwrap();
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap().len(), 0);
    world.commit(&b, &Changes::default()).await;
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap().len(), 1);
    let row = world.fan_out(id).await;
    assert!(row.closed_at >= row.sealed_at && row.sealed_at.is_some());
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap().len(), 0);
    assert_eq!(world.fan_out(id).await, row);
}

async fn what_was_closed_is_told_once_with_its_length_and_its_runs(world: World) {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    world.add(&["a", "b", "c"]).await;
    let id = Uuid::now_v7();
    let claimed = claim::claim_due(&world.db, id, Some(TRACE), 10).await;
    assert_eq!(claimed.unwrap().unwrap().len(), 3);
    for (name, outcome) in [
        ("a", Outcome::Stored),
        ("b", Outcome::Failed),
        ("c", Outcome::Failed),
    ] {
        let begun = world.begun(name).await;
        let ended = Finish {
            outcome,
            ..finish(&begun)
        };
        commit(&world.db, &begun.held, &ended, &Changes::default())
            .await
            .unwrap();
    }
    seal(&world.db, id).await.unwrap();
    // It took seven seconds, and nobody has closed it for another three.
    for sql in [
        format!("UPDATE fan_out SET started_at = {}", world.in_seconds(-10)),
        format!("UPDATE run SET finished_at = {}", world.in_seconds(-3)),
    ] {
        world.execute(&sql, vec![]).await;
    }
    let closed = close_finished(&world.db, MINUTE_MS).await.unwrap();
    let [closed] = closed.as_slice() else {
        panic!("{closed:?}")
    };
    assert_eq!((closed.id, closed.trigger), (id, fan_out::Trigger::Tick));
    assert_eq!(closed.traceparent.as_deref(), Some(TRACE));
    assert_eq!((closed.runs, closed.failed), (3, 2));
    let began = world.fan_out(id).await.started_at;
    let runs = entity::run::Entity::find().all(&world.db.read).await;
    let ended = runs.unwrap().iter().filter_map(|run| run.finished_at).max();
    assert_eq!(closed.duration, (ended.unwrap() - began).to_std().unwrap());
    assert!(closed.ended_ago.as_secs() >= 3, "{closed:?}");
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap(), []);
}

async fn one_without_a_run_ended_when_it_was_sealed(world: World) {
    world.add(&["a"]).await;
    let request = fan_out::Request {
        trigger: fan_out::Trigger::Command,
        traceparent: None,
        providers: &[],
        accept_gone: false,
    };
    let id = fan_out::request(&world.db, request).await.unwrap();
    let sql = format!(
        "UPDATE fan_out SET started_at = {}, sealed_at = {}",
        world.in_seconds(-10),
        world.in_seconds(-5)
    );
    world.execute(&sql, vec![]).await;
    let closed = close_finished(&world.db, MINUTE_MS).await.unwrap();
    assert_eq!((closed[0].id, closed[0].runs), (id, 0));
    assert_eq!(closed[0].duration.as_secs(), 5);
    assert_eq!(closed[0].trigger, fan_out::Trigger::Command);
}

async fn one_that_its_scheduler_abandoned_is_sealed_later(world: World) {
    world.add(&["a"]).await;
    let id = Uuid::now_v7();
    world.claim_for(id, 10).await;
    let begun = world.begun("a").await;
    world.commit(&begun, &Changes::default()).await;
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap().len(), 0);
    assert_eq!(world.fan_out(id).await.sealed_at, None);
    let sql = format!("UPDATE fan_out SET started_at = {}", world.in_seconds(-61));
    world.execute(&sql, vec![]).await;
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap().len(), 1);
    let row = world.fan_out(id).await;
    assert!(row.sealed_at.is_some() && row.closed_at.is_some());
}

async fn progress_and_failures_tell_how_it_went(world: World) {
    world.add(&["bad", "good", "open", "worse"]).await;
    let id = Uuid::now_v7();
    world.claim_for(id, 10).await;
    let good = world.begun("good").await;
    let counted = Finish {
        counts: entity::commit::Counts {
            new: 2,
            unchanged: 40,
            ..Default::default()
        },
        ..finish(&good)
    };
    let changes = creating("good", [bare("1"), bare("2")]);
    commit(&world.db, &good.held, &counted, &changes)
        .await
        .unwrap();
    for name in ["worse", "bad"] {
        let begun = world.begun(name).await;
        let failed = Finish {
            outcome: Outcome::Failed,
            error: Some(format!("{name} is down")),
            ..finish(&begun)
        };
        commit(&world.db, &begun.held, &failed, &Changes::default())
            .await
            .unwrap();
    }
    let told = progress(&world.db.read, id).await.unwrap().unwrap();
    assert_eq!((told.waiting, told.open, told.closed), (0, 1, false));
    assert_eq!((told.succeeded, told.failed, told.lost), (1, 2, 0));
    assert_eq!(told.changes, 2);
    let told = failures(&world.db.read, id, 10).await.unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|failure| (failure.provider.as_str(), failure.error.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("bad", Some("bad is down")),
            ("worse", Some("worse is down"))
        ]
    );
    assert_eq!(failures(&world.db.read, id, 1).await.unwrap().len(), 1);
}

async fn nobody_knows_a_fan_out_that_was_never_made(world: World) {
    let unknown = fan_out::progress(&world.db.read, Uuid::now_v7()).await;
    assert_eq!(unknown.unwrap(), None);
}

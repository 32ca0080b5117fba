//! Every fan-out closes in the end.

use entity::commit::{Changes, Finish, commit};
use entity::fan_out::{self, close_finished, failures, progress, seal};
use entity::run::Outcome;
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::{World, bare, creating, finish};

on_both_databases!(
    a_fan_out_closes_when_it_is_sealed_and_its_last_run_is_over,
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
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap(), 0);
    world.commit(&b, &Changes::default()).await;
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap(), 1);
    let row = world.fan_out(id).await;
    assert!(row.closed_at >= row.sealed_at && row.sealed_at.is_some());
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap(), 0);
    assert_eq!(world.fan_out(id).await, row);
}

async fn one_that_its_scheduler_abandoned_is_sealed_later(world: World) {
    world.add(&["a"]).await;
    let id = Uuid::now_v7();
    world.claim_for(id, 10).await;
    let begun = world.begun("a").await;
    world.commit(&begun, &Changes::default()).await;
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap(), 0);
    assert_eq!(world.fan_out(id).await.sealed_at, None);
    let sql = format!("UPDATE fan_out SET started_at = {}", world.in_seconds(-61));
    world.execute(&sql, vec![]).await;
    assert_eq!(close_finished(&world.db, MINUTE_MS).await.unwrap(), 1);
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

//! What someone asks for: taken up once, joined where it runs already, and always closed.

use entity::claim::take_requests;
use entity::fan_out;
use entity::{provider, run};
use sea_orm::{ConnectionTrait, TransactionTrait};
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::World;

on_both_databases!(
    a_request_claims_providers_that_are_not_due_and_seals,
    a_request_joins_the_run_that_is_on,
    paused_and_retired_providers_are_left_out_and_the_fan_out_closes,
    requests_beyond_the_limit_wait_and_keep_the_fan_out_open,
    nothing_requested_is_told_as_such,
    a_request_for_nobody_closes,
    a_request_whose_providers_are_purged_closes,
);

const MINUTE_MS: i64 = 60_000;

async fn request(world: &World, names: &[&str]) -> Uuid {
    world.request(names, false).await
}

async fn progress(world: &World, fan_out: Uuid) -> fan_out::Progress {
    world.progress(fan_out).await
}

async fn add_not_due(world: &World, names: &[&str]) {
    world.add(names).await;
    let sql = format!(
        "UPDATE provider SET next_due_at = {}",
        world.in_seconds(600)
    );
    world.execute(&sql, vec![]).await;
}

async fn a_request_claims_providers_that_are_not_due_and_seals(world: World) {
    add_not_due(&world, &["a", "b", "c"]).await;
    let fan_out = request(&world, &["a", "c"]).await;
    assert_eq!(progress(&world, fan_out).await.waiting, 2);
    let pushes = take_requests(&world.db, 10).await.unwrap().unwrap();
    assert_eq!(pushes.len(), 2);
    assert!(
        pushes
            .iter()
            .all(|push| push.traceparent.as_deref() == Some("00-trace"))
    );
    assert_eq!(world.provider("b").await.current_run, None);
    for name in ["a", "c"] {
        let provider = world.provider(name).await;
        let run = world.run(provider.current_run.unwrap()).await;
        assert_eq!(
            (provider.token, run.token, run.state),
            (1, 1, run::State::Queued)
        );
    }
    let now = progress(&world, fan_out).await;
    assert_eq!((now.waiting, now.open, now.closed), (0, 2, false));
    assert!(world.fan_out(fan_out).await.sealed_at.is_some());
}

async fn a_request_joins_the_run_that_is_on(world: World) {
    world.add(&["busy"]).await;
    let begun = world.begun("busy").await;
    let fan_out = request(&world, &["busy"]).await;
    let pushes = take_requests(&world.db, 10).await.unwrap();
    assert_eq!(pushes, Some(vec![]), "a run that is on is not pushed again");
    assert_eq!(world.provider("busy").await.token, begun.held.token);
    assert_eq!(progress(&world, fan_out).await.open, 1);

    fan_out::close_finished(&world.db, MINUTE_MS).await.unwrap();
    assert!(!progress(&world, fan_out).await.closed);
    world
        .commit(&begun, &entity::commit::Changes::default())
        .await;
    fan_out::close_finished(&world.db, MINUTE_MS).await.unwrap();
    let now = progress(&world, fan_out).await;
    assert_eq!((now.open, now.succeeded, now.closed), (0, 1, true));
}

async fn paused_and_retired_providers_are_left_out_and_the_fan_out_closes(world: World) {
    add_not_due(&world, &["paused", "retired"]).await;
    let fan_out = request(&world, &["paused", "retired"]).await;
    provider::pause(&world.db, "paused", "moving house", "ops")
        .await
        .unwrap();
    provider::retire(&world.db, "retired").await.unwrap();
    let pushes = take_requests(&world.db, 10).await.unwrap();
    assert_eq!(pushes, Some(vec![]));
    assert_eq!(world.count("run").await, 0);
    assert_eq!(
        fan_out::close_finished(&world.db, MINUTE_MS)
            .await
            .unwrap()
            .len(),
        1
    );
    let now = progress(&world, fan_out).await;
    assert_eq!((now.waiting, now.open, now.closed), (0, 0, true));
}

async fn requests_beyond_the_limit_wait_and_keep_the_fan_out_open(world: World) {
    add_not_due(&world, &["a", "b", "c"]).await;
    let fan_out = request(&world, &["a", "b", "c"]).await;
    assert_eq!(take_requests(&world.db, 2).await.unwrap().unwrap().len(), 2);
    fan_out::close_finished(&world.db, MINUTE_MS).await.unwrap();
    assert!(world.fan_out(fan_out).await.sealed_at.is_none());
    assert_eq!(progress(&world, fan_out).await.waiting, 1);
    assert_eq!(take_requests(&world.db, 2).await.unwrap().unwrap().len(), 1);
    assert!(world.fan_out(fan_out).await.sealed_at.is_some());
    assert_eq!(take_requests(&world.db, 2).await.unwrap(), None);
}

async fn nothing_requested_is_told_as_such(world: World) {
    world.add(&["due"]).await;
    assert_eq!(take_requests(&world.db, 10).await.unwrap(), None);
    assert_eq!(world.count("run").await, 0);
}

async fn a_request_for_nobody_closes(world: World) {
    let fan_out = request(&world, &[]).await;
    assert_eq!(take_requests(&world.db, 10).await.unwrap(), None);
    fan_out::close_finished(&world.db, MINUTE_MS).await.unwrap();
    assert!(progress(&world, fan_out).await.closed);
}

async fn a_request_whose_providers_are_purged_closes(world: World) {
    add_not_due(&world, &["leaving"]).await;
    let fan_out = request(&world, &["leaving"]).await;
    provider::purge(&world.db, "leaving").await.unwrap();
    assert_eq!(take_requests(&world.db, 10).await.unwrap(), None);
    fan_out::close_finished(&world.db, MINUTE_MS).await.unwrap();
    assert!(progress(&world, fan_out).await.closed);
}

/// Each of the two sees the other's request, which is as good as taken.
#[tokio::test]
async fn two_schedulers_that_share_a_request_do_not_leave_it_open() {
    let world = World::postgres().await;
    add_not_due(&world, &["a", "b"]).await;
    let fan_out = request(&world, &["a", "b"]).await;
    let other = world.db.write.begin().await.unwrap();
    let sql = "DELETE FROM fan_out_request WHERE provider_id = $1";
    let taken = vec![world.provider("a").await.id.into()];
    other
        .execute_raw(world.statement(sql, taken))
        .await
        .unwrap();
    let pushes = take_requests(&world.db, 10).await.unwrap().unwrap();
    assert_eq!(
        pushes.len(),
        1,
        "the request under the other's lock is passed over"
    );
    other.commit().await.unwrap();
    provider::pause(&world.db, "b", "enough", "ops")
        .await
        .unwrap();
    fan_out::close_finished(&world.db, MINUTE_MS).await.unwrap();
    assert!(progress(&world, fan_out).await.closed);
}

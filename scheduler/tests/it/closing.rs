//! Fan-outs: asked for, taken up, and closed in the end.

use entity::fan_out::{self, Progress, Trigger};
use uuid::Uuid;

use crate::on_both_databases;
use crate::role::{Role, config};
use crate::world::{PATIENCE, World};

on_both_databases!(
    a_tick_is_one_fan_out_that_closes_with_its_last_run,
    a_request_is_taken_up_pushed_and_closed,
);

async fn progress(world: &World, id: Uuid) -> Progress {
    let progress = fan_out::progress(&world.db.read, id).await;
    progress.unwrap().unwrap()
}

async fn closes(world: &World, id: Uuid) {
    testkit::eventually(PATIENCE, "the fan-out closes", async || {
        progress(world, id).await.closed
    })
    .await;
}

async fn a_tick_is_one_fan_out_that_closes_with_its_last_run(world: World) {
    // More than one batch.
    world.add_providers(70).await;
    let scheduler = Role::start(&world, config());
    world.waits_for(70).await;
    let fan_outs = world.fan_outs().await;
    assert_eq!(fan_outs.len(), 1);
    let id = fan_outs[0].id;
    assert_eq!(
        (fan_outs[0].trigger, progress(&world, id).await.open),
        (Trigger::Tick, 70)
    );
    for run in world.runs().await {
        assert!(!progress(&world, id).await.closed);
        let begun = world.begin(run.id).await;
        world.finish(&begun).await;
    }
    closes(&world, id).await;
    scheduler.stop().await;
    let told = progress(&world, id).await;
    assert_eq!((told.open, told.succeeded, told.failed), (0, 70, 0));
}

async fn a_request_is_taken_up_pushed_and_closed(world: World) {
    world.add_providers(3).await;
    let not_due = format!(
        "UPDATE provider SET next_due_at = {}",
        world.in_seconds(600)
    );
    world.execute(&not_due).await;
    let scheduler = Role::start(&world, config());
    let id = world.request(&[0, 2]).await;
    world.waits_for(2).await;
    assert_eq!(world.provider(1).await.current_run, None);
    for run in world.runs().await {
        let begun = world.begin(run.id).await;
        world.finish(&begun).await;
    }
    closes(&world, id).await;
    scheduler.stop().await;
    let told = progress(&world, id).await;
    assert_eq!((told.waiting, told.open, told.succeeded), (0, 0, 2));
}

//! Settings that change while a run is on.

use entity::commit::{Changes, Committed, Finish, Memory, Remember, commit};
use entity::provider;
use entity::run::Outcome;

use crate::on_both_databases;
use crate::world::{World, bare, creating, finish, spec};

on_both_databases!(
    settings_that_change_amid_a_run_make_the_provider_due_at_once,
    a_success_lifts_a_pause_that_was_over,
    a_failure_does_not_lift_a_pause,
);

async fn settings_that_change_amid_a_run_make_the_provider_due_at_once(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    let mut changed = spec("acme");
    changed.url = "https://acme.example/new".parse().unwrap();
    provider::apply(&world.db, &[changed], false, false)
        .await
        .unwrap();
    // The run that is on stays the only one.
    assert!(world.claim(10).await.is_empty());
    let remembering = Finish {
        remember: Remember::Replace(Memory {
            etag: Some("of the old address".to_owned()),
            last_modified: None,
            body_digest: vec![1],
            parser: 1,
        }),
        ..finish(&begun)
    };
    let changes = creating("acme", [bare("1")]);
    let committed = commit(&world.db, &begun.held, &remembering, &changes).await;
    assert_eq!(committed.unwrap(), Committed::Yes(Some(1)));

    let model = world.provider("acme").await;
    assert!(model.next_due_at <= world.now().await, "{model:?}");
    assert_eq!((model.late_at - model.next_due_at).num_seconds(), 900);
    // What the old address said is no memory of the new one.
    assert_eq!((model.revision, model.memory_revision), (2, Some(1)));
    assert_eq!(world.claim(10).await.len(), 1);
}

async fn rest(world: &World) {
    let sql = format!(
        "UPDATE provider SET paused_at = {}, paused_reason = 'tired', paused_until = {}",
        world.in_seconds(-60),
        world.in_seconds(-1)
    );
    world.execute(&sql, vec![]).await;
}

async fn a_success_lifts_a_pause_that_was_over(world: World) {
    world.add(&["acme"]).await;
    rest(&world).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &Changes::default()).await;
    let model = world.provider("acme").await;
    assert_eq!(
        (model.paused_at, model.paused_reason, model.paused_until),
        (None, None, None)
    );
}

async fn a_failure_does_not_lift_a_pause(world: World) {
    world.add(&["acme"]).await;
    rest(&world).await;
    let begun = world.begun("acme").await;
    let failed = Finish {
        outcome: Outcome::Failed,
        ..finish(&begun)
    };
    commit(&world.db, &begun.held, &failed, &Changes::default())
        .await
        .unwrap();
    let model = world.provider("acme").await;
    assert_eq!(model.paused_reason.as_deref(), Some("tired"));
}

//! How fresh what is known of providers is.

use entity::provider::{self, Freshness};

use crate::on_both_databases;
use crate::world::{World, bare, creating};

on_both_databases!(
    a_provider_is_stale_until_it_succeeds_and_after_twice_its_interval,
    a_pause_is_told_with_its_reason_until_it_ends,
    what_is_retired_is_not_listed,
);

async fn of(world: &World, name: &str) -> Freshness {
    let all = provider::freshness(&world.db.read).await.unwrap();
    let found = all.into_iter().find(|provider| provider.name == name);
    found.unwrap()
}

async fn a_provider_is_stale_until_it_succeeds_and_after_twice_its_interval(world: World) {
    world.add(&["acme"]).await;
    let before = of(&world, "acme").await;
    assert_eq!((before.stale, before.last_success_at), (true, None));
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", [bare("1")])).await;
    let after = of(&world, "acme").await;
    let row = world.provider("acme").await;
    assert!(!after.stale);
    assert_eq!(after.last_success_at, row.last_success_at);
    assert_eq!(after.next_due_at, row.next_due_at);
    assert_eq!((after.url, after.host), (row.url, row.host));
    assert_eq!((after.interval_ms, after.format), (900_000, row.format));
    for (seconds, stale) in [(-1_700, false), (-1_900, true)] {
        let at = world.in_seconds(seconds);
        let sql = format!("UPDATE provider SET last_success_at = {at}");
        world.execute(&sql, vec![]).await;
        assert_eq!(of(&world, "acme").await.stale, stale);
    }
}

async fn a_pause_is_told_with_its_reason_until_it_ends(world: World) {
    world.add(&["acme"]).await;
    assert!(!of(&world, "acme").await.paused);
    provider::pause(&world.db, "acme", "moving", "someone")
        .await
        .unwrap();
    let paused = of(&world, "acme").await;
    assert_eq!(
        (paused.paused, paused.paused_reason.as_deref()),
        (true, Some("moving"))
    );
    for (seconds, still) in [(60, true), (-60, false)] {
        let until = world.in_seconds(seconds);
        let sql = format!("UPDATE provider SET paused_until = {until}");
        world.execute(&sql, vec![]).await;
        assert_eq!(of(&world, "acme").await.paused, still);
    }
}

async fn what_is_retired_is_not_listed(world: World) {
    world.add(&["b", "a", "c"]).await;
    provider::retire(&world.db, "b").await.unwrap();
    let all = provider::freshness(&world.db.read).await.unwrap();
    let names: Vec<&str> = all.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

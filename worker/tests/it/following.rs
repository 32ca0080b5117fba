//! Syncs of feeds as they are served, round after round.

use std::collections::BTreeMap;

use entity::event_change::Kind;
use entity::run::Outcome;
use entity::{invariants, set_aside};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use simulator::{Behavior, Reason};

use crate::on_both_databases;
use crate::truth::start;
use crate::world::World;

on_both_databases!(
    the_first_sync_stores_every_field_of_every_event,
    rounds_are_followed_event_by_event,
    a_feed_that_is_not_modified_writes_nothing,
    a_round_writes_only_what_it_changes,
    what_is_set_aside_is_told_with_path_and_reason,
    an_empty_feed_that_is_believed_marks_everything_gone_and_forgets_nothing,
);

async fn the_first_sync_stores_every_field_of_every_event(world: World) {
    let simulated = start(150);
    simulated.add_all(&world).await;
    for name in simulated.simulator.provider_names() {
        let (finish, run) = world.sync(&name).await;
        assert_eq!(finish.outcome, Outcome::Stored, "{:?}", finish.error);
        simulated.holds(&world, &name, &[0]).await;
        let events = world.events(&name).await.len() as u64;
        assert!(events > 100);
        assert_eq!((finish.counts.new, finish.counts.unchanged), (events, 0));
        assert_eq!((run.http_status, run.error), (Some(200), None));
        assert!(run.bytes > Some(0) && run.fetch_ms.is_some() && run.parse_ms.is_some());
        let changes = world.changes(run.id).await;
        assert_eq!(changes.len() as u64, events);
        assert!(changes.iter().all(|change| change.kind == Kind::Created));
    }
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
}

async fn rounds_are_followed_event_by_event(world: World) {
    let simulated = start(120);
    simulated.add_all(&world).await;
    world.never_hold().await;
    // Far enough apart that events come, change, go and return.
    let steps = [1, 1, 40, 110, 3, 200, 5];
    let mut rounds = vec![0];
    for name in simulated.simulator.provider_names() {
        world.sync(&name).await;
    }
    let mut seen = [0; 4];
    for step in steps {
        for _ in 0..step {
            simulated.simulator.advance();
        }
        rounds.push(simulated.simulator.round());
        for name in simulated.simulator.provider_names() {
            let (finish, _) = world.sync(&name).await;
            simulated.holds(&world, &name, &rounds).await;
            let counts = finish.counts;
            let of_run = [counts.new, counts.changed, counts.gone, counts.returned];
            seen = std::array::from_fn(|kind| seen[kind] + of_run[kind]);
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    assert_eq!(invariants::violations(&world.db).await.unwrap(), []);
}

async fn a_feed_that_is_not_modified_writes_nothing(world: World) {
    let simulated = start(50);
    simulated.add_all(&world).await;
    let name = "provider-0001";
    world.sync(name).await;
    let before = world.stored(name).await;
    let memory = world.provider(name).await.etag;
    assert!(memory.is_some());
    let (finish, run) = world.sync(name).await;
    assert_eq!(finish.outcome, Outcome::Unchanged);
    assert_eq!((run.http_status, run.bytes), (Some(304), None));
    assert_eq!(world.stored(name).await, before);
    assert!(world.changes(run.id).await.is_empty());
    let provider = world.provider(name).await;
    assert_eq!(provider.etag, memory);
    assert!(provider.last_success_at >= run.started_at);
    assert_eq!(simulated.simulator.stats().providers[name].not_modified, 1);
}

async fn a_round_writes_only_what_it_changes(world: World) {
    let simulated = start(200);
    simulated.add_all(&world).await;
    let name = "provider-0002";
    world.sync(name).await;
    let before: BTreeMap<_, _> = world
        .events(name)
        .await
        .into_iter()
        .map(|e| (e.id, e))
        .collect();
    for _ in 0..3 {
        simulated.simulator.advance();
    }
    let (finish, run) = world.sync(name).await;
    let after = world.events(name).await;
    let written: Vec<_> = after
        .iter()
        .filter(|e| before.get(&e.id) != Some(e))
        .map(|e| e.id)
        .collect();
    let mut changed: Vec<_> = world
        .changes(run.id)
        .await
        .iter()
        .map(|c| c.event_id)
        .collect();
    changed.sort_unstable();
    let mut expected = written.clone();
    expected.sort_unstable();
    assert_eq!(changed, expected);
    assert!(
        !written.is_empty() && written.len() < 50,
        "{}",
        written.len()
    );
    let counts = finish.counts;
    let total = counts.new + counts.changed + counts.gone + counts.returned;
    assert_eq!(total, written.len() as u64);
    assert!(counts.unchanged > 100, "{counts:?}");
    for change in world.changes(run.id).await {
        let told = change
            .changes
            .is_some_and(|changes| !changes.as_object().unwrap().is_empty());
        assert_eq!(told, change.kind == Kind::Updated, "{:?}", change.kind);
    }
}

async fn what_is_set_aside_is_told_with_path_and_reason(world: World) {
    let simulated = start(1500);
    simulated.add_all(&world).await;
    let mut kinds = std::collections::BTreeSet::new();
    for name in simulated.simulator.provider_names() {
        let (finish, run) = world.sync(&name).await;
        let expected = simulated.simulator.set_aside(&name, 0).unwrap();
        assert_eq!(finish.counts.set_aside, expected.len() as u64);
        assert_eq!(run.set_aside, expected.len() as i64);
        let stored = set_aside::Entity::find()
            .filter(set_aside::Column::RunId.eq(run.id))
            .order_by_asc(set_aside::Column::Ordinal)
            .all(&world.db.write)
            .await
            .unwrap();
        assert_eq!(stored.len(), expected.len());
        for (stored, expected) in stored.iter().zip(expected) {
            let slug = match expected.reason {
                Reason::MissingTitle => "missing_title",
                Reason::MissingBaseId => "missing_base_id",
                Reason::MissingEventId => "missing_event_id",
                Reason::MissingStart => "missing_start",
                Reason::ImpossibleDay => "no_such_day",
                Reason::BadPrice => "bad_price",
            };
            kinds.insert(slug);
            assert_eq!(stored.reason, slug);
            let identity = expected.base_id.zip(expected.event_id).unzip();
            assert_eq!((stored.base_id.clone(), stored.event_id.clone()), identity);
            assert!(stored.path.contains("List/output/base_"), "{}", stored.path);
            assert_eq!(stored.path.contains("/zone["), expected.zone_id.is_some());
            assert!(stored.snippet.starts_with('<') && stored.position > 0);
        }
    }
    assert!(kinds.len() >= 4, "{kinds:?}");
}

async fn an_empty_feed_that_is_believed_marks_everything_gone_and_forgets_nothing(world: World) {
    let simulated = start(30);
    simulated.add_all(&world).await;
    world.never_hold().await;
    let name = "provider-0003";
    world.sync(name).await;
    let before = world.events(name).await;
    simulated.behave(name, Behavior::Empty);
    let (finish, _) = world.sync(name).await;
    assert_eq!(finish.outcome, Outcome::Stored);
    assert_eq!(finish.counts.gone, before.len() as u64);
    let after = world.events(name).await;
    assert_eq!(after.len(), before.len());
    assert!(after.iter().all(|event| event.gone_at.is_some()));

    simulated.behave(name, Behavior::Normal);
    let (finish, _) = world.sync(name).await;
    assert_eq!(finish.counts.returned, before.len() as u64);
    simulated.holds(&world, name, &[0]).await;
}

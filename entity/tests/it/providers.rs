//! What operators do to providers.

use entity::dataset;
use entity::provider::{self, Applied, Change, Found, apply};
use entity::run;
use entity::run::Outcome;

use crate::on_both_databases;
use crate::world::{World, bare, creating, spec};

on_both_databases!(
    a_new_provider_is_due_at_once,
    applying_tells_and_writes_only_what_differs,
    a_dry_run_tells_and_writes_nothing,
    pruning_retires_what_is_not_in_the_file,
    a_retired_provider_comes_back_by_being_applied,
    a_resumed_provider_is_due_at_once_with_a_clean_record,
    an_unknown_or_retired_provider_is_told_as_such,
    a_retired_providers_run_is_cancelled_and_its_events_stay,
    a_purge_deletes_the_provider_with_all_it_had_and_nothing_else,
    a_listing_counts_events_and_tells_what_is_stale,
);

async fn apply_one(world: &World, spec: &provider::Spec) -> Vec<Applied> {
    let specs = std::slice::from_ref(spec);
    apply(&world.db, specs, false, false).await.unwrap()
}

async fn a_new_provider_is_due_at_once(world: World) {
    let before = world.now().await;
    let applied = apply_one(&world, &spec("acme")).await;
    let added = Applied {
        name: "acme".to_owned(),
        change: Change::Added,
    };
    assert_eq!(applied, [added]);
    let model = world.provider("acme").await;
    assert_eq!(
        (model.url.as_str(), model.host.as_str()),
        ("http://127.0.0.1:9/feed", "127.0.0.1:9")
    );
    assert_eq!((model.interval_ms, model.timeout_ms), (900_000, 30_000));
    assert_eq!(
        (model.timezone.as_str(), model.format.as_str()),
        ("Europe/Madrid", "plan-list")
    );
    assert_eq!(
        (model.revision, model.token, model.current_run),
        (1, 0, None)
    );
    assert!(model.next_due_at >= before && model.next_due_at <= world.now().await);
    assert_eq!((model.late_at - model.next_due_at).num_seconds(), 900);
}

async fn applying_tells_and_writes_only_what_differs(world: World) {
    world.add(&["acme", "other"]).await;
    let untouched = world.provider("other").await;
    assert!(apply_one(&world, &spec("acme")).await.is_empty());
    assert_eq!(world.provider("acme").await.revision, 1);

    let not_due = format!(
        "UPDATE provider SET next_due_at = {}",
        world.in_seconds(600)
    );
    world.execute(&not_due, vec![]).await;
    let mut changed = spec("acme");
    changed.timezone = "Asia/Tokyo".to_owned();
    changed.url = "https://acme.example/feed".parse().unwrap();
    let applied = apply_one(&world, &changed).await;
    let fields = vec![
        "url: http://127.0.0.1:9/feed -> https://acme.example/feed".to_owned(),
        "timezone: Europe/Madrid -> Asia/Tokyo".to_owned(),
    ];
    let change = Change::Updated { fields };
    let name = "acme".to_owned();
    assert_eq!(applied, [Applied { name, change }]);
    let model = world.provider("acme").await;
    assert_eq!((model.revision, model.host.as_str()), (2, "acme.example"));
    assert_eq!(model.timezone, "Asia/Tokyo");
    assert!(model.next_due_at <= world.now().await);
    assert_eq!(world.provider("other").await.revision, untouched.revision);
}

async fn a_dry_run_tells_and_writes_nothing(world: World) {
    world.add(&["acme", "leaving"]).await;
    let before = world.everything().await;
    let mut changed = spec("acme");
    changed.timezone = "UTC".to_owned();
    let specs = [changed, spec("new")];
    let told = apply(&world.db, &specs, true, true).await.unwrap();
    assert_eq!(world.everything().await, before);
    let done = apply(&world.db, &specs, true, false).await.unwrap();
    assert_eq!(told, done);
    let names: Vec<_> = told.iter().map(|applied| applied.name.as_str()).collect();
    assert_eq!(names, ["acme", "new", "leaving"]);
}

async fn pruning_retires_what_is_not_in_the_file(world: World) {
    world.add(&["staying", "leaving"]).await;
    world.claim(10).await;
    let begun = world.begun("leaving").await;
    let applied = apply(&world.db, &[spec("staying")], true, false)
        .await
        .unwrap();
    let (name, change) = ("leaving".to_owned(), Change::Retired);
    assert_eq!(applied, [Applied { name, change }]);
    let active = provider::active(&world.db.read).await.unwrap();
    assert_eq!(
        active.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
        ["staying"]
    );
    let run = world.run(begun.held.run).await;
    assert_eq!(run.outcome, Some(Outcome::Cancelled));
    assert!(world.provider("staying").await.current_run.is_some());
}

async fn a_retired_provider_comes_back_by_being_applied(world: World) {
    world.add(&["acme"]).await;
    let id = world.provider("acme").await.id;
    assert_eq!(
        provider::retire(&world.db, "acme").await.unwrap(),
        Found::Yes
    );
    assert!(world.claim(10).await.is_empty());
    let applied = apply_one(&world, &spec("acme")).await;
    assert_eq!(applied[0].change, Change::Added);
    let model = world.provider("acme").await;
    assert_eq!((model.id, model.retired_at), (id, None));
    assert_eq!(world.claim(10).await.len(), 1);
}

async fn a_resumed_provider_is_due_at_once_with_a_clean_record(world: World) {
    world.add(&["acme"]).await;
    provider::pause(&world.db, "acme", "moving house", "ops")
        .await
        .unwrap();
    let sql = format!(
        "UPDATE provider SET consecutive_failures = 3, consecutive_crashes = 2, \
         transient_failures = 1, next_due_at = {}",
        world.in_seconds(600)
    );
    world.execute(&sql, vec![]).await;
    assert_eq!(
        provider::resume(&world.db, "acme").await.unwrap(),
        Found::Yes
    );
    let model = world.provider("acme").await;
    assert_eq!(
        (model.paused_at, model.paused_reason, model.paused_until),
        (None, None, None)
    );
    let record = [
        model.consecutive_failures,
        model.consecutive_crashes,
        model.transient_failures,
    ];
    assert_eq!(record, [0, 0, 0]);
    assert_eq!(world.claim(10).await.len(), 1);
}

async fn an_unknown_or_retired_provider_is_told_as_such(world: World) {
    world.add(&["retired"]).await;
    provider::retire(&world.db, "retired").await.unwrap();
    let before = world.everything().await;
    for name in ["unknown", "retired"] {
        assert_eq!(
            provider::pause(&world.db, name, "x", "ops").await.unwrap(),
            Found::No
        );
        assert_eq!(provider::resume(&world.db, name).await.unwrap(), Found::No);
        assert_eq!(provider::retire(&world.db, name).await.unwrap(), Found::No);
    }
    assert_eq!(
        provider::purge(&world.db, "unknown").await.unwrap(),
        Found::No
    );
    assert_eq!(world.everything().await, before);
}

async fn a_retired_providers_run_is_cancelled_and_its_events_stay(world: World) {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", [bare("1")])).await;
    let begun = world.begun("acme").await;
    provider::retire(&world.db, "acme").await.unwrap();
    let run = world.run(begun.held.run).await;
    assert_eq!(
        (run.state, run.outcome),
        (run::State::Finished, Some(Outcome::Cancelled))
    );
    assert_eq!((world.count("event").await, world.version().await), (1, 1));
}

async fn a_purge_deletes_the_provider_with_all_it_had_and_nothing_else(world: World) {
    world.add(&["acme", "other"]).await;
    world.claim(10).await;
    for name in ["acme", "other"] {
        let begun = world.begun(name).await;
        world.commit(&begun, &creating(name, [bare("1")])).await;
    }
    world.begun("acme").await;
    let before = dataset::version(&world.db.write).await.unwrap();
    assert_eq!(
        provider::purge(&world.db, "acme").await.unwrap(),
        Found::Yes
    );
    assert!(
        provider::by_name(&world.db.read, "acme")
            .await
            .unwrap()
            .is_none()
    );
    for table in ["provider", "run", "event", "event_change"] {
        assert_eq!(world.count(table).await, 1, "{table}");
    }
    let after = dataset::version(&world.db.write).await.unwrap();
    assert_eq!(after.number, before.number + 1);
    assert_ne!(after.epoch, before.epoch, "the log does not tell what went");

    world.add(&["empty"]).await;
    provider::purge(&world.db, "empty").await.unwrap();
    let unchanged = dataset::version(&world.db.write).await.unwrap();
    assert_eq!(unchanged, after, "no event went");
}

async fn a_listing_counts_events_and_tells_what_is_stale(world: World) {
    world.add(&["fresh", "never", "old", "retired"]).await;
    provider::retire(&world.db, "retired").await.unwrap();
    world.claim(10).await;
    for name in ["fresh", "old"] {
        let begun = world.begun(name).await;
        world
            .commit(&begun, &creating(name, [bare("1"), bare("2"), bare("3")]))
            .await;
    }
    let sql = format!(
        "UPDATE event SET gone_at = {} WHERE event_id = '3'",
        world.in_seconds(0)
    );
    world.execute(&sql, vec![]).await;
    let sql = format!(
        "UPDATE provider SET last_success_at = {} WHERE name = 'old'",
        world.in_seconds(-1801)
    );
    world.execute(&sql, vec![]).await;
    let told: Vec<_> = provider::list(&world.db.read)
        .await
        .unwrap()
        .into_iter()
        .map(|row| {
            (
                row.name,
                row.events,
                row.events_gone,
                row.stale,
                row.claimed,
            )
        })
        .collect();
    let expected = [
        ("fresh".to_owned(), 2, 1, false, false),
        ("never".to_owned(), 0, 0, true, true),
        ("old".to_owned(), 2, 1, true, false),
    ];
    assert_eq!(told, expected);
}

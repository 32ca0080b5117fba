//! What is counted for those who watch the whole.

use std::time::Duration;

use entity::commit::{Finish, commit};
use entity::overview::{Age, Breakers, Overview, Staleness, ages, overview};
use entity::run::Outcome;
use entity::{Config, provider, worker};

use crate::on_both_databases;
use crate::world::{LEASE, PATIENCE, World, bare, creating};

on_both_databases!(
    an_empty_database_is_all_zeros,
    runs_are_counted_by_state_and_the_oldest_queued_one_tells_its_age,
    what_is_put_off_is_no_backlog_before_its_time,
    what_was_begun_in_the_last_minute_is_the_pace,
    providers_are_counted_once_by_the_age_of_their_last_success,
    a_breaker_is_open_until_the_next_visit_is_due_and_half_open_until_that_has_ended,
    a_breaker_is_open_since_the_fifth_failure_after_the_last_success,
    workers_count_for_one_lease,
    providers_that_hold_events_and_the_version_are_told,
    ages_are_those_of_providers_that_are_visited,
);

async fn look(world: &World) -> Overview {
    overview(&world.db, LEASE).await.unwrap()
}

/// Sets columns of a provider.
async fn set(world: &World, name: &str, assignments: &str) {
    let sql = format!("UPDATE provider SET {assignments} WHERE name = $1");
    world.execute(&sql, vec![name.into()]).await;
}

/// The provider's last success, so many seconds ago.
async fn succeeded(world: &World, name: &str, seconds: i64) {
    let at = world.in_seconds(-seconds);
    set(world, name, &format!("last_success_at = {at}")).await;
}

/// A failed run that was claimed and ended so many seconds ago.
async fn failed(world: &World, name: &str, seconds: i64) {
    let begun = world.begun(name).await;
    let due = begun.at + Duration::from_secs(900);
    let finish = Finish::new(Outcome::Failed, due, begun.provider.revision);
    let failures = begun.provider.consecutive_failures + 1;
    let finish = Finish {
        consecutive_failures: failures,
        ..finish
    };
    let changes = creating(name, []);
    commit(&world.db, &begun.held, &finish, &changes)
        .await
        .unwrap();
    let at = world.in_seconds(-seconds);
    let sql = format!("UPDATE run SET queued_at = {at}, finished_at = {at} WHERE id = $1");
    world.execute(&sql, vec![begun.held.run.into()]).await;
}

fn near(ms: Option<i64>, seconds: i64) -> bool {
    ms.is_some_and(|ms| (seconds * 1000 - 100..seconds * 1000 + 60_000).contains(&ms))
}

async fn an_empty_database_is_all_zeros(world: World) {
    let seen = look(&world).await;
    let nothing = Overview {
        version: world.version().await,
        queued: 0,
        oldest_queued_ms: None,
        running: 0,
        begun_lately: 0,
        workers: 0,
        staleness: Staleness {
            fresh: 0,
            late: 0,
            stale: 0,
            never: 0,
            paused: 0,
        },
        breakers: Breakers {
            closed: 0,
            half_open: 0,
            open: 0,
            longest_ms: None,
        },
        holding: 0,
    };
    assert_eq!(seen, nothing);
    assert_eq!(ages(&world.db, 10).await.unwrap(), []);
}

async fn runs_are_counted_by_state_and_the_oldest_queued_one_tells_its_age(world: World) {
    world.add(&["a", "b", "c", "d"]).await;
    let runs = world.claim(10).await;
    let at = world.in_seconds(-90);
    for (run, seconds) in [(runs[0], 400), (runs[1], 90)] {
        let at = if seconds == 90 {
            at.clone()
        } else {
            world.in_seconds(-seconds)
        };
        let sql = format!("UPDATE run SET queued_at = {at} WHERE id = $1");
        world.execute(&sql, vec![run.into()]).await;
    }
    // The oldest of all is running, and one is over.
    world.begin(runs[0]).await.unwrap();
    let over = world.begin(runs[2]).await.unwrap();
    world.commit(&over, &creating("c", [bare("1")])).await;
    let seen = look(&world).await;
    assert_eq!((seen.queued, seen.running), (2, 1));
    assert!(near(seen.oldest_queued_ms, 90), "{seen:?}");
}

async fn what_is_put_off_is_no_backlog_before_its_time(world: World) {
    world.add(&["a", "b"]).await;
    let runs = world.claim(10).await;
    let off = |seconds: i64| {
        format!(
            "UPDATE run SET queued_at = {}, postponed_for = 'host_gap', next_push_at = {} \
             WHERE id = $1",
            world.in_seconds(-600),
            world.in_seconds(seconds)
        )
    };
    world.execute(&off(60), vec![runs[0].into()]).await;
    let seen = look(&world).await;
    assert_eq!(seen.queued, 1);
    assert!(near(seen.oldest_queued_ms, 0), "{seen:?}");
    world.execute(&off(-1), vec![runs[0].into()]).await;
    let seen = look(&world).await;
    assert_eq!(seen.queued, 2);
    assert!(near(seen.oldest_queued_ms, 600), "{seen:?}");
}

async fn what_was_begun_in_the_last_minute_is_the_pace(world: World) {
    world.add(&["a", "b", "c", "d", "e"]).await;
    let runs = world.claim(10).await;
    let started = async |seconds: i64, run: uuid::Uuid| {
        let at = world.in_seconds(-seconds);
        let sql = format!("UPDATE run SET started_at = {at} WHERE id = $1");
        world.execute(&sql, vec![run.into()]).await;
    };
    // Running since a moment, and for long; over since a moment, begun lately and long ago.
    let begun = world.begin(runs[0]).await.unwrap();
    started(10, begun.held.run).await;
    world.begin(runs[1]).await.unwrap();
    started(70, runs[1]).await;
    for (run, name, seconds) in [(runs[2], "c", 50), (runs[3], "d", 65)] {
        let over = world.begin(run).await.unwrap();
        world.commit(&over, &creating(name, [])).await;
        started(seconds, run).await;
    }
    assert_eq!(look(&world).await.begun_lately, 2);
    let at = world.in_seconds(-61);
    let sql = format!("UPDATE run SET finished_at = {at}, started_at = {at} WHERE id = $1");
    world.execute(&sql, vec![runs[2].into()]).await;
    assert_eq!(look(&world).await.begun_lately, 1);
}

async fn providers_are_counted_once_by_the_age_of_their_last_success(world: World) {
    // All are visited each 900 s.
    world
        .add(&[
            "fresh", "late", "stale", "never", "paused", "resumed", "gone",
        ])
        .await;
    for (name, seconds) in [
        ("fresh", 1_700),
        ("late", 1_900),
        ("stale", 3_700),
        ("paused", 9_999),
    ] {
        succeeded(&world, name, seconds).await;
    }
    for name in ["paused", "resumed"] {
        provider::pause(&world.db, name, "moving", "someone")
            .await
            .unwrap();
    }
    let passed = world.in_seconds(-1);
    set(&world, "resumed", &format!("paused_until = {passed}")).await;
    provider::retire(&world.db, "gone").await.unwrap();
    let staleness = look(&world).await.staleness;
    let expected = Staleness {
        fresh: 1,
        late: 1,
        stale: 1,
        never: 2,
        paused: 1,
    };
    assert_eq!(staleness, expected);
    assert_eq!(staleness.providers(), 6);
    for (name, seconds) in [("fresh", 1_801), ("late", 3_601)] {
        succeeded(&world, name, seconds).await;
    }
    let staleness = look(&world).await.staleness;
    assert_eq!(
        (staleness.fresh, staleness.late, staleness.stale),
        (0, 1, 2)
    );
}

async fn a_breaker_is_open_until_the_next_visit_is_due_and_half_open_until_that_has_ended(
    world: World,
) {
    world.add(&["acme", "well", "paused"]).await;
    set(&world, "well", "consecutive_failures = 4").await;
    set(&world, "paused", "consecutive_failures = 9").await;
    provider::pause(&world.db, "paused", "moving", "someone")
        .await
        .unwrap();
    let states = async || {
        let breakers = look(&world).await.breakers;
        (breakers.closed, breakers.half_open, breakers.open)
    };
    assert_eq!(states().await, (2, 0, 0));
    let later = world.in_seconds(600);
    set(
        &world,
        "acme",
        &format!("consecutive_failures = 5, next_due_at = {later}"),
    )
    .await;
    assert_eq!(states().await, (1, 0, 1));
    let passed = world.in_seconds(-1);
    set(&world, "acme", &format!("next_due_at = {passed}")).await;
    assert_eq!(states().await, (1, 1, 0));
    // Claimed, be it before its time.
    let begun = world.begun("acme").await;
    set(&world, "acme", &format!("next_due_at = {later}")).await;
    assert_eq!(states().await, (1, 1, 0));
    world.commit(&begun, &creating("acme", [])).await;
    assert_eq!(states().await, (2, 0, 0));
}

async fn a_breaker_is_open_since_the_fifth_failure_after_the_last_success(world: World) {
    world.add(&["acme", "other"]).await;
    let longest = async || look(&world).await.breakers.longest_ms;
    // Before the last success: they do not count.
    for seconds in [9_000, 8_000] {
        failed(&world, "acme", seconds).await;
    }
    succeeded(&world, "acme", 7_000).await;
    set(&world, "acme", "consecutive_failures = 0").await;
    for seconds in [6_000, 5_000, 4_000, 3_000] {
        failed(&world, "acme", seconds).await;
    }
    assert_eq!(longest().await, None);
    for seconds in [2_000, 1_000, 500] {
        failed(&world, "acme", seconds).await;
    }
    assert!(near(longest().await, 2_000), "{:?}", longest().await);
    // Whoever was broken first tells, also one of which no run is kept.
    let at = world.in_seconds(-5_500);
    set(
        &world,
        "other",
        &format!("consecutive_failures = 7, last_success_at = {at}"),
    )
    .await;
    assert!(near(longest().await, 5_500), "{:?}", longest().await);
}

async fn workers_count_for_one_lease(world: World) {
    for name in ["one", "two"] {
        worker::beat(&world.db, name, "0.1.0", 16).await.unwrap();
    }
    assert_eq!(look(&world).await.workers, 2);
    let sql = format!(
        "UPDATE worker SET seen_at = {} WHERE name = 'one'",
        world.in_seconds(-21)
    );
    world.execute(&sql, vec![]).await;
    assert_eq!(look(&world).await.workers, 1);
}

async fn providers_that_hold_events_and_the_version_are_told(world: World) {
    world.add(&["a", "b"]).await;
    set(&world, "a", "events_held = 30").await;
    let begun = world.begun("b").await;
    world.commit(&begun, &creating("b", [bare("1")])).await;
    let seen = look(&world).await;
    assert_eq!(seen.holding, 1);
    assert_eq!(seen.version, world.version().await);
    assert!(seen.version > 0);
}

async fn ages_are_those_of_providers_that_are_visited(world: World) {
    world.add(&["c", "a", "never", "paused", "gone"]).await;
    for (name, seconds) in [("c", 30), ("a", 700), ("paused", 10), ("gone", 10)] {
        succeeded(&world, name, seconds).await;
    }
    provider::pause(&world.db, "paused", "moving", "someone")
        .await
        .unwrap();
    provider::retire(&world.db, "gone").await.unwrap();
    let all = ages(&world.db, 10).await.unwrap();
    let names: Vec<&str> = all.iter().map(|age| age.provider.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert!(near(Some(all[0].ms), 700) && near(Some(all[1].ms), 30));
    let few: Vec<Age> = ages(&world.db, 1).await.unwrap();
    assert_eq!(few.len(), 1);
}

#[tokio::test]
async fn pools_tell_what_is_used_and_a_resting_connection_is_idle() {
    let mut world = World::postgres().await;
    let mut config = Config::new(world.database.url().parse().unwrap());
    config.max_connections = 3;
    world.db = entity::connect(&config).await.unwrap();
    let pools = world.db.pools();
    let look = || pools.look().map(|pool| (pool.name, pool.used, pool.max));
    testkit::eventually(PATIENCE, "the pool has its connection back", async || {
        look().collect::<Vec<_>>() == [("write", 0, 3)]
    })
    .await;
    let tx = world.db.begin().await.unwrap();
    assert_eq!(look().collect::<Vec<_>>(), [("write", 1, 3)]);
    // A reader keeps its connection for a moment, and nobody is at it.
    entity::search::event(world.db.reader(), uuid::Uuid::nil())
        .await
        .unwrap();
    let [seen] = pools.look().collect::<Vec<_>>()[..] else {
        panic!("one pool")
    };
    assert_eq!((seen.used, seen.idle), (1, 1));
    tx.rollback().await.unwrap();
    config.read_url = Some(world.database.url().parse().unwrap());
    let both = entity::connect(&config).await.unwrap();
    let names: Vec<_> = both.pools().look().map(|pool| pool.name).collect();
    assert_eq!(names, ["write", "read"]);
    both.close().await;
}

#[tokio::test]
async fn pools_of_an_embedded_database_are_one_that_writes_and_one_that_reads() {
    let world = World::sqlite().await;
    let pools = world.db.pools();
    let tx = world.db.begin().await.unwrap();
    testkit::eventually(PATIENCE, "only the transaction has one", async || {
        let seen: Vec<_> = pools
            .look()
            .map(|pool| (pool.name, pool.used, pool.max))
            .collect();
        seen == [("write", 1, 1), ("read", 0, 4)]
    })
    .await;
    tx.rollback().await.unwrap();
}

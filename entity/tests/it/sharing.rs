//! Runs that wait although a worker would have them: for their host, or because they may kill it.

use std::time::Duration;

use entity::claim::{Share, hand_on, push_overdue};
use entity::host::{Politeness, leave_alone};
use entity::lease::{Ask, Begin, begin};
use entity::run::{Postponed, State};
use sea_orm::{ConnectionTrait, TransactionTrait};
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::{ASK, PATIENCE, World};

on_both_databases!(
    a_host_has_no_more_fetches_at_once_than_it_may,
    a_dead_workers_share_of_a_host_comes_back_with_its_lease,
    a_free_share_goes_to_the_run_that_waited_longest,
    fetches_of_one_host_start_a_gap_apart,
    a_host_that_asked_to_be_left_alone_is_not_visited_before_that,
    a_suspect_waits_for_a_worker_that_holds_none,
);

const HOST: &str = "127.0.0.1:9";

fn at_most(concurrency: u32) -> Ask<'static> {
    Ask {
        politeness: Politeness {
            concurrency,
            gap: Duration::ZERO,
        },
        ..ASK
    }
}

async fn claim_three(world: &World) -> Vec<Uuid> {
    world.add(&["a", "b", "c"]).await;
    let runs = world.claim(10).await;
    assert_eq!(runs.len(), 3);
    runs
}

async fn postponed(world: &World, run: Uuid, ask: Ask<'_>) -> Postponed {
    match begin(&world.db, run, ask).await.unwrap() {
        Begin::Postponed(reason) => {
            let row = world.run(run).await;
            assert_eq!(
                (row.state, row.postponed_for),
                (State::Queued, Some(reason))
            );
            assert_eq!((row.worker, row.lease_until), (None, None));
            reason
        }
        begin => panic!("{begin:?}"),
    }
}

async fn begins(world: &World, run: Uuid, ask: Ask<'_>) {
    let begun = begin(&world.db, run, ask).await.unwrap();
    assert!(matches!(begun, Begin::Begun(_)), "{begun:?}");
    assert_eq!(world.run(run).await.postponed_for, None);
}

async fn a_host_has_no_more_fetches_at_once_than_it_may(world: World) {
    let runs = claim_three(&world).await;
    begins(&world, runs[0], at_most(2)).await;
    begins(&world, runs[1], at_most(2)).await;
    let before = world.now().await;
    let reason = postponed(&world, runs[2], at_most(2)).await;
    assert_eq!(reason, Postponed::HostLimit);
    assert!(world.run(runs[2]).await.next_push_at.unwrap() > before);
}

async fn a_dead_workers_share_of_a_host_comes_back_with_its_lease(world: World) {
    let runs = claim_three(&world).await;
    begins(&world, runs[0], at_most(1)).await;
    postponed(&world, runs[1], at_most(1)).await;
    world.expire(runs[0]).await;
    begins(&world, runs[1], at_most(1)).await;
}

async fn a_free_share_goes_to_the_run_that_waited_longest(world: World) {
    let runs = claim_three(&world).await;
    begins(&world, runs[0], at_most(1)).await;
    for (run, seconds) in [(runs[1], -10), (runs[2], -20)] {
        postponed(&world, run, at_most(1)).await;
        let sql = format!(
            "UPDATE run SET queued_at = {} WHERE id = $1",
            world.in_seconds(seconds)
        );
        world.execute(&sql, vec![run.into()]).await;
    }
    let other = hand_on(&world.db, Share::Of("other.example")).await;
    assert_eq!(other.unwrap(), None);
    for expected in [Some(runs[2]), Some(runs[1]), None] {
        let handed = hand_on(&world.db, Share::Of(HOST)).await.unwrap();
        assert_eq!(handed.map(|push| push.id), expected);
    }
    // It is on its way, so that no push is due yet.
    assert!(push_overdue(&world.db, 10).await.unwrap().is_empty());
}

async fn fetches_of_one_host_start_a_gap_apart(world: World) {
    let runs = claim_three(&world).await;
    let gap = Ask {
        politeness: Politeness {
            concurrency: 4,
            gap: Duration::from_secs(60),
        },
        ..ASK
    };
    begins(&world, runs[0], gap).await;
    assert_eq!(postponed(&world, runs[1], gap).await, Postponed::HostGap);
    let wait = world.run(runs[1]).await.next_push_at.unwrap() - world.now().await;
    // The gap and its slack, less what has passed.
    assert!((40..=75).contains(&wait.num_seconds()), "{wait}");
    let sql = format!("UPDATE host SET started_at = {}", world.in_seconds(-76));
    world.execute(&sql, vec![]).await;
    begins(&world, runs[1], gap).await;
    assert_eq!(postponed(&world, runs[2], gap).await, Postponed::HostGap);
}

async fn a_host_that_asked_to_be_left_alone_is_not_visited_before_that(world: World) {
    world.add(&["claimed"]).await;
    let run = world.claim(1).await[0];
    world.add(&["due"]).await;
    leave_alone(&world.db, HOST, Duration::from_secs(600))
        .await
        .unwrap();
    // A shorter wish does not shorten it.
    leave_alone(&world.db, HOST, Duration::from_secs(1))
        .await
        .unwrap();
    assert!(world.claim(10).await.is_empty());
    let due = world.provider("due").await;
    let wait = due.next_due_at - world.now().await;
    assert!((560..=600).contains(&wait.num_seconds()), "{wait}");
    assert_eq!((due.late_at - due.next_due_at).num_seconds(), 900);
    assert_eq!(postponed(&world, run, ASK).await, Postponed::RetryAfter);
    let sql = format!("UPDATE host SET not_before = {}", world.in_seconds(-1));
    world.execute(&sql, vec![]).await;
    begins(&world, run, ASK).await;
}

async fn a_suspect_waits_for_a_worker_that_holds_none(world: World) {
    world.add(&["suspect", "sound"]).await;
    let sql = "UPDATE provider SET consecutive_crashes = 1 WHERE name = 'suspect'";
    world.execute(sql, vec![]).await;
    world.claim(10).await;
    let run = async |name| world.provider(name).await.current_run.unwrap();
    let (suspect, sound) = (run("suspect").await, run("sound").await);
    let busy = Ask {
        holds_suspect: true,
        ..ASK
    };
    assert_eq!(postponed(&world, suspect, busy).await, Postponed::Suspect);
    begins(&world, sound, busy).await;
    let handed = hand_on(&world.db, Share::Suspect).await.unwrap();
    assert_eq!(handed.map(|push| push.id), Some(suspect));
    begins(&world, suspect, ASK).await;
}

/// Otherwise it would wait although a share is free, until someone pushes it for another reason.
#[tokio::test]
async fn a_share_goes_also_to_a_run_that_is_just_being_refused_one() {
    let world = World::postgres().await;
    let runs = claim_three(&world).await;
    begins(&world, runs[0], at_most(1)).await;
    // As a worker does that finds the host at its limit, before it is done.
    let refusing = world.db.write.begin().await.unwrap();
    for (sql, values) in [
        ("SELECT name FROM host FOR NO KEY UPDATE", vec![]),
        (
            "UPDATE run SET postponed_for = 'host_limit' WHERE id = $1",
            vec![runs[1].into()],
        ),
    ] {
        let statement = world.statement(sql, values);
        refusing.execute_raw(statement).await.unwrap();
    }
    let handing = {
        let db = world.db.clone();
        tokio::spawn(async move { hand_on(&db, Share::Of(HOST)).await })
    };
    testkit::eventually(PATIENCE, "the share waits for the refusal", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
        world.number(sql).await == 1
    })
    .await;
    refusing.commit().await.unwrap();
    let handed = handing.await.unwrap().unwrap();
    assert_eq!(handed.map(|push| push.id), Some(runs[1]));
}

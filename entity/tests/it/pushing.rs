//! Runs that nobody has begun are pushed again, at growing distances.

use chrono::TimeDelta;
use entity::claim::push_overdue;

use crate::on_both_databases;
use crate::world::World;

on_both_databases!(
    a_run_is_pushed_again_after_10_20_40_and_40_seconds,
    what_is_not_overdue_running_or_finished_is_not_pushed,
    the_longest_overdue_go_first_up_to_the_limit,
);

async fn make_overdue(world: &World) {
    let sql = format!("UPDATE run SET next_push_at = {}", world.in_seconds(-1));
    world.execute(&sql, vec![]).await;
}

async fn a_run_is_pushed_again_after_10_20_40_and_40_seconds(world: World) {
    world.add(&["acme"]).await;
    let run = world.claim(1).await[0];
    let first = world.run(run).await;
    let wait = first.next_push_at.unwrap() - first.queued_at;
    assert_eq!(wait.num_seconds(), 10);
    for seconds in [20, 40, 40, 40] {
        make_overdue(&world).await;
        let before = world.now().await;
        let pushes = push_overdue(&world.db, 10).await.unwrap();
        let after = world.now().await;
        assert_eq!(pushes.iter().map(|push| push.id).collect::<Vec<_>>(), [run]);
        let wait = TimeDelta::seconds(seconds);
        let next = world.run(run).await.next_push_at.unwrap();
        assert!(
            (before + wait..=after + wait).contains(&next),
            "{next} after {before}"
        );
    }
    assert_eq!(world.run(run).await.push_count, 5);
}

async fn what_is_not_overdue_running_or_finished_is_not_pushed(world: World) {
    world.add(&["a", "b", "c"]).await;
    world.claim(10).await;
    let finished = world.begun("a").await;
    world
        .commit(&finished, &entity::commit::Changes::default())
        .await;
    let running = world.begun("b").await;
    assert!(push_overdue(&world.db, 10).await.unwrap().is_empty());
    make_overdue(&world).await;
    let pushes = push_overdue(&world.db, 10).await.unwrap();
    let queued = world.provider("c").await.current_run.unwrap();
    assert_eq!(
        pushes.iter().map(|push| push.id).collect::<Vec<_>>(),
        [queued]
    );
    assert_eq!(world.run(running.held.run).await.push_count, 1);
}

async fn the_longest_overdue_go_first_up_to_the_limit(world: World) {
    world.add(&["a", "b", "c"]).await;
    let runs = world.claim(10).await;
    for (run, seconds) in runs.iter().zip([-2, -4, -3]) {
        let sql = format!(
            "UPDATE run SET next_push_at = {} WHERE id = $1",
            world.in_seconds(seconds)
        );
        world.execute(&sql, vec![(*run).into()]).await;
    }
    let mut pushed: Vec<_> = push_overdue(&world.db, 2).await.unwrap();
    pushed.sort_by_key(|push| push.id);
    let mut expected = vec![runs[1], runs[2]];
    expected.sort();
    assert_eq!(
        pushed.iter().map(|push| push.id).collect::<Vec<_>>(),
        expected
    );
}

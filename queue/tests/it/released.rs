//! Two releases on one queue: this one, and the first, of which `fixtures/0.1.0/` has the jobs, byte by
//! byte, and the scripts that it runs in Redis.
//!
//! What is in that folder never changes. A release that alters the layout, the scripts or the payload
//! gets a folder of its own, and both are held against the code that comes after them.

mod first;

use std::collections::BTreeMap;

use futures::FutureExt;
use queue::{Push, SyncJob, TraceContext};
use redis::AsyncCommands;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::world::{Worker, World, eventually, push, pushes, runs, within};
use first::{FirstRelease, Taken};

const QUEUED: &str = include_str!("fixtures/0.1.0/queued.redis");
const NEXT: &str = include_str!("fixtures/0.1.0/next.redis");
const RUN: Uuid = Uuid::from_u128(0x0192_f0c1_2d3e_7a4b_8c5d_6e7f_8091_a2b3);

/// The job of the fixtures as this release knows it.
fn known() -> Push {
    Push {
        job: SyncJob { run: RUN },
        trace: TraceContext {
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            tracestate: Some("vendor=1".to_owned()),
        },
    }
}

/// A worker of this release that tells each job it runs.
async fn worker(world: &World, slots: usize) -> (Worker, mpsc::UnboundedReceiver<Push>) {
    let (seen, receiver) = mpsc::unbounded_channel();
    let worker = Worker::start(&world.queue().await, slots, move |job, trace, _| {
        let _ = seen.send(Push { job, trace });
        async {}.boxed()
    });
    (worker, receiver)
}

/// Every key of the queue with what it holds and how long it lives, the name left out.
async fn contents(world: &World) -> BTreeMap<String, String> {
    let redis = &mut world.redis().await;
    let mut contents = BTreeMap::new();
    for key in world.keys().await {
        let kind: String = redis::cmd("TYPE")
            .arg(&key)
            .query_async(redis)
            .await
            .unwrap();
        let life: i64 = redis.ttl(&key).await.unwrap();
        let mut held: Vec<String> = match kind.as_str() {
            "hash" => {
                let fields: BTreeMap<String, String> = redis.hgetall(&key).await.unwrap();
                fields
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect()
            }
            "list" => redis.lrange(&key, 0, -1).await.unwrap(),
            "zset" => redis.zrange(&key, 0, -1).await.unwrap(),
            other => panic!("{key} is a {other}"),
        };
        // Seconds may have passed, minutes on a busy machine.
        let lives = if life < 0 {
            "for ever"
        } else if life > 604_000 {
            "a week"
        } else {
            "shorter"
        };
        held.insert(0, format!("{kind}, {lives}"));
        contents.insert(
            key.replacen(&world.namespace, "fanfare", 1),
            held.join("\n"),
        );
    }
    contents
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_the_release_before_queued_is_run() {
    let world = World::new().await;
    first::write(&world, QUEUED).await;
    let (worker, mut seen) = worker(&world, 1).await;
    assert_eq!(within("the job runs", seen.recv()).await, Some(known()));
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_with_what_a_later_release_adds_is_run() {
    let world = World::new().await;
    first::write(&world, NEXT).await;
    let (worker, mut seen) = worker(&world, 1).await;
    assert_eq!(within("the job runs", seen.recv()).await, Some(known()));
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_redis_is_the_same_for_both_releases() {
    let [written, before, now] = [World::new().await, World::new().await, World::new().await];
    first::write(&written, QUEUED).await;
    FirstRelease::on(&before).await.push(&[known()]).await;
    now.queue().await.producer().push(&[known()]).await.unwrap();
    let expected = contents(&written).await;
    assert_eq!(expected.len(), 3, "{expected:?}");
    assert_eq!(contents(&before).await, expected);
    assert_eq!(contents(&now).await, expected);

    // And while a worker holds it.
    let mut first = FirstRelease::on(&now).await;
    let taken = first.exchange(1, &[]).await;
    let (worker, mut seen) = worker(&before, 1).await;
    assert_eq!(within("the job runs", seen.recv()).await, Some(known()));
    before.nothing_is_left().await;
    worker.stop().await;
    let held = contents(&now).await;
    assert_eq!(held["{fanfare}:inflight"], format!("zset, for ever\n{RUN}"));
    let meta = &held[&format!("{{fanfare}}:meta:{RUN}")];
    assert!(
        meta.contains("status=Running") && meta.contains("locked_by=first"),
        "{meta}"
    );
    first.exchange(0, &[(&taken[0], "done")]).await;
    now.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_release_before_reads_what_is_pushed_now() {
    let world = World::new().await;
    let jobs = [known(), push()];
    world.queue().await.producer().push(&jobs).await.unwrap();
    let mut first = FirstRelease::on(&world).await;
    let taken = first.exchange(5, &[]).await;
    let read: Vec<_> = taken.iter().map(Taken::read).collect();
    assert_eq!(read, jobs);
    let done: Vec<_> = taken.iter().map(|taken| (taken, "done")).collect();
    first.exchange(0, &done).await;
    world.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_two_releases_share_a_queue_and_hand_back_to_each_other() {
    let world = World::new().await;
    let mut first = FirstRelease::on(&world).await;
    let jobs = pushes(20);
    world
        .queue()
        .await
        .producer()
        .push(&jobs[..10])
        .await
        .unwrap();
    first.push(&jobs[10..]).await;
    // The same job from both schedulers is one job.
    first.push(&jobs[..10]).await;
    let held = first.exchange(5, &[]).await;
    assert_eq!(held.len(), 5);

    let (worker, mut seen) = worker(&world, 4).await;
    let mut ran = Vec::new();
    for _ in 0..15 {
        ran.push(within("a job runs", seen.recv()).await.unwrap().job.run);
    }
    let (done, back) = held.split_at(2);
    let settled = done.iter().map(|taken| (taken, "done"));
    let settled: Vec<_> = settled
        .chain(back.iter().map(|taken| (taken, "return")))
        .collect();
    first.exchange(0, &settled).await;
    for _ in back {
        ran.push(
            within("a job that was handed back runs", seen.recv())
                .await
                .unwrap()
                .job
                .run,
        );
    }
    ran.extend(done.iter().map(|taken| taken.read().job.run));
    ran.sort();
    let mut expected = runs(&jobs);
    expected.sort();
    assert_eq!(ran, expected);
    world.nothing_is_left().await;
    worker.stop().await;
    assert!(seen.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_one_release_pushes_while_the_other_holds_it_gets_one_more_turn() {
    let world = World::new().await;
    let job = push();
    let mut first = FirstRelease::on(&world).await;
    first.push(std::slice::from_ref(&job)).await;
    let taken = first.exchange(1, &[]).await;
    let queue = world.queue().await;
    assert_eq!(
        queue
            .producer()
            .push(std::slice::from_ref(&job))
            .await
            .unwrap(),
        0
    );
    first.exchange(0, &[(&taken[0], "done")]).await;
    eventually("the job waits", || async {
        queue
            .producer()
            .depth()
            .await
            .is_ok_and(|depth| depth.waiting == 1)
    })
    .await;
    let (worker, mut seen) = worker(&world, 1).await;
    assert_eq!(within("the job runs", seen.recv()).await, Some(job));
    world.nothing_is_left().await;
    worker.stop().await;
}

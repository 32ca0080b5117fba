//! What stands in Redis, and what others find or leave there.

use std::time::{Duration, Instant};

use apalis::prelude::{Filter, ListAllTasks, Status};
use apalis_redis::{Config, RedisStorage};
use queue::{Push, SyncJob, TraceContext};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::world::{Worker, World, eventually, push, pushes, runs, within};

fn reporting(queue: &queue::Queue) -> (Worker, mpsc::UnboundedReceiver<Uuid>) {
    let (send, seen) = mpsc::unbounded_channel();
    let worker = Worker::start(queue, 4, move |job, _, _| {
        let send = send.clone();
        Box::pin(async move { send.send(job.run).unwrap() })
    });
    (worker, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_starts_within_milliseconds_on_an_idle_queue() {
    let world = World::private().await;
    let queue = world.queue().await;
    let (worker, mut seen) = reporting(&queue);
    let mut delays = Vec::new();
    for _ in 0..21 {
        eventually("the worker waits in a blocking command", || async {
            let info: String = redis::cmd("INFO")
                .arg("clients")
                .query_async(&mut world.redis().await)
                .await
                .unwrap();
            info.contains("blocked_clients:1")
        })
        .await;
        let before = Instant::now();
        queue.producer().push(&[push()]).await.unwrap();
        within("the job runs", seen.recv()).await.unwrap();
        delays.push(before.elapsed());
    }
    worker.stop().await;
    delays.sort();
    // A poll would take half its interval, and the blocking command's limit is 3 s.
    assert!(delays[10] < Duration::from_millis(50), "{delays:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_hardly_talks_to_redis() {
    let world = World::private().await;
    let queue = world.queue().await;
    let (worker, mut seen) = reporting(&queue);
    queue.producer().push(&[push()]).await.unwrap();
    within("the job runs", seen.recv()).await.unwrap();
    let mut redis = world.redis().await;
    let before = commands(&mut redis).await;
    // The measure is a rate, so time must pass: two blocking commands' worth.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let after = commands(&mut redis).await;
    worker.stop().await;
    assert!(after - before < 60, "{} commands in 6 s", after - before);
}

/// Commands that the server has run, those inside scripts included.
async fn commands(redis: &mut MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO")
        .arg("stats")
        .query_async(redis)
        .await
        .unwrap();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apalis_redis_tooling_reads_our_queue() {
    let world = World::new().await;
    let queue = world.queue().await;
    let traced = Push {
        trace: TraceContext {
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            tracestate: None,
        },
        ..push()
    };
    queue
        .producer()
        .push(std::slice::from_ref(&traced))
        .await
        .unwrap();

    let config = Config::default().queue(format!("{{{}}}", world.namespace));
    let connection = apalis_redis::connect(world.url.as_str()).await.unwrap();
    let tooling = RedisStorage::<SyncJob, _>::new(connection).with_config(config);
    let filter = Filter {
        status: Some(Status::Pending),
        page: 1,
        page_size: None,
    };
    let tasks = tooling.list_all_tasks(&filter).await.unwrap();
    assert_eq!(tasks.len(), 1);
    let run = traced.job.run.to_string();
    assert_eq!(tasks[0].task_id().unwrap().to_string(), run);
    assert_eq!(tasks[0].args, format!(r#"{{"run":"{run}"}}"#).into_bytes());
    let metadata = tasks[0].metadata().as_map();
    assert_eq!(metadata["traceparent"], traced.trace.traceparent.unwrap());
    assert_eq!(metadata.len(), 1, "{metadata:?}");

    let (worker, mut seen) = reporting(&queue);
    within("the job runs", seen.recv()).await.unwrap();
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_payload_is_dropped_and_others_flow() {
    let world = World::new().await;
    let queue = world.queue().await;
    let mut redis = world.redis().await;
    let good = push();
    for (id, payload) in [("not-json", &b"\xff\xfe"[..]), ("no-run", b"{}")] {
        let _: () = redis.hset(world.key("data"), id, payload).await.unwrap();
        let _: () = redis
            .hset(world.key(&format!("meta:{id}")), "status", "Pending")
            .await
            .unwrap();
        let _: () = redis.rpush(world.key("active"), id).await.unwrap();
    }
    let _: () = redis.rpush(world.key("active"), "no-data").await.unwrap();
    queue
        .producer()
        .push(std::slice::from_ref(&good))
        .await
        .unwrap();
    let (worker, mut seen) = reporting(&queue);
    assert_eq!(
        within("the good job runs", seen.recv()).await,
        Some(good.job.run)
    );
    world.nothing_is_left().await;
    assert!(worker.is_running());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_of_a_later_release_runs() {
    let world = World::new().await;
    let queue = world.queue().await;
    let mut redis = world.redis().await;
    let run = Uuid::new_v4();
    let payload = format!(r#"{{"run":"{run}","priority":3}}"#);
    let _: () = redis
        .hset(world.key("data"), run.to_string(), payload)
        .await
        .unwrap();
    let _: () = redis
        .rpush(world.key("active"), run.to_string())
        .await
        .unwrap();
    let (worker, mut seen) = reporting(&queue);
    assert_eq!(within("the job runs", seen.recv()).await, Some(run));
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_refuses_pushes_and_still_drains() {
    let world = World::private().await;
    let queue = world.queue().await;
    queue.producer().push(&pushes(100)).await.unwrap();
    let mut redis = world.redis().await;
    let limit = async |redis: &mut MultiplexedConnection, limit: &str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory").arg(limit);
        command.query_async::<()>(redis).await.unwrap();
    };
    limit(&mut redis, "1").await;
    assert!(queue.producer().push(&[push()]).await.is_err());
    let (worker, mut seen) = reporting(&queue);
    for _ in 0..100 {
        within("every job runs", seen.recv()).await.unwrap();
    }
    world.nothing_is_left().await;
    limit(&mut redis, "0").await;
    assert_eq!(queue.producer().push(&[push()]).await.unwrap(), 1);
    within("the job runs", seen.recv()).await.unwrap();
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_whose_list_was_evicted_are_queued_by_their_next_push() {
    let world = World::new().await;
    let queue = world.queue().await;
    let producer = queue.producer();
    let mut jobs = pushes(10);
    producer.push(&jobs).await.unwrap();
    let mut redis = world.redis().await;
    let _: () = redis.del(world.key("active")).await.unwrap();

    jobs.push(push());
    assert_eq!(producer.push(&jobs[10..]).await.unwrap(), 1);
    assert_eq!(producer.push(&jobs).await.unwrap(), 10);
    assert_eq!(producer.push(&jobs).await.unwrap(), 0);
    let (worker, mut seen) = reporting(&queue);
    let mut got = Vec::new();
    for _ in &jobs {
        got.push(within("every job runs", seen.recv()).await.unwrap());
    }
    world.nothing_is_left().await;
    worker.stop().await;
    assert!(seen.try_recv().is_err());
    let mut expected = runs(&jobs);
    expected.sort();
    got.sort();
    assert_eq!(got, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_listed_twice_runs_once() {
    let world = World::new().await;
    let queue = world.queue().await;
    let jobs = pushes(3);
    queue.producer().push(&jobs).await.unwrap();
    let twice = jobs[0].job.run.to_string();
    let mut redis = world.redis().await;
    let _: () = redis.rpush(world.key("active"), twice).await.unwrap();
    let (worker, mut seen) = reporting(&queue);
    for _ in &jobs {
        within("every job runs", seen.recv()).await.unwrap();
    }
    world.nothing_is_left().await;
    worker.stop().await;
    assert!(seen.try_recv().is_err());
}

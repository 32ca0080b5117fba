//! A clean stop strands nothing and ends the worker.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use apalis::prelude::{WorkerBuilder, WorkerBuilderExt};
use queue::{Depth, Queue, QueueConfig, SyncJob};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::world::{Worker, World, eventually, pushes, runs, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clean_stops_amid_work_strand_nothing_in_redis() {
    let world = World::new().await;
    clean_stops(&world.queue().await).await;
    world.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clean_stops_amid_work_strand_nothing_in_process() {
    clean_stops(&queue::open(QueueConfig::default()).await.unwrap()).await;
}

async fn clean_stops(queue: &Queue) {
    for round in 0..100 {
        let jobs = pushes(200);
        queue.producer().push(&jobs).await.unwrap();
        let done = Arc::new(Mutex::new(Vec::new()));
        let (send, mut begun) = mpsc::unbounded_channel();
        let start = || {
            let (done, send) = (Arc::clone(&done), send.clone());
            Worker::start(queue, 8, move |job, _, _| {
                let (done, send) = (Arc::clone(&done), send.clone());
                Box::pin(async move {
                    send.send(()).unwrap();
                    tokio::task::yield_now().await;
                    done.lock().unwrap().push(job.run);
                })
            })
        };
        let worker = start();
        for _ in 0..=round * 7 % 140 {
            within("a job begins", begun.recv()).await.unwrap();
        }
        worker.stop().await;

        let finished = done.lock().unwrap().len() as u64;
        let Depth { waiting, in_flight } = queue.producer().depth().await.unwrap();
        assert_eq!((waiting + finished, in_flight), (200, 0), "round {round}");

        let rest = start();
        eventually("the rest runs", || async {
            done.lock().unwrap().len() == 200
        })
        .await;
        rest.stop().await;
        let done: HashSet<_> = done.lock().unwrap().iter().copied().collect();
        assert_eq!(done, runs(&jobs).into_iter().collect());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_no_handler_began_return_to_the_head_while_others_still_run() {
    let world = World::new().await;
    let queue = world.queue().await;
    let gate = Arc::new(Semaphore::new(0));
    let (send, mut begun) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    // Fewer handlers at once than slots: six of the eight jobs that are taken wait in the worker.
    let worker = WorkerBuilder::new("worker-1")
        .backend(queue.consumer("worker-1", 8, shutdown.clone()))
        .concurrency(2)
        .build({
            let gate = Arc::clone(&gate);
            move |job: SyncJob| {
                let (gate, send) = (Arc::clone(&gate), send.clone());
                async move {
                    send.send(job.run).unwrap();
                    gate.acquire().await.unwrap().forget();
                }
            }
        });
    let worker = tokio::spawn(worker.run());
    let jobs = pushes(10);
    queue.producer().push(&jobs).await.unwrap();
    for run in &runs(&jobs)[..2] {
        assert_eq!(within("a job begins", begun.recv()).await, Some(*run));
    }
    let depth = |waiting, in_flight| {
        let producer = queue.producer();
        move || {
            let producer = producer.clone();
            async move { producer.depth().await.unwrap() == Depth { waiting, in_flight } }
        }
    };
    eventually("eight are taken", depth(2, 8)).await;

    shutdown.cancel();
    eventually("six are returned", depth(8, 2)).await;
    let waiting: Vec<String> = redis::cmd("LRANGE")
        .arg(world.key("active"))
        .arg(0)
        .arg(-1)
        .query_async(&mut world.redis().await)
        .await
        .unwrap();
    let expected: Vec<_> = runs(&jobs)[2..].iter().map(ToString::to_string).collect();
    // Before what was never taken; in which order among themselves depends on how many return at once.
    let returned: HashSet<_> = waiting[..6].iter().collect();
    assert_eq!(returned, expected[..6].iter().collect());
    assert_eq!(waiting[6..], expected[6..]);
    assert!(!worker.is_finished());

    gate.add_permits(2);
    within("the worker ends", worker).await.unwrap().unwrap();
    assert!(depth(8, 0)().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_ends_at_once() {
    let world = World::new().await;
    for queue in [
        world.queue().await,
        queue::open(QueueConfig::default()).await.unwrap(),
    ] {
        let worker = Worker::start(&queue, 4, |_, _, _| Box::pin(async {}));
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stopped_by_apalis_returns_its_jobs_too() {
    let world = World::new().await;
    let queue = world.queue().await;
    let (send, mut begun) = mpsc::unbounded_channel();
    let worker = WorkerBuilder::new("worker-1")
        .backend(queue.consumer("worker-1", 4, CancellationToken::new()))
        .concurrency(1)
        .build(move |_: SyncJob, worker: apalis::prelude::WorkerContext| {
            let send = send.clone();
            async move {
                worker.stop().unwrap();
                send.send(()).unwrap();
            }
        });
    queue.producer().push(&pushes(10)).await.unwrap();
    let worker = tokio::spawn(worker.run());
    within("a job begins", begun.recv()).await.unwrap();
    within("the worker ends", worker).await.unwrap().unwrap();
    let depth = queue.producer().depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight), (9, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_ends_at_the_deadline_when_redis_is_away() {
    let mut world = World::private().await;
    let config = QueueConfig {
        close_timeout: std::time::Duration::from_millis(300),
        ..world.config()
    };
    let queue = queue::open(config).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let (send, mut begun) = mpsc::unbounded_channel();
    let worker = Worker::start(&queue, 1, {
        let gate = Arc::clone(&gate);
        move |_, _, _| {
            let (gate, send) = (Arc::clone(&gate), send.clone());
            Box::pin(async move {
                send.send(()).unwrap();
                gate.acquire().await.unwrap().forget();
            })
        }
    });
    queue.producer().push(&pushes(1)).await.unwrap();
    within("the job begins", begun.recv()).await.unwrap();
    world.server().kill();
    gate.add_permits(1);
    worker.stop().await;
}

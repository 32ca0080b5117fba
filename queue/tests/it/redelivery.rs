//! What is in flight when it is pushed again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use queue::{Queue, QueueConfig};
use tokio::sync::{Semaphore, mpsc};

use crate::world::{Worker, World, eventually, push, until_ok, within};

const AGE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_counts_only_for_its_own_delivery_in_redis() {
    let world = World::new().await;
    let config = QueueConfig {
        redeliver_after: AGE,
        ..world.config()
    };
    a_receipt_counts_only_for_its_own_delivery(&queue::open(config).await.unwrap()).await;
    world.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_counts_only_for_its_own_delivery_in_process() {
    let config = QueueConfig {
        redeliver_after: AGE,
        ..QueueConfig::default()
    };
    a_receipt_counts_only_for_its_own_delivery(&queue::open(config).await.unwrap()).await;
}

async fn a_receipt_counts_only_for_its_own_delivery(queue: &Queue) {
    let (send, mut begun) = mpsc::unbounded_channel();
    let deliveries = Arc::new(AtomicUsize::new(0));
    let gates: [_; 3] = std::array::from_fn(|_| Arc::new(Semaphore::new(0)));
    let worker = Worker::start(queue, 2, {
        let gates = gates.clone();
        move |_, _, _| {
            let delivery = deliveries.fetch_add(1, Ordering::SeqCst);
            let (gate, send) = (Arc::clone(&gates[delivery]), send.clone());
            Box::pin(async move {
                send.send(delivery).unwrap();
                gate.acquire().await.unwrap().forget();
            })
        }
    });
    let depth = || async {
        let depth = queue.producer().depth().await.unwrap();
        (depth.waiting, depth.in_flight)
    };
    let job = [push()];
    let producer = queue.producer();
    assert_eq!(producer.push(&job).await.unwrap(), 1);
    assert_eq!(within("the job begins", begun.recv()).await, Some(0));
    assert_eq!(producer.push(&job).await.unwrap(), 0, "too young");

    let again = || async { producer.push(&job).await.unwrap() == 1 };
    eventually("the job is old enough", again).await;
    assert_eq!(within("the job begins again", begun.recv()).await, Some(1));

    // Both slots are busy, so the next job begins only when the first delivery is settled, and
    // that says nothing about the second.
    producer.push(&[push()]).await.unwrap();
    gates[0].add_permits(1);
    assert_eq!(within("the next begins", begun.recv()).await, Some(2));
    assert_eq!(depth().await, (0, 2));

    gates[1].add_permits(1);
    gates[2].add_permits(1);
    eventually("all is acknowledged", || async { depth().await == (0, 0) }).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_consumers_job_is_delivered_again_when_it_is_pushed_again() {
    let world = World::new().await;
    let config = QueueConfig {
        redeliver_after: AGE,
        ..world.config()
    };
    let queue = queue::open(config.clone()).await.unwrap();
    let job = [push()];
    queue.producer().push(&job).await.unwrap();
    take_and_die(config).await;
    let depth = queue.producer().depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight), (0, 1));

    let (send, mut seen) = mpsc::unbounded_channel();
    let worker = Worker::start(&queue, 4, move |job, _, _| {
        let send = send.clone();
        Box::pin(async move { send.send(job.run).unwrap() })
    });
    eventually("the job is old enough", || async {
        queue.producer().push(&job).await.unwrap() == 1
    })
    .await;
    assert_eq!(
        within("the job runs", seen.recv()).await,
        Some(job[0].job.run)
    );
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_consumer_held_is_forgotten_in_the_end() {
    let world = World::new().await;
    let config = QueueConfig {
        forget_after: AGE,
        block: Duration::from_millis(100),
        ..world.config()
    };
    let queue = queue::open(config.clone()).await.unwrap();
    queue.producer().push(&[push()]).await.unwrap();
    take_and_die(config).await;
    assert!(!world.keys().await.is_empty());
    let worker = Worker::start(&queue, 4, |_, _, _| Box::pin(async {}));
    world.nothing_is_left().await;
    worker.stop().await;
}

/// A consumer in a runtime of its own that takes a job and vanishes with its runtime.
async fn take_and_die(config: QueueConfig) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let died = std::thread::spawn(move || {
        runtime.block_on(async {
            let queue = until_ok("the queue opens", || queue::open(config.clone())).await;
            let (send, mut begun) = mpsc::unbounded_channel();
            let _worker = Worker::start(&queue, 4, move |_, _, _| {
                send.send(()).unwrap();
                Box::pin(std::future::pending())
            });
            within("the job begins", begun.recv()).await.unwrap();
        });
        drop(runtime);
    });
    tokio::task::spawn_blocking(|| died.join().unwrap())
        .await
        .unwrap();
}

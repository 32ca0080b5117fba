//! A consumer that stands still can be told from one that has nothing to do.

use std::{pin::pin, time::Duration};

use apalis::prelude::WorkerBuilder;
use queue::{QueueConfig, SyncJob};
use tokio_util::sync::CancellationToken;

use crate::world::{Worker, World, eventually, pushes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lets_its_jobs_lie_stalls_until_it_takes_them_up() {
    let world = World::new().await;
    let queue = world.queue().await;
    let shutdown = CancellationToken::new();
    let worker = WorkerBuilder::new("worker-1")
        .backend(queue.consumer("worker-1", 8, shutdown.clone()))
        .build(|_: SyncJob| async {});
    let mut running = pin!(worker.run());
    assert!(futures::poll!(&mut running).is_pending());
    queue.producer().push(&pushes(4)).await.unwrap();
    let longest = Duration::from_millis(200);
    eventually("the jobs are handed over", || async {
        queue.producer().depth().await.unwrap().in_flight == 4
    })
    .await;
    // Its dispatcher goes round all the same: only the jobs show that the worker does not.
    eventually("it is noticed", || async { queue.stalled(longest) }).await;

    let watched = async {
        world.nothing_is_left().await;
        shutdown.cancel();
    };
    let (ran, ()) = tokio::join!(running, watched);
    ran.unwrap();
    assert!(!queue.stalled(Duration::ZERO), "it has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_goes_round_while_nothing_comes_and_while_all_handlers_are_busy() {
    let queue = queue::open(QueueConfig::default()).await.unwrap();
    let worker = Worker::start(&queue, 1, |_, _, _| {
        Box::pin(async { std::future::pending().await })
    });
    let goes_round = || async {
        // Between two rounds there is nothing to do for some seconds.
        eventually("it waits", || async {
            queue.stalled(Duration::from_secs(2))
        })
        .await;
        eventually("it has gone round", || async {
            !queue.stalled(Duration::from_secs(1))
        })
        .await;
    };
    goes_round().await;
    queue.producer().push(&pushes(2)).await.unwrap();
    eventually("a handler runs", || async {
        queue.producer().depth().await.unwrap().in_flight == 1
    })
    .await;
    goes_round().await;
    drop(worker);
}

//! What both sources promise. Each scenario runs against Redis and in this process.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use apalis::prelude::{WorkerBuilder, WorkerBuilderExt};
use queue::{Delivery, Depth, Push, Queue, QueueConfig, SyncJob, TraceContext};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::world::{Worker, World, eventually, push, pushes, runs, within};

macro_rules! on_both_sources {
    ($($scenario:ident),+ $(,)?) => {
        mod on_redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    let world = super::World::new().await;
                    super::$scenario(&world.queue().await).await;
                    world.nothing_is_left().await;
                }
            )+
        }
        mod in_process {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    super::$scenario(&super::in_process_queue().await).await;
                }
            )+
        }
    };
}

on_both_sources!(
    a_worker_reads_job_and_trace_context,
    jobs_run_in_the_order_of_their_push,
    pushing_a_waiting_job_changes_nothing,
    a_finished_job_can_be_pushed_again,
    a_job_that_is_pushed_while_it_is_held_gets_one_more_turn,
    two_consumers_get_each_job_exactly_once,
    no_more_jobs_are_held_than_slots_are_free,
    ten_thousand_jobs_due_at_once_drain,
    sixty_thousand_jobs_due_at_once_drain,
    a_panic_frees_the_slot_and_acknowledges,
    a_job_that_is_handed_back_comes_again_first,
    a_dropped_worker_returns_its_jobs,
    a_worker_name_is_used_again_at_once,
);

async fn in_process_queue() -> Queue {
    queue::open(QueueConfig::default()).await.unwrap()
}

async fn drained(queue: &Queue) {
    eventually("the queue is empty", || async {
        depth(queue).await == (0, 0)
    })
    .await;
}

async fn depth(queue: &Queue) -> (u64, u64) {
    let Depth { waiting, in_flight } = queue.producer().depth().await.unwrap();
    (waiting, in_flight)
}

async fn a_worker_reads_job_and_trace_context(queue: &Queue) {
    #[derive(Clone)]
    struct Seen(mpsc::UnboundedSender<(SyncJob, TraceContext)>);

    async fn handle(job: SyncJob, trace: TraceContext, seen: apalis::prelude::Data<Seen>) {
        seen.0.0.send((job, trace)).unwrap();
    }

    let traced = Push {
        trace: TraceContext {
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            tracestate: Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7".into()),
        },
        ..push()
    };
    let (send, mut seen) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let worker = WorkerBuilder::new("worker-1")
        .backend(queue.consumer("worker-1", 4, shutdown.clone()))
        .data(Seen(send))
        .concurrency(4)
        .catch_panic()
        .build(handle);
    let worker = tokio::spawn(worker.run());

    let plain = push();
    let jobs = [traced.clone(), plain.clone()];
    assert_eq!(queue.producer().push(&jobs).await.unwrap(), 2);
    for expected in [traced, plain] {
        let job = within("the job runs", seen.recv()).await;
        assert_eq!(job, Some((expected.job, expected.trace)));
    }
    drained(queue).await;
    shutdown.cancel();
    within("the worker ends", worker).await.unwrap().unwrap();
}

/// A handler that reports each run and ends.
fn reporting() -> (
    impl Fn(SyncJob, TraceContext, Delivery) -> futures::future::BoxFuture<'static, ()>
    + Clone
    + Send
    + 'static,
    mpsc::UnboundedReceiver<uuid::Uuid>,
) {
    let (send, seen) = mpsc::unbounded_channel();
    let handler = move |job: SyncJob, _, _| -> futures::future::BoxFuture<'static, ()> {
        let send = send.clone();
        Box::pin(async move {
            let _ = send.send(job.run);
        })
    };
    (handler, seen)
}

async fn jobs_run_in_the_order_of_their_push(queue: &Queue) {
    let jobs = pushes(50);
    queue.producer().push(&jobs[..20]).await.unwrap();
    queue.producer().push(&jobs[20..]).await.unwrap();
    let (handler, mut seen) = reporting();
    let worker = Worker::start(queue, 1, handler);
    for run in runs(&jobs) {
        assert_eq!(within("the job runs", seen.recv()).await, Some(run));
    }
    worker.stop().await;
}

async fn pushing_a_waiting_job_changes_nothing(queue: &Queue) {
    let jobs = pushes(3);
    let producer = queue.producer();
    assert_eq!(producer.push(&jobs).await.unwrap(), 3);
    assert_eq!(producer.push(&jobs).await.unwrap(), 0);
    let twice = [jobs[0].clone(), push(), jobs[2].clone()];
    assert_eq!(producer.push(&twice).await.unwrap(), 1);
    assert_eq!(depth(queue).await, (4, 0));

    let (handler, mut seen) = reporting();
    let worker = Worker::start(queue, 8, handler);
    let mut counts = HashMap::new();
    for _ in 0..4 {
        let run = within("the job runs", seen.recv()).await.unwrap();
        *counts.entry(run).or_insert(0) += 1;
    }
    drained(queue).await;
    worker.stop().await;
    assert!(seen.try_recv().is_err());
    assert!(counts.len() == 4 && counts.values().all(|count| *count == 1));
}

async fn a_finished_job_can_be_pushed_again(queue: &Queue) {
    let (handler, mut seen) = reporting();
    let worker = Worker::start(queue, 2, handler);
    let job = push();
    for _ in 0..3 {
        let job = std::slice::from_ref(&job);
        assert_eq!(queue.producer().push(job).await.unwrap(), 1);
        within("the job runs", seen.recv()).await.unwrap();
        drained(queue).await;
    }
    worker.stop().await;
}

async fn a_job_that_is_pushed_while_it_is_held_gets_one_more_turn(queue: &Queue) {
    let gate = Arc::new(Semaphore::new(0));
    let (send, mut begun) = mpsc::unbounded_channel();
    let worker = Worker::start(queue, 1, {
        let gate = Arc::clone(&gate);
        move |job, _, _| {
            let (gate, send) = (Arc::clone(&gate), send.clone());
            Box::pin(async move {
                send.send(job.run).unwrap();
                gate.acquire().await.unwrap().forget();
            })
        }
    });
    let (held, next) = ([push()], [push()]);
    let producer = queue.producer();
    producer.push(&held).await.unwrap();
    let ran = within("the job begins", begun.recv()).await;
    assert_eq!(ran, Some(held[0].job.run));
    producer.push(&next).await.unwrap();
    // However often, it is one turn more, after those that wait already.
    for _ in 0..3 {
        assert_eq!(producer.push(&held).await.unwrap(), 0);
    }
    assert_eq!(depth(queue).await, (1, 1));
    gate.add_permits(3);
    for expected in [&next, &held] {
        let ran = within("the next begins", begun.recv()).await;
        assert_eq!(ran, Some(expected[0].job.run));
    }
    drained(queue).await;
    worker.stop().await;
    assert!(begun.try_recv().is_err());
}

async fn two_consumers_get_each_job_exactly_once(queue: &Queue) {
    let (handler, mut seen) = reporting();
    let first = Worker::start(queue, 8, handler.clone());
    let second = Worker::start(queue, 8, handler);
    let jobs = pushes(2_000);
    for batch in jobs.chunks(100) {
        queue.producer().push(batch).await.unwrap();
    }
    let mut got = Vec::new();
    for _ in &jobs {
        got.push(within("every job runs", seen.recv()).await.unwrap());
    }
    drained(queue).await;
    first.stop().await;
    second.stop().await;
    assert!(seen.try_recv().is_err());
    got.sort();
    let mut expected = runs(&jobs);
    expected.sort();
    assert_eq!(got, expected);
}

async fn no_more_jobs_are_held_than_slots_are_free(queue: &Queue) {
    const SLOTS: usize = 3;
    let gate = Arc::new(Semaphore::new(0));
    let started = Arc::new(AtomicUsize::new(0));
    let worker = Worker::start(queue, SLOTS, {
        let (gate, started) = (Arc::clone(&gate), Arc::clone(&started));
        move |_, _, _| {
            let (gate, started) = (Arc::clone(&gate), Arc::clone(&started));
            Box::pin(async move {
                started.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
            })
        }
    });
    queue.producer().push(&pushes(20)).await.unwrap();
    for finished in 0..=17 {
        eventually("all slots are busy", || async {
            started.load(Ordering::SeqCst) == SLOTS + finished
        })
        .await;
        eventually("what is held is what runs", || async {
            let (waiting, in_flight) = depth(queue).await;
            assert!(in_flight <= SLOTS as u64, "{in_flight} held");
            (waiting, in_flight) == (17 - finished as u64, SLOTS as u64)
        })
        .await;
        gate.add_permits(1);
    }
    gate.add_permits(20);
    drained(queue).await;
    worker.stop().await;
}

async fn ten_thousand_jobs_due_at_once_drain(queue: &Queue) {
    jobs_due_at_once_drain(queue, 10_000).await;
}

async fn sixty_thousand_jobs_due_at_once_drain(queue: &Queue) {
    jobs_due_at_once_drain(queue, 60_000).await;
}

async fn jobs_due_at_once_drain(queue: &Queue, count: usize) {
    let jobs = pushes(count);
    assert_eq!(queue.producer().push(&jobs).await.unwrap(), count);
    let done = Arc::new(AtomicUsize::new(0));
    let worker = Worker::start(queue, 64, {
        let done = Arc::clone(&done);
        move |_, _, _| {
            let done = Arc::clone(&done);
            Box::pin(async move {
                done.fetch_add(1, Ordering::SeqCst);
            })
        }
    });
    drained(queue).await;
    assert_eq!(done.load(Ordering::SeqCst), count);
    worker.stop().await;
}

async fn a_panic_frees_the_slot_and_acknowledges(queue: &Queue) {
    let (send, mut seen) = mpsc::unbounded_channel();
    let jobs = pushes(3);
    let bad = jobs[0].job.run;
    let worker = Worker::start(queue, 1, move |job, _, _| {
        let send = send.clone();
        Box::pin(async move {
            send.send(job.run).unwrap();
            assert!(job.run != bad, "this run is bad");
        })
    });
    queue.producer().push(&jobs).await.unwrap();
    for run in runs(&jobs) {
        assert_eq!(within("the job runs", seen.recv()).await, Some(run));
    }
    drained(queue).await;
    assert!(worker.is_running());
    worker.stop().await;
}

async fn a_job_that_is_handed_back_comes_again_first(queue: &Queue) {
    let (send, mut seen) = mpsc::unbounded_channel();
    let begun = Arc::new(AtomicUsize::new(0));
    let worker = Worker::start(queue, 1, move |job, _, delivery| {
        let (send, begun) = (send.clone(), Arc::clone(&begun));
        Box::pin(async move {
            send.send(job.run).unwrap();
            if begun.fetch_add(1, Ordering::SeqCst) == 0 {
                delivery.hand_back();
            }
        })
    });
    let jobs = pushes(2);
    queue.producer().push(&jobs).await.unwrap();
    for run in [jobs[0].job.run, jobs[0].job.run, jobs[1].job.run] {
        assert_eq!(within("the job runs", seen.recv()).await, Some(run));
    }
    drained(queue).await;
    worker.stop().await;
}

async fn a_dropped_worker_returns_its_jobs(queue: &Queue) {
    let (send, mut begun) = mpsc::unbounded_channel();
    let dropped = Worker::start(queue, 2, move |job, _, _| {
        send.send(job.run).unwrap();
        Box::pin(std::future::pending())
    });
    let jobs = pushes(5);
    queue.producer().push(&jobs).await.unwrap();
    for _ in 0..2 {
        within("the job begins", begun.recv()).await.unwrap();
    }
    dropped.abort();
    eventually("its jobs wait again", || async {
        depth(queue).await == (5, 0)
    })
    .await;

    let (handler, mut seen) = reporting();
    let worker = Worker::start(queue, 1, handler);
    let mut again = Vec::new();
    for _ in &jobs {
        again.push(within("the job runs", seen.recv()).await.unwrap());
    }
    // Which of the two comes first depends on which was dropped first.
    if again[0] == jobs[1].job.run {
        again.swap(0, 1);
    }
    assert_eq!(again, runs(&jobs));
    worker.stop().await;
}

async fn a_worker_name_is_used_again_at_once(queue: &Queue) {
    for _ in 0..5 {
        let (handler, mut seen) = reporting();
        let worker = Worker::start(queue, 2, handler);
        queue.producer().push(&[push()]).await.unwrap();
        within("the job runs", seen.recv()).await.unwrap();
        worker.stop().await;
    }
}

#[tokio::test]
async fn the_in_process_queue_refuses_more_than_its_limit() {
    let config = QueueConfig {
        memory_limit: 10,
        ..QueueConfig::default()
    };
    let queue = queue::open(config).await.unwrap();
    let jobs = pushes(11);
    let error = queue.producer().push(&jobs).await.unwrap_err();
    assert!(error.to_string().contains("full with 10"), "{error}");
    assert_eq!(depth(&queue).await, (10, 0));
    assert_eq!(queue.producer().push(&jobs[..10]).await.unwrap(), 0);
}

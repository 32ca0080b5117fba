//! A consumer outlives whatever happens to its Redis.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use queue::{Queue, QueueConfig};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::world::{Worker, World, eventually, push, pushes, runs, until_ok, within};

/// Short limits, so that a stall of seconds is an outage.
fn impatient(world: &World) -> QueueConfig {
    QueueConfig {
        response_timeout: Duration::from_millis(400),
        connect_timeout: Duration::from_millis(400),
        block: Duration::from_millis(200),
        redeliver_after: Duration::from_millis(500),
        ..world.config()
    }
}

fn reporting(queue: &Queue) -> (Worker, mpsc::UnboundedReceiver<Uuid>) {
    let (send, seen) = mpsc::unbounded_channel();
    let worker = Worker::start(queue, 4, move |job, _, _| {
        let send = send.clone();
        Box::pin(async move { send.send(job.run).unwrap() })
    });
    (worker, seen)
}

/// Pushes until somebody runs the job, as the database does.
async fn runs_in_the_end(queue: &Queue, seen: &mut mpsc::UnboundedReceiver<Uuid>) {
    let job = [push()];
    let producer = queue.producer();
    within("the job runs", async {
        loop {
            until_ok("the push", || producer.push(&job)).await;
            let patience = Duration::from_secs(1);
            if let Ok(run) = tokio::time::timeout(patience, seen.recv()).await {
                assert_eq!(run, Some(job[0].job.run));
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_goes_on_when_redis_restarts_empty() {
    let mut world = World::private().await;
    let queue = queue::open(impatient(&world)).await.unwrap();
    let (worker, mut seen) = reporting(&queue);
    for _ in 0..3 {
        runs_in_the_end(&queue, &mut seen).await;
        world.server().kill();
        assert!(queue.producer().ping().await.is_err());
        assert!(queue.producer().push(&[push()]).await.is_err());
        world.server().start_again().await;
    }
    runs_in_the_end(&queue, &mut seen).await;
    world.nothing_is_left().await;
    assert!(worker.is_running());
    worker.stop().await;
}

/// On one thread, which alone has the subscriber.
#[tokio::test]
async fn an_outage_is_one_warning_and_one_line_when_it_ends() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let mut world = World::private().await;
    let queue = queue::open(impatient(&world)).await.unwrap();
    let (worker, mut seen) = reporting(&queue);
    runs_in_the_end(&queue, &mut seen).await;
    for outage in 1..=2 {
        world.server().kill();
        eventually("the outage is noticed", || async {
            log.count("queue does not answer") == outage
        })
        .await;
        assert!(!queue.answers());
        // Time for several more tries, which say nothing.
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.server().start_again().await;
        runs_in_the_end(&queue, &mut seen).await;
        eventually("the recovery is noticed", || async {
            log.count("queue answers again") == outage
        })
        .await;
        assert!(queue.answers());
    }
    worker.stop().await;
    assert_eq!(log.count("WARN queue"), 2, "{}", log.text());
    assert_eq!(log.count("INFO queue"), 2, "{}", log.text());
    assert_eq!(log.count("ERROR"), 0, "{}", log.text());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn count(&self, text: &str) -> usize {
        self.text().matches(text).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_goes_on_when_redis_freezes_for_seconds() {
    let mut world = World::private().await;
    let queue = queue::open(impatient(&world)).await.unwrap();
    let (worker, mut seen) = reporting(&queue);
    runs_in_the_end(&queue, &mut seen).await;

    world.server().signal("-STOP");
    // Time is the fault here. Longer than all limits, so that every connection gives up.
    let frozen = tokio::time::sleep(Duration::from_secs(2));
    assert!(queue.producer().push(&[push()]).await.is_err());
    frozen.await;
    world.server().signal("-CONT");

    // The push that got no answer may have arrived all the same.
    let job = [push()];
    let producer = queue.producer();
    until_ok("the push", || producer.push(&job)).await;
    while within("the job runs", seen.recv()).await != Some(job[0].job.run) {}
    world.nothing_is_left().await;
    assert!(worker.is_running());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_below_the_default_limits_is_no_outage() {
    let world = World::private().await;
    let queue = world.queue().await;
    let (worker, mut seen) = reporting(&queue);
    runs_in_the_end(&queue, &mut seen).await;
    redis::cmd("CLIENT")
        .arg("PAUSE")
        .arg(2_000)
        .arg("ALL")
        .query_async::<()>(&mut world.redis().await)
        .await
        .unwrap();
    let jobs = pushes(10);
    assert_eq!(queue.producer().push(&jobs).await.unwrap(), 10);
    for run in runs(&jobs) {
        assert_eq!(within("the job runs", seen.recv()).await, Some(run));
    }
    worker.stop().await;
    world.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_amid_work_cost_no_job_that_is_pushed_again() {
    let world = World::private().await;
    work_goes_on_while(&world, "CLIENT KILL TYPE normal SKIPME yes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushall_amid_work_costs_no_job_that_is_pushed_again() {
    let world = World::private().await;
    work_goes_on_while(&world, "FLUSHALL").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicted_list_or_set_costs_no_job_that_is_pushed_again() {
    let world = World::private().await;
    for key in ["active", "inflight", "data"] {
        work_goes_on_while(&world, &format!("DEL {}", world.key(key))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_loaded_again() {
    let world = World::private().await;
    work_goes_on_while(&world, "SCRIPT FLUSH").await;
}

/// Runs a command again and again amid work, pushes what has not run, and wants all of it to run.
async fn work_goes_on_while(world: &World, fault: &str) {
    let queue = queue::open(impatient(world)).await.unwrap();
    let done = Arc::new(Mutex::new(HashSet::new()));
    let worker = Worker::start(&queue, 8, {
        let done = Arc::clone(&done);
        move |job, _, _| {
            let done = Arc::clone(&done);
            Box::pin(async move {
                tokio::task::yield_now().await;
                done.lock().unwrap().insert(job.run);
            })
        }
    });
    let producer = queue.producer();
    let jobs = pushes(2_000);
    let mut words = fault.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    let mut faults = 10;
    within("all jobs run", async {
        loop {
            let open: Vec<_> = {
                let done = done.lock().unwrap();
                let open = |push: &&queue::Push| !done.contains(&push.job.run);
                jobs.iter().filter(open).cloned().collect()
            };
            if open.is_empty() && faults == 0 {
                return;
            }
            for batch in open.chunks(200) {
                until_ok("the push", || producer.push(batch)).await;
                if faults > 0 {
                    faults -= 1;
                    let mut connection = world.redis().await;
                    command.query_async::<()>(&mut connection).await.unwrap();
                }
            }
            faults = if open.is_empty() { 0 } else { faults };
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(worker.is_running());
    eventually("nothing waits", || async {
        queue
            .producer()
            .depth()
            .await
            .is_ok_and(|depth| depth.waiting == 0)
    })
    .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_while_the_processors_are_busy() {
    let world = World::new().await;
    // Longer than the patience of the test: nothing but its own wake-up starts a job.
    let queue = queue::open(QueueConfig {
        block: Duration::from_secs(120),
        ..world.config()
    })
    .await
    .unwrap();
    let (send, mut started) = mpsc::unbounded_channel();
    let worker = Worker::start(&queue, 4, move |job, _, _| {
        let send = send.clone();
        Box::pin(async move { send.send(job.run).unwrap() })
    });
    let producer = queue.producer();
    let over = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..6)
        .map(|_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {})
        })
        .collect();
    for _ in 0..200 {
        let job = push();
        let run = job.job.run;
        producer.push(&[job]).await.unwrap();
        assert_eq!(within("the job starts", started.recv()).await, Some(run));
    }
    over.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().unwrap();
    }
    worker.stop().await;
}

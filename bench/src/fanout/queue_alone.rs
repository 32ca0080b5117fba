//! The queue without any work: how fast one process drains it, how soon a job starts on an idle one,
//! what an idle worker costs, and what stays in Redis. The limit is the same commands on a bare
//! connection, pipelined.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use apalis::prelude::{Data, WorkerBuilder};
use queue::{Push, Queue, QueueConfig, SyncJob, TraceContext};
use testkit::RedisServer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cpu;
use crate::show;

const SLOTS: usize = 64;

pub(crate) async fn run(redis: &RedisServer, jobs: usize, latencies: usize) -> anyhow::Result<()> {
    let config = QueueConfig {
        redis_url: Some(redis.url().parse()?),
        namespace: "queue-alone".to_owned(),
        ..QueueConfig::default()
    };
    let queue = queue::open(config).await?;
    // Connections and scripts, once there, stay.
    push(&queue, SLOTS).await?;
    drain(&queue, SLOTS).await?;
    let memory_before = used_memory(redis).await?;
    let pushed = push(&queue, jobs).await?;
    let drained = drain(&queue, jobs).await?;
    let memory_after = used_memory(redis).await?;
    let bare = bare_drain(redis, jobs).await?;
    let rate = |time: Duration| jobs as f64 / time.as_secs_f64();
    show::line(&format!(
        "queue: {jobs} no-op jobs with trace metadata pushed at {:.0}/s and drained at {:.0}/s by one \
         process with {SLOTS} slots; bare LPOP, HMGET and HDEL in pipelines of {SLOTS}: {:.0}/s; ratio \
         {:.2}; Redis' memory {:+} kB against the start",
        rate(pushed),
        rate(drained),
        rate(bare),
        bare.as_secs_f64() / drained.as_secs_f64(),
        (memory_after - memory_before) / 1024,
    ));
    idle(&queue, latencies).await
}

fn traced() -> Push {
    Push {
        job: SyncJob {
            run: Uuid::now_v7(),
        },
        trace: TraceContext {
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            tracestate: None,
        },
    }
}

async fn push(queue: &Queue, jobs: usize) -> anyhow::Result<Duration> {
    let pushes: Vec<Push> = (0..jobs).map(|_| traced()).collect();
    let started = Instant::now();
    queue.producer().push(&pushes).await?;
    Ok(started.elapsed())
}

#[derive(Clone)]
struct Countdown {
    left: Arc<AtomicUsize>,
    done: CancellationToken,
}

async fn count(_: SyncJob, countdown: Data<Countdown>) {
    if countdown.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        countdown.done.cancel();
    }
}

async fn drain(queue: &Queue, jobs: usize) -> anyhow::Result<Duration> {
    let countdown = Countdown {
        left: Arc::new(AtomicUsize::new(jobs)),
        done: CancellationToken::new(),
    };
    let stop = CancellationToken::new();
    let worker = WorkerBuilder::new("drain")
        .backend(queue.consumer("drain", SLOTS, stop.clone()))
        .data(countdown.clone())
        .build(count);
    let started = Instant::now();
    let running = tokio::spawn(async move { worker.run().await });
    countdown.done.cancelled().await;
    let took = started.elapsed();
    stop.cancel();
    running.await??;
    Ok(took)
}

/// The least that Redis has to do for as many jobs: take ids, read payload and metadata, delete both.
async fn bare_drain(redis: &RedisServer, jobs: usize) -> anyhow::Result<Duration> {
    let client = redis::Client::open(redis.url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let ids: Vec<String> = (0..jobs).map(|_| Uuid::now_v7().to_string()).collect();
    for ids in ids.chunks(1_000) {
        let mut pipe = redis::pipe();
        for id in ids {
            pipe.hset(
                "bare:data",
                id,
                "{\"run\":\"01a20494-1fa5-75a3-a338-bf027454cafb\"}",
            )
            .ignore();
            pipe.hset(
                format!("bare:meta:{id}"),
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .ignore();
            pipe.rpush("bare:active", id).ignore();
        }
        pipe.exec_async(&mut connection).await?;
    }
    let started = Instant::now();
    let mut left = jobs;
    while left > 0 {
        let taken: Vec<String> = redis::cmd("LPOP")
            .arg("bare:active")
            .arg(SLOTS)
            .query_async(&mut connection)
            .await?;
        let mut pipe = redis::pipe();
        pipe.hmget("bare:data", &taken);
        for id in &taken {
            pipe.hgetall(format!("bare:meta:{id}"));
        }
        pipe.query_async::<redis::Value>(&mut connection).await?;
        let mut pipe = redis::pipe();
        pipe.hdel("bare:data", &taken).ignore();
        for id in &taken {
            pipe.del(format!("bare:meta:{id}")).ignore();
        }
        pipe.exec_async(&mut connection).await?;
        left -= taken.len();
    }
    Ok(started.elapsed())
}

async fn used_memory(redis: &RedisServer) -> anyhow::Result<i64> {
    let client = redis::Client::open(redis.url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut connection)
        .await?;
    info.lines()
        .find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok())
        .context("Redis does not tell its memory")
}

async fn note(_: SyncJob, starts: Data<mpsc::UnboundedSender<Instant>>) {
    // The receiver is gone only when the benchmark is over.
    let _ = starts.send(Instant::now());
}

/// Latencies of single jobs on an idle queue, and the cost of an idle worker.
async fn idle(queue: &Queue, latencies: usize) -> anyhow::Result<()> {
    let (send, mut starts) = mpsc::unbounded_channel::<Instant>();
    let stop = CancellationToken::new();
    let worker = WorkerBuilder::new("idle")
        .backend(queue.consumer("idle", SLOTS, stop.clone()))
        .data(send)
        .build(note);
    let running = tokio::spawn(async move { worker.run().await });
    let producer = queue.producer();
    let mut waits: Vec<Duration> = Vec::with_capacity(latencies);
    for _ in 0..latencies {
        let pushed = Instant::now();
        producer.push(&[traced()]).await?;
        let started: Instant = starts.recv().await.context("the worker ended")?;
        waits.push(started.duration_since(pushed));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    const IDLE: Duration = Duration::from_secs(5);
    let before = cpu::own();
    tokio::time::sleep(IDLE).await;
    let cost = cpu::own().saturating_sub(before);
    stop.cancel();
    running.await??;
    show::line(&format!(
        "queue: from push to start on an idle queue p50 {:.2} ms (under 2), p99 {:.2} ms (under 10); an \
         idle worker takes {:.2}% of a core (under 0.50)",
        at(50),
        at(99),
        100.0 * cost.as_secs_f64() / IDLE.as_secs_f64(),
    ));
    Ok(())
}

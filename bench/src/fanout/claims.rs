//! Many providers due at once: how fast a scheduler claims, records and pushes them, beside the same
//! statements and the same pushes alone.

use std::time::{Duration, Instant};

use anyhow::Context;
use entity::{Database, claim};
use queue::{Producer, Push, QueueConfig, SyncJob, TraceContext};
use sea_orm::ConnectionTrait;
use testkit::{PostgresServer, RedisServer};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{database, memory, show};

const BATCH: u64 = 500;
/// Runs of each provider that are older than they are kept.
const OLD_RUNS: usize = 3;

pub(crate) async fn run(
    postgres: &PostgresServer,
    redis: &RedisServer,
    due: usize,
) -> anyhow::Result<()> {
    let alone = alone(postgres, redis, due).await?;
    let (quiet, memory) = scheduled(postgres, redis, "claims_scheduled", due, 0).await?;
    let (pruning, _) = scheduled(postgres, redis, "claims_pruning", due, OLD_RUNS).await?;
    let rate = |time: Duration| due as f64 / time.as_secs_f64();
    show::line(&format!(
        "claims: {due} due at once, claimed, recorded and pushed at {:.0}/s; the same statements and \
         pushes alone: {:.0}/s; ratio {:.2} (at least 0.50); memory grew by {memory} MiB",
        rate(quiet),
        rate(alone),
        alone.as_secs_f64() / quiet.as_secs_f64(),
    ));
    show::line(&format!(
        "claims: the same while {OLD_RUNS} old runs of each provider are pruned: {:.0}/s; ratio {:.2}",
        rate(pruning),
        quiet.as_secs_f64() / pruning.as_secs_f64(),
    ));
    Ok(())
}

/// The statements in a loop, then the pushes in a loop.
async fn alone(
    postgres: &PostgresServer,
    redis: &RedisServer,
    due: usize,
) -> anyhow::Result<Duration> {
    let db = with_providers(postgres, "claims_alone", due).await?;
    let producer = producer(redis, "claims-alone").await?;
    let started = Instant::now();
    let fan_out = Uuid::now_v7();
    let mut runs = Vec::with_capacity(due);
    while runs.len() < due {
        let claimed = claim::claim_due(&db, fan_out, None, BATCH).await?;
        runs.extend(claimed.context("the fan-out is sealed")?);
    }
    let pushes: Vec<Push> = runs
        .iter()
        .map(|run| Push {
            job: SyncJob { run: run.id },
            trace: TraceContext::default(),
        })
        .collect();
    for batch in pushes.chunks(usize::try_from(BATCH)?) {
        producer.push(batch).await?;
    }
    let took = started.elapsed();
    db.close().await;
    Ok(took)
}

/// A real scheduler, from its start until everything is in the queue.
async fn scheduled(
    postgres: &PostgresServer,
    redis: &RedisServer,
    name: &str,
    due: usize,
    old_runs: usize,
) -> anyhow::Result<(Duration, u64)> {
    let db = with_providers(postgres, name, due).await?;
    add_old_runs(&db, old_runs).await?;
    let producer = producer(redis, name).await?;
    let stop = CancellationToken::new();
    let config = scheduler::Config {
        batch: BATCH,
        max_outstanding: u64::MAX,
        ..scheduler::Config::default()
    };
    let memory_before = memory::resident_mib()?;
    let started = Instant::now();
    let scheduler = tokio::spawn(scheduler::run(
        config,
        db.clone(),
        producer.clone(),
        stop.clone(),
    ));
    while producer.depth().await?.waiting < due as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = started.elapsed();
    let memory = memory::resident_mib()?.saturating_sub(memory_before);
    stop.cancel();
    scheduler.await??;
    db.close().await;
    Ok((took, memory))
}

/// Gives each provider runs that a scheduler prunes while it claims.
async fn add_old_runs(db: &Database, count: usize) -> anyhow::Result<()> {
    db.write
        .execute_unprepared(&format!(
            "INSERT INTO run (id, provider_id, token, state, outcome, queued_at, finished_at) \
             SELECT gen_random_uuid(), p.id, 0, 'finished', 'stored', \
             now() - make_interval(days => 30, mins => n), now() - make_interval(days => 30, mins => n) \
             FROM provider p, generate_series(1, {count}) n"
        ))
        .await?;
    db.write.execute_unprepared("ANALYZE run").await?;
    Ok(())
}

async fn producer(redis: &RedisServer, namespace: &str) -> anyhow::Result<Producer> {
    let config = QueueConfig {
        redis_url: Some(redis.url().parse()?),
        namespace: namespace.to_owned(),
        ..QueueConfig::default()
    };
    Ok(queue::open(config).await?.producer())
}

/// A database with that many providers, all due.
async fn with_providers(
    postgres: &PostgresServer,
    name: &str,
    count: usize,
) -> anyhow::Result<Database> {
    let db = database::fresh(postgres, name, 4).await?;
    db.write
        .execute_unprepared(&format!(
            "INSERT INTO provider (name, url, host, format, interval_ms, timezone, timeout_ms, \
             created_at, next_due_at, late_at) \
             SELECT 'provider-' || n, 'http://127.0.0.1:9/' || n, 'host-' || n, 'plan-list', 900000, \
             'UTC', 30000, now(), now(), now() + interval '15 minutes' \
             FROM generate_series(1, {count}) AS n"
        ))
        .await?;
    db.write.execute_unprepared("ANALYZE provider").await?;
    Ok(db)
}

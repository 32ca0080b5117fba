//! The whole path: many small providers, from due to stored, with several worker processes, beside
//! the same work done one after another.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use entity::host::Politeness;
use entity::lease::{self, Ask, Begin};
use entity::{Database, claim, provider};
use sea_orm::ConnectionTrait;
use simulator::Simulator;
use testkit::{PostgresServer, Process, RedisServer, Signal};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fanout::role::Role;
use crate::tools::tools;
use crate::{database, show};

const EVENTS: usize = 20;
const STARTS_WITHIN: Duration = Duration::from_secs(30);
const STOPS_WITHIN: Duration = Duration::from_secs(30);
const SYNCS_WITHIN: Duration = Duration::from_secs(600);

pub(crate) async fn run(
    postgres: &PostgresServer,
    redis: &RedisServer,
    providers: usize,
    processes: &[usize],
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let config = simulator::Config {
        providers,
        events: EVENTS,
        bad_items: false,
        ..simulator::Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let simulator = simulator::start(listener, config, stop.clone());
    let one_by_one = one_by_one(postgres, &simulator, providers).await?;
    show::line(&format!(
        "whole path: {providers} providers of about {EVENTS} events, one after another: {:.0} syncs/s",
        providers as f64 / one_by_one.as_secs_f64()
    ));
    for count in processes {
        let name = format!("path_{count}");
        let servers = (postgres, redis);
        let measured = fan_out(servers, &simulator, providers, (*count, &[]), &name).await?;
        show::line(&format!(
            "whole path: {count} worker process(es): {:.0} syncs/s, {:.0} events/s, {:.1} statements a \
             sync; {:.2} times the rate of one after another",
            providers as f64 / measured.took.as_secs_f64(),
            measured.events as f64 / measured.took.as_secs_f64(),
            measured.statements as f64 / providers as f64,
            one_by_one.as_secs_f64() / measured.took.as_secs_f64(),
        ));
    }
    stop.cancel();
    simulator.stopped().await;
    Ok(())
}

pub(super) async fn with_providers(
    postgres: &PostgresServer,
    name: &str,
    simulator: &Simulator,
) -> anyhow::Result<Database> {
    let db = database::fresh(postgres, name, 4).await?;
    let specs = provider::parse(&simulator.providers_toml("15m"), &["plan-list"])?;
    provider::apply(&db, &specs, false, false).await?;
    // As in life: each provider on a host of its own.
    db.write
        .execute_unprepared("UPDATE provider SET host = name")
        .await?;
    db.write.execute_unprepared("ANALYZE").await?;
    db.write
        .execute_unprepared("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .await?;
    Ok(db)
}

async fn one_by_one(
    postgres: &PostgresServer,
    simulator: &Simulator,
    providers: usize,
) -> anyhow::Result<Duration> {
    let db = with_providers(postgres, "one_by_one", simulator).await?;
    let took = sequential(&db, providers).await?;
    db.close().await;
    Ok(took)
}

/// Claims and syncs that many due providers one after another, without a queue.
pub(super) async fn sequential(db: &Database, providers: usize) -> anyhow::Result<Duration> {
    let tools = tools(db)?;
    let ask = Ask {
        worker: "one-by-one",
        lease: Duration::from_secs(600),
        politeness: Politeness::default(),
        holds_suspect: false,
    };
    let started = Instant::now();
    let mut synced = 0;
    while synced < providers {
        let claimed = claim::claim_due(db, Uuid::now_v7(), None, 500).await?;
        for run in claimed.context("the fan-out is sealed")? {
            let Begin::Begun(begun) = lease::begin(db, run.id, ask).await? else {
                anyhow::bail!("a run is not to be begun");
            };
            worker::sync_provider(&tools, &begun).await?;
            synced += 1;
        }
    }
    Ok(started.elapsed())
}

pub(crate) struct Measured {
    pub(crate) took: Duration,
    events: i64,
    statements: i64,
}

/// Real worker processes and one of a scheduler, from the first claim to the last commit.
///
/// The workers are so many; they and the scheduler have these variables. Databases and queues are
/// called `name`.
///
/// # Errors
/// Not all is synced in ten minutes, among others.
pub(crate) async fn fan_out(
    (postgres, redis): (&PostgresServer, &RedisServer),
    simulator: &Simulator,
    providers: usize,
    (processes, variables): (usize, &[(&str, String)]),
    name: &str,
) -> anyhow::Result<Measured> {
    let db = with_providers(postgres, name, simulator).await?;
    let database = database::url(postgres, name)?;
    let redis = redis.url();
    let start = |role| {
        let addresses = ["--database", &database, "--redis", &redis, "--queue", name];
        process(role, &addresses, variables)
    };
    let mut running = Vec::new();
    for _ in 0..processes {
        running.push(start(Role::Worker)?);
    }
    ready(&running).await;
    let statements_before = statements(&db).await?;
    running.push(start(Role::Scheduler)?);
    let all = async {
        while stored(&db).await? < i64::try_from(providers)? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    let synced = tokio::time::timeout(SYNCS_WITHIN, all).await;
    synced.with_context(|| format!("{name}: not all is synced within {SYNCS_WITHIN:?}"))??;
    for process in running.iter().rev() {
        process.signal(Signal::TERM);
        process.wait(STOPS_WITHIN).await;
    }
    let took = number(&db, TOOK_US).await?;
    let statements = statements(&db).await? - statements_before;
    let events = number(&db, "SELECT count(*) FROM event").await?;
    db.close().await;
    Ok(Measured {
        took: Duration::from_micros(u64::try_from(took)?),
        events,
        statements,
    })
}

/// So that no process' start is measured.
const TOOK_US: &str = "SELECT CAST(extract(epoch FROM max(finished_at) - min(queued_at)) * 1e6 AS bigint) \
                       FROM run WHERE outcome = 'stored'";

async fn ready(processes: &[Process]) {
    for process in processes {
        process
            .wait_for_line(|line| line.contains("ready"), STARTS_WITHIN)
            .await;
    }
}

/// This program once more, as that role and nothing else.
fn process(
    role: Role,
    addresses: &[&str],
    variables: &[(&str, String)],
) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role.name()).args(addresses);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    Ok(Process::start(&command))
}

async fn stored(db: &Database) -> anyhow::Result<i64> {
    number(db, "SELECT count(*) FROM run WHERE outcome = 'stored'").await
}

/// Statements that the server has run in this database, those that begin and end transactions
/// included.
async fn statements(db: &Database) -> anyhow::Result<i64> {
    let sql = "SELECT CAST(coalesce(sum(calls), 0) AS bigint) FROM pg_stat_statements \
               WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    number(db, sql).await
}

async fn number(db: &Database, sql: &str) -> anyhow::Result<i64> {
    let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    let row = db.write.query_one_raw(statement).await?;
    Ok(row.context("no row")?.try_get_by_index(0)?)
}

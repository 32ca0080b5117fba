//! One tick: take what was asked for, reap what was lost, push what is overdue, claim what is due,
//! and close what is over.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use entity::claim::{self, Claim, ToPush};
use entity::fan_out::{self, Trigger};
use entity::{Database, DbErr};
use queue::Producer;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::Config;
use crate::metrics::Metrics;
use crate::sends::Sends;
use crate::spans::{self, Taken};

/// How long a tick's fan-out takes new members; the next tick goes on in one of its own. A scheduler
/// seals another's fan-out only well after that.
const FAN_OUT: Duration = Duration::from_secs(20);
const SEAL_ABANDONED_MS: i64 = 60_000;

/// What spans say of runs that were not claimed after all, and of those whose push was not tried
/// because an earlier one of the same tick failed.
const NOT_CLAIMED: &str = "database";
const NOT_TRIED: &str = "queue_unreachable";

pub(crate) struct Tick<'a> {
    pub(crate) metrics: &'a Metrics,
    pub(crate) config: &'a Config,
    pub(crate) db: &'a Database,
    pub(crate) producer: &'a Producer,
    pub(crate) stop: &'a CancellationToken,
    pub(crate) queue: Reach,
}

/// Whether the queue can be reached.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Not in this tick.
    gone: AtomicBool,
    /// An outage that is on has been told.
    told: AtomicBool,
}

impl Tick<'_> {
    pub(crate) async fn run(&self, reap: bool) -> Result<(), DbErr> {
        self.queue.gone.store(false, Relaxed);
        self.take_requests().await?;
        self.config.turns.beat();
        if reap {
            self.reap().await?;
        }
        self.push_overdue().await?;
        self.config.turns.beat();
        self.claim_due().await?;
        self.config.turns.beat();
        let closed = fan_out::close_finished(self.db, SEAL_ABANDONED_MS).await?;
        self.metrics.closed(&closed);
        if !closed.is_empty() {
            tracing::debug!(closed = closed.len(), "fan-outs closed");
        }
        closed.iter().for_each(spans::closed);
        Ok(())
    }

    async fn take_requests(&self) -> Result<(), DbErr> {
        while !self.stop.is_cancelled() {
            self.config.turns.beat();
            let (mut sends, mut span) = (self.sends(), Taken::begin());
            let mut trace = |claim: Claim<'_>| {
                span.note(claim);
                sends.claim(claim)
            };
            let taken = claim::take_requests_traced(self.db, self.config.batch, &mut trace).await;
            let failed = taken.is_err().then_some(NOT_CLAIMED);
            span.end(self.db.kind(), failed);
            let Some(taken) = taken.inspect_err(|_| sends.fail(NOT_CLAIMED))? else {
                break;
            };
            if !self.push(taken, sends).await? {
                break;
            }
        }
        Ok(())
    }

    async fn reap(&self) -> Result<(), DbErr> {
        let reaped = claim::reap(self.db, self.config.batch).await?;
        self.metrics.lost(reaped.lost.len());
        for lost in &reaped.lost {
            spans::lost(lost);
            tracing::warn!(
                run = %lost.id,
                provider = lost.provider,
                worker = lost.worker,
                crashes = lost.crashes,
                paused = lost.crashes >= claim::MOST_CRASHES,
                trace_id = lost.traceparent.as_deref().and_then(telemetry::trace_id_of),
                "run lost: its worker gave no sign of life for a whole lease"
            );
        }
        self.push(reaped.takeovers, self.sends()).await?;
        Ok(())
    }

    async fn push_overdue(&self) -> Result<(), DbErr> {
        while !self.stop.is_cancelled() {
            self.config.turns.beat();
            let overdue = claim::push_overdue(self.db, self.config.batch).await?;
            let all = (overdue.len() as u64) < self.config.batch;
            if !self.push(overdue, self.sends()).await? || all {
                break;
            }
        }
        Ok(())
    }

    async fn claim_due(&self) -> Result<(), DbErr> {
        if !claim::anything_due(self.db).await? {
            return Ok(());
        }
        let Some(room) = self.room().await? else {
            return Ok(());
        };
        let fan_out = Uuid::now_v7();
        let span = tracing::info_span!(
            "tick",
            otel.name = "fan-out",
            fanfare.fan_out = %fan_out,
            fanfare.trigger = Trigger::Tick.name(),
            fanfare.runs = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
            error.type = tracing::field::Empty,
        );
        let claimed = async {
            let claimed = self.claim_in(fan_out, room).await;
            // A fan-out without a run was never made.
            if !matches!(claimed, Ok(0)) {
                fan_out::seal(self.db, fan_out).await?;
            }
            claimed
        };
        let claimed = claimed.instrument(span.clone()).await;
        let claimed = claimed.inspect_err(|_| telemetry::fail(&span, NOT_CLAIMED))?;
        span.record("fanfare.runs", telemetry::number(claimed));
        if claimed > 0 {
            span.in_scope(|| tracing::info!(fan_out = %fan_out, runs = claimed, "fan-out claimed"));
        }
        Ok(())
    }

    /// As many runs as may be claimed at once; `None` while too much is outstanding.
    async fn room(&self) -> Result<Option<u64>, DbErr> {
        let outstanding = claim::outstanding(self.db).await?;
        let room = self.config.max_outstanding.saturating_sub(outstanding);
        if room == 0 {
            tracing::debug!(
                outstanding,
                "too much is outstanding, nothing more is claimed"
            );
            return Ok(None);
        }
        Ok(Some(room.min(self.config.batch)))
    }

    /// Claims batch after batch until nothing is due, too much is outstanding or time is up. There is
    /// room for a batch of `limit` at first.
    async fn claim_in(&self, fan_out: Uuid, mut limit: u64) -> Result<u64, DbErr> {
        let traceparent = telemetry::traceparent();
        let started = tokio::time::Instant::now();
        let mut claimed = 0;
        while started.elapsed() < FAN_OUT && !self.stop.is_cancelled() {
            self.config.turns.beat();
            let tick = claim::Tick {
                fan_out,
                traceparent: traceparent.as_deref(),
                claimed,
            };
            let mut sends = self.sends();
            let Some(batch) = self.claim_batch(tick, limit, &mut sends).await? else {
                break;
            };
            let count = batch.len() as u64;
            claimed += count;
            if !self.push(batch, sends).await? || count < limit {
                break;
            }
            match self.room().await? {
                Some(room) => limit = room,
                None => break,
            }
        }
        Ok(claimed)
    }

    async fn claim_batch(
        &self,
        tick: claim::Tick<'_>,
        limit: u64,
        sends: &mut Sends<'_>,
    ) -> Result<Option<Vec<ToPush>>, DbErr> {
        let span = spans::claim(self.db.kind(), tick.fan_out);
        let mut trace = |claim: Claim<'_>| sends.claim(claim);
        let claimed = claim::claim_due_traced(self.db, tick, limit, &mut trace)
            .instrument(span.clone())
            .await;
        match &claimed {
            Ok(batch) => {
                let runs = batch.as_ref().map_or(0, Vec::len);
                span.record("fanfare.runs", telemetry::number(runs as u64));
            }
            Err(_) => {
                telemetry::fail(&span, NOT_CLAIMED);
                sends.fail(NOT_CLAIMED);
            }
        }
        claimed
    }

    fn sends(&self) -> Sends<'_> {
        Sends::new(self.producer, self.config.trace_children)
    }

    /// Pushes runs that are claimed already. False: the queue can't be reached; they are pushed again
    /// in a moment, and nothing more is tried in this tick, for each attempt may take seconds.
    async fn push(&self, runs: Vec<ToPush>, mut sends: Sends<'_>) -> Result<bool, DbErr> {
        if runs.is_empty() {
            return Ok(true);
        }
        let ids: Vec<Uuid> = runs.iter().map(|run| run.id).collect();
        let reached = if self.queue.gone.load(Relaxed) {
            sends.fail(NOT_TRIED);
            false
        } else {
            self.try_push(runs, sends).await
        };
        if !reached {
            self.queue.gone.store(true, Relaxed);
            claim::push_failed(self.db, &ids).await?;
        }
        Ok(reached)
    }

    async fn try_push(&self, runs: Vec<ToPush>, sends: Sends<'_>) -> bool {
        let count = runs.len();
        match sends.push(runs).await {
            Ok(()) => {
                if self.queue.told.swap(false, Relaxed) {
                    tracing::info!("runs can be pushed again");
                }
                true
            }
            Err(error) => {
                if !self.queue.told.swap(true, Relaxed) {
                    tracing::warn!(
                        error = %telemetry::Chain(&error),
                        runs = count,
                        "runs could not be pushed, they will be pushed again within seconds"
                    );
                }
                false
            }
        }
    }
}

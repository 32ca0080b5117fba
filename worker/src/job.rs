//! The job handler: begin the run, sync its provider, and let go of it.

mod told;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use apalis::prelude::Data;
use entity::DbErr;
use entity::claim::{self, Share, ToPush};
use entity::commit::Finish;
use entity::host::{self, Politeness};
use entity::lease::{self, Ask, Begin, Begun, Held};
use entity::run::Postponed;
use futures::FutureExt;
use queue::{Delivery, Producer, Push, SyncJob, TraceContext};
use telemetry::{Joins, Sending};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::leases::Leases;
use crate::metrics::Metrics;
use crate::sync::{Synced, Tools, record_panic, sync_provider};
use crate::trace;
use told::tell;

/// What every job of a process shares.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) tools: Tools,
    pub(crate) worker: String,
    pub(crate) lease: Duration,
    pub(crate) politeness: Politeness,
    pub(crate) leases: Leases,
    pub(crate) producer: Producer,
    /// Fires when a stopping worker has waited long enough.
    pub(crate) deadline: CancellationToken,
    pub(crate) metrics: Metrics,
}

/// How a job ended for its worker.
pub(crate) enum Ended {
    /// The run has its outcome.
    Recorded(Box<Finish>),
    /// The run turned out to be another's, or nobody's any more.
    Fenced,
    /// The run goes to whoever takes it next, and no attempt is counted.
    HandBack,
    /// Another run was in the way: this one waits for its turn.
    PutOff(Postponed),
}

/// Handles one job. It never fails: the database decides what is tried again, and when.
pub(crate) async fn sync(
    job: SyncJob,
    parent: TraceContext,
    delivery: Delivery,
    context: Data<Arc<Context>>,
) {
    let span = trace::process(job, &context.producer, &context.worker);
    telemetry::set_parent(
        &span,
        parent.traceparent.as_deref(),
        parent.tracestate.as_deref(),
    );
    handle(job, &delivery, &context).instrument(span).await;
}

async fn handle(job: SyncJob, delivery: &Delivery, context: &Context) {
    let db = &context.tools.db;
    let (asked, asked_at) = (Instant::now(), SystemTime::now());
    let ask = Ask {
        worker: &context.worker,
        lease: context.lease,
        politeness: context.politeness,
        holds_suspect: context.leases.hold_suspect(),
    };
    let span = trace::begin(db.kind());
    let began = lease::begin(db, job.run, ask).instrument(span.clone());
    let begun = match began.await {
        Ok(Begin::Begun(begun)) => begun,
        Ok(Begin::Postponed(reason)) => {
            tracing::debug!(run = %job.run, ?reason, "run is postponed");
            return;
        }
        Ok(Begin::Stale) => {
            tracing::debug!(run = %job.run, "job is of no more use");
            return;
        }
        Err(error) => {
            telemetry::fail(&span, "database");
            telemetry::fail(&Span::current(), "database");
            tracing::warn!(error = %telemetry::Chain(&error), run = %job.run, "run could not be begun, it will be pushed again");
            return let_go(context, job.run).await;
        }
    };
    drop(span);
    Span::current().record("fanfare.provider", &begun.provider.name);
    let working = Instant::now();
    let ended = work(context, &begun, (asked, asked_at)).await;
    context.metrics.ended(&ended, working.elapsed());
    match ended {
        Ended::PutOff(reason) => {
            put_off(context, &begun.held, reason).await;
            return tell(&ended, context, &begun, asked);
        }
        Ended::HandBack if hand_back(context, &begun.held).await => delivery.hand_back(),
        _ => {}
    }
    tell(&ended, context, &begun, asked);
    after(context, &begun, &ended).await;
}

/// Syncs under a lease that is renewed meanwhile.
async fn work(context: &Context, begun: &Begun, (asked, asked_at): (Instant, SystemTime)) -> Ended {
    let suspect = begun.provider.consecutive_crashes > 0;
    let Some(lease) = context.leases.hold(&begun.held, suspect) else {
        return Ended::PutOff(Postponed::Suspect);
    };
    let politeness = context.politeness;
    if !politeness.gap.is_zero() && asked.elapsed() > politeness.slack() {
        return Ended::PutOff(Postponed::HostGap);
    }
    trace::waited(begun.held.run, asked_at, begun.queued_for);
    context.metrics.began(begun);
    let syncing = AssertUnwindSafe(sync_provider(&context.tools, begun)).catch_unwind();
    let synced = tokio::select! {
        biased;
        () = lease.taken.cancelled() => return Ended::Fenced,
        () = context.deadline.cancelled() => return Ended::HandBack,
        synced = syncing => synced,
    };
    let synced = match synced {
        Ok(synced) => synced,
        Err(panic) => {
            telemetry::fail(&Span::current(), "panic");
            let message = crate::panic_message(&*panic);
            record_panic(&context.tools, begun, &message).await
        }
    };
    match synced {
        Ok(Synced::Recorded(finish)) => Ended::Recorded(finish),
        Ok(Synced::Fenced) => Ended::Fenced,
        Err(error) => interrupted(&error, begun),
    }
}

fn interrupted(error: &DbErr, begun: &Begun) -> Ended {
    telemetry::fail(&Span::current(), "database");
    tracing::warn!(
        error = %telemetry::Chain(error),
        provider = begun.provider.name,
        run = %begun.held.run,
        "the database failed amid a sync, the run is handed back"
    );
    Ended::HandBack
}

/// What a run that has ended leaves to others: its host's wish to be left alone, and its shares.
async fn after(context: &Context, begun: &Begun, ended: &Ended) {
    let db = &context.tools.db;
    if let Ended::Recorded(finish) = ended
        && let Some(wait) = finish.left_alone
        && let Err(error) = host::leave_alone(db, &begun.provider.host, wait).await
    {
        tracing::warn!(error = %telemetry::Chain(&error), host = begun.provider.host, "the host's wish to be left alone is not recorded");
    }
    let shares = [
        (begun.shares_host, Share::Of(&begun.provider.host)),
        (begun.provider.consecutive_crashes > 0, Share::Suspect),
    ];
    for share in shares
        .into_iter()
        .filter_map(|(free, share)| free.then_some(share))
    {
        match claim::hand_on(db, share).await {
            Ok(Some(run)) => push(&context.producer, run).await,
            Ok(None) => {}
            // Whoever waits is pushed again by itself.
            Err(error) => {
                tracing::debug!(error = %telemetry::Chain(&error), "a share could not be handed on")
            }
        }
    }
}

/// Pushes a run that waited for its turn; it goes on in its trace.
async fn push(producer: &Producer, run: ToPush) {
    let joins = Joins::Parent(run.traceparent.as_deref());
    let mut sending = Sending::begin(joins, producer.system(), producer.namespace(), &run.id);
    let traceparent = sending.traceparent().or(run.traceparent);
    if let Err(error) = producer.push(&[Push::of_run(run.id, traceparent)]).await {
        sending.fail(error.kind());
        tracing::debug!(error = %telemetry::Chain(&error), run = %run.id, "run could not be pushed, it will be pushed again");
    }
}

/// Hands a run back. False: it was no longer this worker's, or the worker stops and the reaper will
/// see to it.
async fn hand_back(context: &Context, held: &Held) -> bool {
    let db = &context.tools.db;
    let handed_back = in_the_end(context, || lease::hand_back(db, held));
    handed_back.await.unwrap_or(false)
}

/// Hands a run back that may have begun although the answer was lost: nobody would work on it.
async fn let_go(context: &Context, run: uuid::Uuid) {
    let db = &context.tools.db;
    let held = in_the_end(context, || lease::of(db, run, &context.worker));
    if let Some(Some(held)) = held.await {
        hand_back(context, &held).await;
    }
}

/// Asks the database until it answers: a run that is not handed back after an outage would look as
/// if it had killed its worker. `None`: it has not answered, and the worker is to end.
async fn in_the_end<T, F: Future<Output = Result<T, DbErr>>>(
    context: &Context,
    ask: impl Fn() -> F,
) -> Option<T> {
    const PAUSE: Duration = Duration::from_millis(500);
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => {
                    tracing::debug!(error = %telemetry::Chain(&error), "run could not be handed back yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    let given_up = async {
        context.deadline.cancelled().await;
        tokio::time::sleep(context.lease).await;
    };
    tokio::select! {
        answer = asking => Some(answer),
        () = given_up => None,
    }
}

/// Puts a run off; where that fails it is handed back, as after any other failure of the database.
async fn put_off(context: &Context, held: &Held, reason: Postponed) {
    let db = &context.tools.db;
    if let Err(error) = lease::put_off(db, held, reason).await {
        tracing::debug!(error = %telemetry::Chain(&error), run = %held.run, "run could not be put off, it is handed back");
        hand_back(context, held).await;
    }
}

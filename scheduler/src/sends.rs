//! The producer's spans of runs that are claimed and pushed.

use std::collections::HashMap;

use entity::claim::{Claim, ToPush};
use queue::{Producer, Push, PushError};
use telemetry::{Joins, Sending};
use uuid::Uuid;

/// The spans of a batch of runs, each open from the run's claim until it is in the queue. Holds no
/// more than a batch.
pub(crate) struct Sends<'a> {
    producer: &'a Producer,
    /// Runs of one fan-out that share its trace.
    children: u64,
    open: HashMap<Uuid, Sending>,
}

impl<'a> Sends<'a> {
    pub(crate) fn new(producer: &'a Producer, children: u64) -> Self {
        Self {
            producer,
            children,
            open: HashMap::new(),
        }
    }

    /// Begins the span of a run that is being claimed, and gives the trace context to be kept with
    /// it. Past so many runs of a fan-out each begins a trace of its own.
    pub(crate) fn claim(&mut self, claim: Claim<'_>) -> Option<String> {
        let joins = if claim.before < self.children {
            Joins::Parent(claim.traceparent)
        } else {
            Joins::Linked(claim.traceparent)
        };
        let sending = self.begin(claim.run, joins);
        let traceparent = sending.traceparent();
        self.open.insert(claim.run, sending);
        traceparent.or_else(|| claim.traceparent.map(str::to_owned))
    }

    /// Nothing was claimed after all.
    pub(crate) fn fail(&mut self, error_type: &'static str) {
        for sending in self.open.values_mut() {
            sending.fail(error_type);
        }
    }

    /// Pushes runs. One that was claimed before continues its trace by a span of its own.
    pub(crate) async fn push(mut self, runs: Vec<ToPush>) -> Result<(), PushError> {
        let (mut sendings, pushes): (Vec<Sending>, Vec<Push>) = runs
            .into_iter()
            .map(|run| {
                let sending = self.open.remove(&run.id).unwrap_or_else(|| {
                    self.begin(run.id, Joins::Parent(run.traceparent.as_deref()))
                });
                let traceparent = sending.traceparent().or(run.traceparent);
                (sending, Push::of_run(run.id, traceparent))
            })
            .unzip();
        let pushed = self.producer.push(&pushes).await;
        if let Err(error) = &pushed {
            for sending in &mut sendings {
                sending.fail(error.kind());
            }
        }
        pushed.map(drop)
    }

    fn begin(&self, run: Uuid, joins: Joins<'_>) -> Sending {
        let (system, queue) = (self.producer.system(), self.producer.namespace());
        Sending::begin(joins, system, queue, &run)
    }
}

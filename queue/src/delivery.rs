//! One job in the hands of one consumer, until it is settled.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use apalis_core::task::{Task, from_request::FromRequest};
use tokio::sync::mpsc::UnboundedSender;

/// Proof that a consumer took a job. A job that is taken again gets a new receipt, so that what
/// an earlier holder says about it no longer counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The job's id as the source stores it; foreign ids need not be UUIDs.
    pub(crate) id: Vec<u8>,
    pub(crate) stamp: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Forget the job.
    Done,
    /// Put it back at the head of the queue.
    Return,
}

#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) receipt: Receipt,
    pub(crate) fate: Fate,
}

/// A job as its handler holds it; a handler asks for it as an argument after the job.
///
/// The job is acknowledged when its handler ends, whether well, with an error or in a panic. It
/// returns to the head of the queue when its handler is dropped before that, or never began.
#[derive(Debug, Clone)]
pub struct Delivery(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    receipt: Receipt,
    settled: AtomicBool,
    handed_back: AtomicBool,
    to: UnboundedSender<Settled>,
}

impl Delivery {
    pub(crate) fn new(receipt: Receipt, to: UnboundedSender<Settled>) -> Self {
        Self(Arc::new(Inner {
            receipt,
            settled: AtomicBool::new(false),
            handed_back: AtomicBool::new(false),
            to,
        }))
    }

    /// Asks that the job return to the head of the queue when its handler ends.
    ///
    /// For a worker that stops and cannot finish: another one takes the job at once, where a push
    /// would change nothing so soon after the job was taken.
    pub fn hand_back(&self) {
        self.0.handed_back.store(true, Ordering::Release);
    }

    /// Tells the source, once, that the handler has ended.
    pub(crate) fn finish(&self) {
        self.0
            .settle(if self.0.handed_back.load(Ordering::Acquire) {
                Fate::Return
            } else {
                Fate::Done
            });
    }

    /// Tells the source, unless it knows better, that no handler works on the job any more.
    pub(crate) fn abandon(&self) {
        self.0.settle(Fate::Return);
    }
}

impl Inner {
    fn settle(&self, fate: Fate) {
        if !self.settled.swap(true, Ordering::AcqRel) {
            // Nobody listens once the consumer has closed; the job is pushed again then.
            let _ = self.to.send(Settled {
                receipt: self.receipt.clone(),
                fate,
            });
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.settle(Fate::Return);
    }
}

/// The task did not come from a [`Consumer`](crate::Consumer).
#[derive(Debug, thiserror::Error)]
#[error("no delivery in the task: it was not taken from the queue")]
pub struct MissingDelivery;

impl<Args: Sync> FromRequest<Task<Args>> for Delivery {
    type Error = MissingDelivery;

    async fn from_request(task: &Task<Args>) -> Result<Self, MissingDelivery> {
        task.data().get().cloned().ok_or(MissingDelivery)
    }
}

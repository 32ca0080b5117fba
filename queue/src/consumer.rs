//! The worker's end of the queue: an apalis backend, the same for both sources.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::Task,
    worker::context::WorkerContext,
};
use futures::FutureExt;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    QueueConfig, SettleLayer, SyncJob,
    dispatch::{self, Dispatcher},
    outage::Silent,
    producer,
    redis::RedisSource,
    turns::{Turning, Turns},
};

/// The consumer absorbs what goes wrong between it and the queue.
pub type ConsumerError = Infallible;

/// An apalis backend that hands out jobs and ends its worker when told to stop.
///
/// It takes a job only when a slot is free, so nothing waits in a process while another is idle.
/// When the shutdown token fires it takes no more, returns to the head of the queue what no handler
/// has begun, lets running handlers finish, brings their acknowledgements home and ends the worker.
#[must_use = "a consumer does nothing until a worker runs it"]
pub struct Consumer {
    source: producer::Source,
    config: Arc<QueueConfig>,
    silent: Silent,
    turns: Turns,
    worker_name: String,
    slots: usize,
    /// A child of the caller's token, so that a stopped worker stops nobody else.
    stop: CancellationToken,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    close: CancellationToken,
    /// There from the worker's first poll.
    running: Option<Running>,
}

struct Running {
    jobs: UnboundedReceiver<Task<SyncJob>>,
    turning: Arc<Turning>,
    dispatcher: JoinHandle<()>,
}

impl Consumer {
    pub(crate) fn new(
        source: producer::Source,
        config: Arc<QueueConfig>,
        silent: Silent,
        turns: Turns,
        worker_name: &str,
        slots: usize,
        shutdown: &CancellationToken,
    ) -> Self {
        let stop = shutdown.child_token();
        Self {
            source,
            config,
            silent,
            turns,
            worker_name: worker_name.to_owned(),
            slots: slots.max(1),
            stopped: Box::pin(stop.clone().cancelled_owned()),
            stop,
            close: CancellationToken::new(),
            running: None,
        }
    }

    fn start(&self, worker: &WorkerContext) -> Running {
        match &self.source {
            producer::Source::Redis(redis) => self.dispatch(
                RedisSource::new(Arc::clone(redis), &self.worker_name),
                worker,
            ),
            producer::Source::Memory(memory) => self.dispatch(memory.clone(), worker),
        }
    }

    fn dispatch(&self, source: impl dispatch::Source, worker: &WorkerContext) -> Running {
        // Neither channel holds more than there are slots.
        let (send_job, jobs) = unbounded_channel();
        let (settle, settled) = unbounded_channel();
        let turning = Arc::new(self.turns.register());
        let dispatcher = Dispatcher {
            source,
            worker: worker.clone(),
            worker_name: self.worker_name.clone(),
            slots: self.slots,
            stop: self.stop.clone(),
            close: self.close.clone(),
            close_timeout: self.config.close_timeout,
            silent: self.silent.clone(),
            turning: Arc::clone(&turning),
            jobs: Some(send_job),
            settle,
            settled,
        };
        Running {
            jobs,
            turning,
            dispatcher: tokio::spawn(dispatcher.run()),
        }
    }

    /// Takes no more jobs, and returns those that no handler has begun by dropping their tasks.
    fn stop(&mut self) {
        self.stop.cancel();
        if let Some(running) = &mut self.running {
            running.jobs.close();
            while running.jobs.try_recv().is_ok() {}
        }
    }
}

impl Backend for Consumer {
    type Task = Task<SyncJob>;
    type Error = ConsumerError;

    fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Result<(), ConsumerError>> {
        if self.running.is_none() {
            self.running = Some(self.start(worker));
        }
        // Here rather than in `poll_next`, which is not polled while all handlers are busy.
        if self.stopped.poll_unpin(cx).is_ready() {
            self.stop();
            end(worker);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, ConsumerError>>> {
        let task = match &mut self.running {
            Some(running) if !self.stop.is_cancelled() => {
                let task = ready!(running.jobs.poll_recv(cx));
                running.turning.take();
                task
            }
            _ => None,
        };
        if task.is_none() {
            if !self.stop.is_cancelled() && !worker.is_shutting_down() {
                tracing::error!(
                    worker = self.worker_name,
                    "queue consumer ended unasked, and its worker with it"
                );
            }
            self.stop();
            end(worker);
        }
        Poll::Ready(task.map(Ok))
    }

    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), ConsumerError>> {
        self.stop();
        self.close.cancel();
        if let Some(running) = &mut self.running {
            // Those that were being sent when it was closed: their jobs are returned as well.
            while ready!(running.jobs.poll_recv(cx)).is_some() {}
            // An error is a panic, which the panic hook has reported.
            let _ = ready!(running.dispatcher.poll_unpin(cx));
            self.running = None;
        }
        Poll::Ready(Ok(()))
    }
}

/// An apalis worker whose backend runs dry waits for ever unless it is stopped as well.
fn end(worker: &WorkerContext) {
    if !worker.is_shutting_down() {
        // It fails only before the worker has started.
        let _ = worker.stop();
    }
}

impl BackendConfig for Consumer {
    type Args = SyncJob;
    type Id = String;
    type Kind = Ephemeral;
    type Config = QueueConfig;
    type Layer = SettleLayer;

    fn config(&self) -> &QueueConfig {
        &self.config
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> SettleLayer {
        SettleLayer::new()
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("worker_name", &self.worker_name)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl Drop for Consumer {
    /// A worker that is dropped while it runs leaves its dispatcher to return the jobs.
    fn drop(&mut self) {
        self.stop();
        self.close.cancel();
    }
}

//! The layer that settles each job when its handler ends.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};

use apalis_core::{error::BoxDynError, task::Task};
use futures::{FutureExt, future::BoxFuture};
use tower::{Layer, Service};

use crate::delivery::Delivery;

/// Acknowledges jobs and frees their slots. [`Consumer`](crate::Consumer) puts it around every
/// other layer.
#[derive(Debug, Clone)]
pub struct SettleLayer(());

impl SettleLayer {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for SettleLayer {
    type Service = Settle<S>;

    fn layer(&self, inner: S) -> Settle<S> {
        Settle { inner }
    }
}

/// See [`SettleLayer`].
#[derive(Debug, Clone)]
pub struct Settle<S> {
    inner: S,
}

/// A handler panicked. The job is acknowledged all the same, so that a job which crashes its
/// handler does not come round for ever, and the worker goes on.
#[derive(Debug, thiserror::Error)]
#[error("handler panicked: {0}")]
pub struct HandlerPanic(String);

impl<S, Args> Service<Task<Args>> for Settle<S>
where
    S: Service<Task<Args>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxDynError>,
{
    type Response = S::Response;
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<S::Response, BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Args>) -> Self::Future {
        let running = Running(task.data().get::<Delivery>().cloned());
        let handler = catch_unwind(AssertUnwindSafe(|| self.inner.call(task)));
        Box::pin(async move {
            let ended = match handler {
                Ok(future) => AssertUnwindSafe(future).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            running.finish();
            match ended {
                Ok(result) => result.map_err(Into::into),
                Err(panic) => {
                    let panic = HandlerPanic(message(&*panic));
                    tracing::error!(%panic, "job acknowledged although its handler panicked");
                    Err(panic.into())
                }
            }
        })
    }
}

/// Settles the job when the handler's future goes, whatever clones of the delivery are about.
struct Running(Option<Delivery>);

impl Running {
    fn finish(&self) {
        if let Some(delivery) = &self.0 {
            delivery.finish();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(delivery) = &self.0 {
            delivery.abandon();
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

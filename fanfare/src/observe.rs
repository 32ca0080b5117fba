//! A process' own small HTTP server, for probes and for whoever collects its metrics.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use queue::Queue;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::listen::listen;
use crate::options::ObserveOptions;

/// What has to be so for a process to be ready: nothing, or why it is not.
pub(crate) type Check = Box<dyn Fn() -> Result<(), &'static str> + Send + Sync>;

/// A scheduler works if a tick has gone well lately. One that has much to claim may take 20 s.
pub(crate) fn scheduler_works(config: &scheduler::Config) -> Check {
    const LONGEST_TICK: Duration = Duration::from_secs(30);
    let (pulse, longest) = (config.pulse.clone(), config.tick + LONGEST_TICK);
    Box::new(move || match pulse.within(longest) {
        true => Ok(()),
        false => Err("no tick of the scheduler has gone well lately"),
    })
}

/// A worker works if the database has taken a sign of life within a lease, and the queue answers.
pub(crate) fn worker_works(config: &worker::Config, queue: &Queue) -> Check {
    let (pulse, lease, queue) = (config.pulse.clone(), config.lease, queue.clone());
    Box::new(move || match (pulse.within(lease), queue.answers()) {
        (true, true) => Ok(()),
        (false, _) => Err("the database has taken no sign of life of the worker for a lease"),
        (true, false) => Err("the queue does not answer the worker"),
    })
}

/// Serves as long as it is kept: also while the process drains.
#[must_use = "it ends when this is dropped"]
#[derive(Debug)]
pub(crate) struct Observing(
    #[expect(dead_code, reason = "dropping it is its use")] Option<DropGuard>,
);

/// Serves `/healthz`, `/readyz` and `/metrics`, if an address is set. The process is ready while all
/// `checks` hold and until `shutdown` fires.
pub(crate) async fn start(
    options: &ObserveOptions,
    checks: Vec<Check>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Observing> {
    let Some(address) = options.observe_listen else {
        return Ok(Observing(None));
    };
    let listener = listen(address, "--observe-listen").await?;
    let address = listener.local_addr().context("a socket has an address")?;
    tracing::info!(%address, "probes are answered");
    let readiness = Arc::new(Readiness {
        checks,
        shutdown: shutdown.clone(),
    });
    let end = CancellationToken::new();
    tokio::spawn(serve(listener, readiness, end.clone()));
    Ok(Observing(Some(end.drop_guard())))
}

struct Readiness {
    checks: Vec<Check>,
    shutdown: CancellationToken,
}

impl Readiness {
    fn look(&self) -> Result<(), &'static str> {
        if self.shutdown.is_cancelled() {
            return Err("the process is stopping");
        }
        self.checks.iter().try_for_each(|check| check())
    }
}

async fn serve(listener: TcpListener, readiness: Arc<Readiness>, end: CancellationToken) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(readiness);
    let served = axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned());
    if let Err(error) = served.await {
        tracing::warn!(%error, "probes are no longer answered");
    }
}

async fn readyz(State(readiness): State<Arc<Readiness>>) -> Response {
    match readiness.look() {
        Ok(()) => "ok\n".into_response(),
        Err(why) => unavailable(why),
    }
}

async fn metrics() -> Response {
    match telemetry::scrape().await {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, telemetry::EXPOSITION),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, text).into_response()
        }
        Err(error) => unavailable(&error.to_string()),
    }
}

fn unavailable(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_while_its_roles_work_and_until_it_stops() {
        let scheduler = scheduler::Config::default();
        let readiness = Readiness {
            checks: vec![scheduler_works(&scheduler)],
            shutdown: CancellationToken::new(),
        };
        let said = readiness.look().unwrap_err();
        assert!(said.contains("no tick"), "{said}");
        scheduler.pulse.beat();
        assert_eq!(readiness.look(), Ok(()));
        readiness.shutdown.cancel();
        assert!(readiness.look().unwrap_err().contains("stopping"));
    }

    #[tokio::test]
    async fn a_worker_is_ready_when_the_database_has_taken_a_sign_of_life() {
        let queue = queue::open(queue::QueueConfig::default()).await.unwrap();
        let mut config = worker::Config::new("worker-1".to_owned());
        let check = worker_works(&config, &queue);
        assert!(check().unwrap_err().contains("no sign of life"));
        config.pulse.beat();
        assert_eq!(check(), Ok(()));
        config.lease = Duration::ZERO;
        assert!(worker_works(&config, &queue)().is_err());
    }
}

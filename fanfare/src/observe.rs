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

/// What is asked of a role: nothing, or why it is not so.
type Check = Box<dyn Fn() -> Result<(), &'static str> + Send + Sync>;

/// How a role is judged.
pub(crate) struct Role {
    /// Whether it goes round. If not, the process is to be started anew.
    lives: Check,
    /// Whether it does what it is there for. An outage of others keeps it from that, and no new start
    /// would help.
    works: Check,
}

/// A worker that has not looked for jobs for so long will not do so any more: it waits for the queue for
/// seconds.
const STALLED: Duration = Duration::from_secs(60);

/// The same for rounds that wait for the database: none takes that long. A statement may take most of a
/// lease, and the one connection of an embedded database is waited for a minute.
pub(crate) fn stalled(lease: Duration) -> Duration {
    (scheduler_patience(lease) + STALLED).max(3 * STALLED)
}

/// How long a scheduler waits for one step of a tick, which is a few statements.
pub(crate) fn scheduler_patience(lease: Duration) -> Duration {
    (4 * lease).max(2 * STALLED)
}

/// A scheduler works if a tick has gone well lately. One that has much to claim may take 20 s. It lives
/// while it tries.
pub(crate) fn scheduler(config: &scheduler::Config) -> Role {
    const LONGEST_TICK: Duration = Duration::from_secs(30);
    let (pulse, longest) = (config.pulse.clone(), config.tick + LONGEST_TICK);
    let (turns, stalled) = (config.turns.clone(), config.tick + stalled(config.lease));
    Role {
        works: Box::new(move || match pulse.within(longest) {
            true => Ok(()),
            false => Err("no tick of the scheduler has gone well lately"),
        }),
        lives: Box::new(move || match turns.stopped(stalled) {
            false => Ok(()),
            true => Err("the scheduler stands still"),
        }),
    }
}

/// A worker works if the database has taken a sign of life within a lease, and the queue answers. It
/// lives while it looks for jobs, takes up those that it gets, and looks at the leases of its runs.
pub(crate) fn worker(config: &worker::Config, queue: &Queue) -> Role {
    let (pulse, lease, asked) = (config.pulse.clone(), config.lease, queue.clone());
    let (turns, queue) = (config.turns.clone(), queue.clone());
    let stalled = stalled(lease);
    Role {
        works: Box::new(move || match (pulse.within(lease), asked.answers()) {
            (true, true) => Ok(()),
            (false, _) => Err("the database has taken no sign of life of the worker for a lease"),
            (true, false) => Err("the queue does not answer the worker"),
        }),
        lives: Box::new(
            move || match (turns.stopped(stalled), queue.stalled(STALLED)) {
                (false, false) => Ok(()),
                (true, _) => Err("the worker no longer looks at its leases"),
                (false, true) => Err("the worker no longer takes jobs"),
            },
        ),
    }
}

/// Serves as long as it is kept: also while the process drains.
#[must_use = "it ends when this is dropped"]
#[derive(Debug)]
pub(crate) struct Observing(
    #[expect(dead_code, reason = "dropping it is its use")] Option<DropGuard>,
);

/// Serves `/healthz`, `/readyz` and `/metrics`, if an address is set. The process is ready while all
/// `roles` work and until `shutdown` fires; after that it lives until it ends.
pub(crate) async fn start(
    options: &ObserveOptions,
    roles: Vec<Role>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Observing> {
    let Some(address) = options.observe_listen else {
        return Ok(Observing(None));
    };
    let listener = listen(address, "--observe-listen").await?;
    let address = listener.local_addr().context("a socket has an address")?;
    tracing::info!(%address, "probes are answered");
    let health = Arc::new(Health {
        roles,
        shutdown: shutdown.clone(),
    });
    let end = CancellationToken::new();
    tokio::spawn(serve(listener, health, end.clone()));
    Ok(Observing(Some(end.drop_guard())))
}

struct Health {
    roles: Vec<Role>,
    shutdown: CancellationToken,
}

impl Health {
    fn lives(&self) -> Result<(), &'static str> {
        if self.shutdown.is_cancelled() {
            return Ok(());
        }
        self.roles.iter().try_for_each(|role| (role.lives)())
    }

    fn ready(&self) -> Result<(), &'static str> {
        if self.shutdown.is_cancelled() {
            return Err("the process is stopping");
        }
        self.roles.iter().try_for_each(|role| (role.works)())
    }
}

async fn serve(listener: TcpListener, health: Arc<Health>, end: CancellationToken) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    let served = axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned());
    if let Err(error) = served.await {
        tracing::warn!(%error, "probes are no longer answered");
    }
}

async fn healthz(State(health): State<Arc<Health>>) -> Response {
    answer(health.lives())
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    answer(health.ready())
}

fn answer(looked: Result<(), &'static str>) -> Response {
    match looked {
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
    use std::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_process_is_ready_while_its_roles_work_and_until_it_stops() {
        let config = scheduler::Config::default();
        let health = Health {
            roles: vec![scheduler(&config)],
            shutdown: CancellationToken::new(),
        };
        let said = health.ready().unwrap_err();
        assert!(said.contains("no tick"), "{said}");
        config.pulse.beat();
        assert_eq!(health.ready(), Ok(()));
        health.shutdown.cancel();
        assert!(health.ready().unwrap_err().contains("stopping"));
    }

    #[tokio::test]
    async fn a_worker_is_ready_when_the_database_has_taken_a_sign_of_life() {
        let queue = queue::open(queue::QueueConfig::default()).await.unwrap();
        let mut config = worker::Config::new("worker-1".to_owned());
        let role = worker(&config, &queue);
        assert!((role.works)().unwrap_err().contains("no sign of life"));
        config.pulse.beat();
        assert_eq!((role.works)(), Ok(()));
        config.lease = Duration::ZERO;
        assert!((worker(&config, &queue).works)().is_err());
    }

    #[tokio::test]
    async fn a_process_lives_until_a_role_that_has_begun_stands_still() {
        let queue = queue::open(queue::QueueConfig::default()).await.unwrap();
        let (schedules, works) = (
            scheduler::Config::default(),
            worker::Config::new("worker-1".to_owned()),
        );
        let health = Health {
            roles: vec![scheduler(&schedules), worker(&works, &queue)],
            shutdown: CancellationToken::new(),
        };
        assert_eq!(health.lives(), Ok(()), "none has begun");
        for (turns, said) in [(&schedules.turns, "scheduler"), (&works.turns, "leases")] {
            turns.beat_at(Instant::now() - 3 * STALLED + 2 * SECOND);
            assert_eq!(health.lives(), Ok(()), "it may wait so long");
            turns.beat_at(Instant::now() - 3 * STALLED - 2 * SECOND);
            assert!(health.lives().unwrap_err().contains(said));
            turns.beat();
            assert_eq!(health.lives(), Ok(()));
        }
        let patient = worker::Config {
            lease: 600 * SECOND,
            ..works.clone()
        };
        works.turns.beat_at(Instant::now() - 4 * STALLED);
        assert_eq!((worker(&patient, &queue).lives)(), Ok(()), "with its lease");
        health.shutdown.cancel();
        assert_eq!(health.lives(), Ok(()), "it may take its time to stop");
    }
}

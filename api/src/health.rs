//! Whether the process lives, is ready, and what it sees.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use entity::dataset::Version;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{ErrorEnvelope, Failures};
use crate::render::{DATASET_VERSION, Envelope, dataset_version};
use crate::{Context, Error};

/// The state of this process and of its database
///
/// For people and dashboards; 200 even if the database can't be reached.
#[utoipa::path(
    get,
    path = "/v1/health",
    operation_id = "getHealth",
    tag = "health",
    responses(
        (status = 200, description = "The state.", body = Envelope<Health>,
         headers(("Dataset-Version" = String,
                  description = "State of the events, EPOCH-NUMBER; only while the database can be reached."))),
        Failures,
    )
)]
pub(crate) async fn health(State(context): State<Context>) -> Response {
    // What the process knows all along: a probe that asks the database itself would be in the way of
    // those who follow it.
    let standing = context.standing().await.ok();
    let version = standing
        .filter(|standing| standing.down_since.is_none())
        .map(|standing| standing.version);
    let health = Health {
        status: match version {
            _ if context.is_draining() => Status::Draining,
            Some(_) => Status::Ok,
            None => Status::Degraded,
        },
        version: context.config().version.clone(),
        database: match version {
            Some(_) => Reach::Reachable,
            None => Reach::Unreachable,
        },
        dataset: version.map(Dataset::from),
    };
    let mut response = Json(Envelope::new(health)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    if let Some(version) = version {
        headers.insert(DATASET_VERSION, dataset_version(version));
    }
    response
}

/// Whether the process lives
///
/// For liveness probes: 200 as long as it answers at all, whatever else is down.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "getLiveness",
    tag = "health",
    responses(
        (status = 200, description = "It lives.", body = Envelope<Probe>),
        Failures,
    )
)]
pub(crate) async fn healthz() -> Response {
    probe()
}

/// Whether the process should get requests
///
/// For readiness probes: 200 once it has seen the database's schema and until it shuts down.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "getReadiness",
    tag = "health",
    responses(
        (status = 200, description = "It is ready.", body = Envelope<Probe>),
        Failures,
        (status = 503, description = "It has not seen the schema yet, or is shutting down.",
         body = ErrorEnvelope,
         headers(("Retry-After" = u64, description = "Seconds after which to ask again."))),
    )
)]
pub(crate) async fn readyz(State(context): State<Context>) -> Result<Response, Error> {
    if !context.is_draining() && context.has_seen_schema().await {
        Ok(probe())
    } else {
        Err(Error::NotReady)
    }
}

/// The process' metrics, for whoever collects them.
pub(crate) async fn metrics() -> Result<Response, Error> {
    let text = telemetry::scrape().await.map_err(|error| match error {
        telemetry::ExpositionError::Busy => Error::Overloaded,
        error => Error::Metrics(error),
    })?;
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(telemetry::EXPOSITION),
        ),
        (header::CACHE_CONTROL, NO_STORE),
    ];
    Ok((headers, text).into_response())
}

/// Whether a path is asked by probes, which are answered however much there is to do.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/v1/health" | "/metrics")
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

fn probe() -> Response {
    let body = Envelope::new(Probe { status: Status::Ok });
    ([(header::CACHE_CONTROL, NO_STORE)], Json(body)).into_response()
}

/// A probe's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Probe {
    status: Status,
}

/// The state of this process and of its database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    status: Status,
    /// Version of the build.
    version: String,
    database: Reach,
    /// The state of the events, while the database can be reached.
    #[schema(required)]
    dataset: Option<Dataset>,
}

/// How it goes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// All is well.
    Ok,
    /// The database can't be reached.
    Degraded,
    /// It finishes what it has begun and takes nothing new.
    Draining,
}

/// Whether something answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Reach {
    Reachable,
    Unreachable,
}

/// Which state of which history of the events.
#[derive(Debug, Serialize, ToSchema)]
struct Dataset {
    /// Rises by one with each commit that changes events.
    #[schema(minimum = 0)]
    version: i64,
    /// Names the history; renewed when it may have branched.
    epoch: Uuid,
}

impl From<Version> for Dataset {
    fn from(version: Version) -> Self {
        Self {
            version: version.number,
            epoch: version.epoch,
        }
    }
}

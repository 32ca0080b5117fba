//! The only type that becomes an error response, in the contract's envelope.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use entity::DbErr;
use entity::dataset::Version;
use sea_orm::RuntimeErr;
use sea_orm::sqlx;
use serde::Serialize;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{Content, Object, Ref, RefOr, Type};
use utoipa::{IntoResponses, ToSchema};
use uuid::Uuid;

use crate::admin;
use crate::query::Invalid;
use crate::render::{DATASET_VERSION, Nothing, dataset_version};
use crate::spool::SpoolError;

/// Seconds after which a request that met an outage may come again.
const AFTER_OUTAGE: HeaderValue = HeaderValue::from_static("2");

/// Seconds after which a request that found too many others may come again.
const AFTER_OVERLOAD: HeaderValue = HeaderValue::from_static("1");

const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Bearer realm="fanfare""#);
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The query string can't be understood.
    #[error(transparent)]
    Query(#[from] Invalid),
    /// The path's id is no UUID.
    #[error(
        "the event's id is not a UUID: send one as a search gives it, \
         such as /v1/events/dd8d2fd1-87f2-55d4-9464-032d553cbb6f"
    )]
    MalformedId,
    /// There is no such event in that version of the dataset.
    #[error("there is no event {id}: send an id as a search gives it")]
    NoSuchEvent {
        /// Which.
        id: Uuid,
    },
    /// What was asked for belongs to another epoch than the present one.
    #[error(
        "this belongs to a history of the events that has ended: start over with a search without \
         a cursor, and go on from its header Dataset-Version"
    )]
    Ended {
        /// The present one.
        version: Version,
    },
    /// The log of changes has been pruned past what was asked for.
    #[error(
        "the log no longer goes back to `since`: read all events with /v1/events/search, then go on \
         from its header Dataset-Version"
    )]
    Pruned {
        /// The present one.
        version: Version,
    },
    /// There is no such route.
    #[error("there is nothing at this address: see /docs for what there is")]
    NoSuchRoute,
    /// The route does not know the method.
    #[error("this address does not take that method: send one of those in the header Allow")]
    MethodNotAllowed,
    /// The request's body is too large.
    #[error("the body is too large: send at most {limit} bytes")]
    BodyTooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The request's address is too long.
    #[error("the address is too long: send at most {limit} bytes of path and query")]
    UriTooLong {
        /// In bytes.
        limit: usize,
    },
    /// The request's headers are too large.
    #[error("the headers are too large: send at most {limit} bytes of names and values")]
    HeadersTooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The client has sent too many requests.
    #[error("too many requests: send the next one after the seconds in the header Retry-After")]
    RateLimited {
        /// When there is one more, from now.
        retry_after_seconds: u64,
    },
    /// An admin route refuses.
    #[error(transparent)]
    Admin(#[from] admin::Refused),
    /// The database answered with an error, or not at all.
    #[error("read the database")]
    Database(#[from] DbErr),
    /// The database did not answer in time.
    #[error("the database did not answer within {limit:?}")]
    DatabaseSilent {
        /// How long was waited.
        limit: Duration,
    },
    /// The database has less than what was promised when the request came.
    #[error("the database has version {} and not yet {}", version.number, promised.number)]
    Behind {
        /// What the answer must be no older than.
        promised: Version,
        /// What the database has.
        version: Version,
    },
    /// The database has not answered since the process began.
    #[error("the database has not been seen yet")]
    NeverSeen,
    /// Too many requests wait already.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// A large answer found no room, or its file failed.
    #[error("keep a large answer for its client")]
    Spool(#[source] SpoolError),
    /// The metrics could not be told.
    #[error("tell the metrics")]
    Metrics(#[source] telemetry::ExpositionError),
    /// Several requests that asked together failed together.
    #[error(transparent)]
    Shared(Arc<Error>),
    /// The request took too long.
    #[error("the request did not end within {limit:?}")]
    TimedOut {
        /// How long was waited.
        limit: Duration,
    },
    /// The process starts or stops.
    #[error("not ready: it has not seen the database's schema yet, or is shutting down")]
    NotReady,
    /// A handler panicked.
    #[error("a handler panicked: {0}")]
    Panicked(String),
    /// The documentation page can't be put together.
    #[error("put the documentation page together")]
    Docs(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Query(_) | Self::MalformedId => StatusCode::BAD_REQUEST,
            Self::NoSuchEvent { .. } | Self::NoSuchRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Ended { .. } | Self::Pruned { .. } => StatusCode::GONE,
            Self::Shared(error) => error.status(),
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::DatabaseSilent { .. }
            | Self::TimedOut { .. }
            | Self::NotReady
            | Self::Behind { .. }
            | Self::NeverSeen
            | Self::Overloaded
            | Self::Spool(SpoolError::Full { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::HeadersTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Admin(refused) => refused.status(),
            Self::Database(error) if is_outage(error) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(_)
            | Self::Panicked(_)
            | Self::Docs(_)
            | Self::Metrics(_)
            | Self::Spool(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Stable: programs may tell errors apart by it.
    fn code(&self) -> &'static str {
        match self {
            Self::Query(invalid) => invalid.code(),
            Self::MalformedId => "malformed_id",
            Self::NoSuchEvent { .. } => "no_such_event",
            Self::NoSuchRoute => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::UriTooLong { .. } => "uri_too_long",
            Self::HeadersTooLarge { .. } => "headers_too_large",
            Self::RateLimited { .. } => "rate_limited",
            Self::Admin(refused) => refused.code(),
            Self::NotReady => "not_ready",
            Self::TimedOut { .. } => "timed_out",
            Self::Ended { .. } => "epoch_ended",
            Self::Pruned { .. } => "version_expired",
            Self::Overloaded | Self::Spool(SpoolError::Full { .. }) => "overloaded",
            Self::Shared(error) => error.code(),
            Self::DatabaseSilent { .. } | Self::Behind { .. } | Self::NeverSeen => "unavailable",
            Self::Database(error) if is_outage(error) => "unavailable",
            Self::Database(_)
            | Self::Panicked(_)
            | Self::Docs(_)
            | Self::Metrics(_)
            | Self::Spool(_) => "internal",
        }
    }

    /// What the client reads: nothing of our inside.
    fn message(&self) -> String {
        match self.status() {
            StatusCode::INTERNAL_SERVER_ERROR => {
                "something went wrong on our side and is in our logs: please try again later"
                    .to_owned()
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                "the service can't answer at the moment: please send the request again after the \
                 seconds in the header Retry-After"
                    .to_owned()
            }
            _ => self.to_string(),
        }
    }

    fn retry_after(&self) -> HeaderValue {
        match self.code() {
            "overloaded" => AFTER_OVERLOAD,
            _ => AFTER_OUTAGE,
        }
    }

    /// The present version, where the error tells one.
    fn version(&self) -> Option<Version> {
        match self {
            Self::Ended { version } | Self::Pruned { version } => Some(*version),
            Self::Shared(error) => error.version(),
            _ => None,
        }
    }

    /// The one place where a failed request is logged.
    fn log(&self) {
        // Who sheds load has no time for a line each.
        if matches!(self, Self::NotReady | Self::Overloaded) {
            return;
        }
        match self.status() {
            StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(error = self.chain(), "a request failed");
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                tracing::warn!(
                    error = self.chain(),
                    "a request found the service unavailable"
                );
            }
            _ => {}
        }
    }

    /// What kind of failure of a read this is; `None` if the database has answered.
    pub(crate) fn read_failure(&self) -> Option<&'static str> {
        match self {
            Self::Shared(error) => error.read_failure(),
            Self::DatabaseSilent { .. } => Some("timeout"),
            Self::Behind { .. } => Some("behind"),
            error if error.status().is_server_error() => Some(error.code()),
            _ => None,
        }
    }

    fn chain(&self) -> String {
        telemetry::Chain(self).to_string()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log();
        let status = self.status();
        let mut response = (status, Json(ErrorEnvelope::of(&self))).into_response();
        let headers = response.headers_mut();
        // An error is nobody's answer but its client's.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, self.retry_after());
        }
        if let Some(version) = self.version() {
            headers.insert(DATASET_VERSION, dataset_version(version));
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
        match self {
            Self::RateLimited {
                retry_after_seconds,
            } => {
                headers.insert(header::RETRY_AFTER, retry_after_seconds.into());
            }
            Self::Admin(admin::Refused::Unauthorized) => {
                headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
            }
            _ => {}
        }
        response
    }
}

/// Whether the database could not be had, as opposed to not having understood us.
pub(crate) fn is_outage(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            is_driver_outage(error)
        }
        _ => false,
    }
}

fn is_driver_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_outage_code(&code)),
        _ => false,
    }
}

/// PostgreSQL: connection lost (08), no resources (53), stopped by an operator or a timeout (57),
/// cancelled by a replica's recovery (40001), a lock that was not to be had (55P03), a primary that has
/// become a replica (25006). SQLite: busy, locked, I/O error, can't open; its
/// extended codes keep the primary one in the lowest byte.
fn is_outage_code(code: &str) -> bool {
    if code.len() == 5 {
        return ["40001", "55P03", "25006"].contains(&code)
            || ["08", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class));
    }
    code.parse::<u32>()
        .is_ok_and(|code| [5, 6, 10, 14].contains(&(code & 0xff)))
}

/// What every error looks like.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorEnvelope {
    /// What went wrong.
    error: ErrorDetail,
    /// Always null.
    #[schema(value_type = Option<Object>, required)]
    data: Nothing,
}

impl ErrorEnvelope {
    pub(crate) fn of(error: &Error) -> Self {
        Self {
            error: ErrorDetail {
                code: error.code(),
                message: error.message(),
            },
            data: Nothing,
        }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an error is made of two strings")
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// Tells errors apart; stable.
    #[schema(value_type = String, example = "malformed_parameter", pattern = "^[a-z_]+$")]
    code: &'static str,
    /// What to send instead, for people.
    message: String,
}

/// What any route can answer instead.
pub(crate) struct Failures;

impl IntoResponses for Failures {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let retry_after = HeaderBuilder::new()
            .schema(Some(Object::with_type(Type::Integer)))
            .description(Some("Seconds after which to send the request again."))
            .build();
        [
            ("413", "The request has a body that is too large."),
            ("414", "The address is too long."),
            ("431", "The headers are too large."),
            ("500", "Something went wrong on our side."),
            ("503", "The service can't answer at the moment."),
        ]
        .into_iter()
        .map(|(status, description)| {
            let mut response = error_response(description);
            if status == "503" {
                response = response.header("Retry-After", retry_after.clone());
            }
            (status.to_owned(), response.build().into())
        })
        .collect()
    }
}

pub(crate) fn error_response(description: &str) -> ResponseBuilder {
    let schema = Ref::from_schema_name(ErrorEnvelope::name());
    ResponseBuilder::new()
        .description(description)
        .content("application/json", Content::new(Some(schema)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_from_a_mistake_by_the_databases_code() {
        for code in ["57P01", "53300", "08006", "40001", "5", "261", "14"] {
            assert!(is_outage_code(code), "{code}");
        }
        for code in ["42P01", "42601", "23505", "1", "19", "x"] {
            assert!(!is_outage_code(code), "{code}");
        }
    }

    #[test]
    fn a_server_error_says_nothing_inside() {
        let inside = [
            Error::Panicked("secret".into()),
            Error::Database(DbErr::Custom("secret".into())),
            Error::Database(DbErr::Conn(RuntimeErr::Internal("secret".into()))),
        ];
        for error in inside {
            assert!(error.status().is_server_error());
            assert!(!error.message().contains("secret"), "{error:?}");
            assert!(error.chain().contains("secret"), "{error:?}");
        }
    }
}

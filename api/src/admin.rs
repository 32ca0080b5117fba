//! The routes that change something: `POST /v1/providers/{name}/sync`, `pause` and `resume`.
//!
//! They are there only if a token is configured, and for who shows it. They ask for a fan-out or
//! change a provider's state; schedulers do the rest.

mod act;
mod body;
mod refused;
mod tell;
mod token;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::client::{Client, Peer};
use crate::error::{ErrorEnvelope, Failures};
use crate::render::Envelope;
use crate::{Context, Error};

pub(crate) use refused::Refused;
pub(crate) use tell::Bearer;
use tell::Refusals;
use token::Shown;
pub use token::{AdminToken, BadToken};

/// The routes that the document tells of.
pub(crate) fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(sync))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// The routes as they are served: none without a token, so that they answer as unknown ones do.
pub(crate) fn router(context: &Context) -> Router<Context> {
    if context.config().admin_token.is_none() {
        return Router::new();
    }
    let (router, _) = routes().split_for_parts();
    router.route_layer(from_fn_with_state(context.clone(), authorized))
}

/// Lets only requests through that show the token.
async fn authorized(State(context): State<Context>, request: Request, next: Next) -> Response {
    let token = context.config().admin_token.as_ref();
    let shown = token.map_or(Shown::Nothing, |token| token.shown_in(request.headers()));
    let mut response = match shown {
        Shown::Right => next.run(request).await,
        Shown::Wrong | Shown::Nothing => {
            tracing::warn!(
                client.address = %client(&context, &request),
                url.path = request.uri().path(),
                token = if shown == Shown::Wrong { "wrong" } else { "missing" },
                "an admin request was refused"
            );
            Error::from(Refused::Unauthorized).into_response()
        }
    };
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

fn client(context: &Context, request: &Request) -> Client {
    let peer = request.extensions().get::<Peer>().copied();
    Client::of(peer, request.headers(), &context.config().trusted_proxies)
}

/// Asks for a sync of a provider now
///
/// A scheduler takes it up. A sync that is running already is joined.
#[utoipa::path(
    post,
    path = "/v1/providers/{name}/sync",
    operation_id = "syncProvider",
    tag = "admin",
    security(("bearer" = [])),
    params(("name" = String, Path, description = "The provider's name.", example = "primary",
            min_length = 1, max_length = 100, pattern = "^[a-z0-9-]+$")),
    request_body(content = Option<SyncRequest>, description = "What to do beyond a usual sync.",
                 example = json!({"accept_gone": true})),
    responses(
        (status = 202, description = "It is asked for.", body = Envelope<Asked>),
        Refusals,
        Failures,
        (status = 409, description = "The provider is paused or retired.", body = ErrorEnvelope),
    )
)]
async fn sync(
    State(context): State<Context>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Error> {
    let name = named(name)?;
    let asked: SyncRequest = body::read(request, r#"{"accept_gone": true}"#).await?;
    let sync = act::sync(context.db(), &name, asked.accept_gone);
    let fan_out = context.read(sync).await??;
    Ok((StatusCode::ACCEPTED, data(Asked { fan_out })).into_response())
}

/// Stops a provider's syncs until it is resumed
///
/// A sync that is running is cancelled. A provider that is paused already stays so, and keeps its
/// reason if there is no other.
#[utoipa::path(
    post,
    path = "/v1/providers/{name}/pause",
    operation_id = "pauseProvider",
    tag = "admin",
    security(("bearer" = [])),
    params(("name" = String, Path, description = "The provider's name.", example = "primary",
            min_length = 1, max_length = 100, pattern = "^[a-z0-9-]+$")),
    request_body(content = Option<PauseRequest>, description = "Why.",
                 example = json!({"reason": "they asked us to wait"})),
    responses(
        (status = 200, description = "It is paused.", body = Envelope<ProviderState>),
        Refusals,
        Failures,
    )
)]
async fn pause(
    State(context): State<Context>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Error> {
    let name = named(name)?;
    let by = format!("{} over the API", client(&context, &request));
    let asked: PauseRequest = body::read(request, r#"{"reason": "they asked us to wait"}"#).await?;
    let reason = asked.reason.as_deref().map(act::reason).transpose()?;
    let pause = act::pause(context.db(), &name, reason, &by);
    Ok(data(context.read(pause).await??).into_response())
}

/// Lifts a provider's pause
///
/// It is due at once, and its past failures are forgotten. Nothing happens to one that is not
/// paused.
#[utoipa::path(
    post,
    path = "/v1/providers/{name}/resume",
    operation_id = "resumeProvider",
    tag = "admin",
    security(("bearer" = [])),
    params(("name" = String, Path, description = "The provider's name.", example = "primary",
            min_length = 1, max_length = 100, pattern = "^[a-z0-9-]+$")),
    responses(
        (status = 200, description = "It is not paused.", body = Envelope<ProviderState>),
        Refusals,
        Failures,
    )
)]
async fn resume(
    State(context): State<Context>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Error> {
    let name = named(name)?;
    let ResumeRequest {} = body::read(request, "{}").await?;
    let resume = act::resume(context.db(), &name);
    Ok(data(context.read(resume).await??).into_response())
}

fn named(name: Result<Path<String>, PathRejection>) -> Result<String, Error> {
    name.map(|Path(name)| name).map_err(|_| Error::NoSuchRoute)
}

fn data<T: Serialize>(data: T) -> Json<Envelope<T>> {
    Json(Envelope::new(data))
}

/// How a sync is to be done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SyncRequest {
    /// Whether to take for gone what the feed lacks, however much it is, and to fetch it whatever is
    /// known of it.
    #[serde(default)]
    #[schema(default = false)]
    accept_gone: bool,
}

/// Why a provider is to be paused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PauseRequest {
    /// Shown wherever the provider is. Not blank, and without characters that don't print.
    #[schema(
        max_length = 200,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$",
        default = "paused over the API"
    )]
    reason: Option<String>,
}

/// Nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResumeRequest {}

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
struct Asked {
    /// Names the fan-out, in `fanfare run list` and in traces.
    fan_out: Uuid,
}

/// A provider, and whether it is synced.
#[derive(Debug, Serialize, ToSchema)]
struct ProviderState {
    /// The stable key.
    #[schema(pattern = "^[a-z0-9-]+$", min_length = 1, max_length = 100)]
    name: String,
    state: Standing,
    /// Why its syncs are paused, if they are.
    #[schema(required)]
    paused_reason: Option<String>,
}

/// Whether a provider is synced.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Standing {
    /// Whenever it is due.
    Active,
    /// Not until it is resumed.
    Paused,
}

//! All routes, and those that control the simulator from outside its process.

use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::behavior::Behavior;
use crate::provider::UnknownProvider;
use crate::serve;
use crate::simulator::Simulator;
use crate::stats::Stats;

const PAGE: &str = "\
Fanfare's simulator: made-up event providers, well-behaved and not.

GET  /providers/{name}/feed               a feed in the format plan-list (provider-0001, provider-0002, ...)
GET  /providers.toml?interval=15m         all providers, as a file for `fanfare provider apply`
GET  /truth/{name}                        what a reader of all feeds served so far must know, as JSON
GET  /control/stats                       requests per provider, per host and in total, as JSON
POST /control/advance                     moves all feeds on by one round
GET  /control/providers/{name}/behavior   how a provider answers
PUT  /control/providers/{name}/behavior   changes it: {\"kind\":\"hang\"}, {\"kind\":\"status\",\"code\":404}, ...
";

pub(crate) fn routes(simulator: Simulator) -> Router {
    Router::new()
        .route("/", get(PAGE))
        .route("/providers.toml", get(providers))
        .route("/providers/{name}/feed", get(serve::feed))
        .route("/truth/{name}", get(truth))
        .route("/control/stats", get(stats))
        .route("/control/advance", post(advance))
        .route(
            "/control/providers/{name}/behavior",
            get(behavior).put(set_behavior),
        )
        .with_state(simulator)
}

impl IntoResponse for UnknownProvider {
    fn into_response(self) -> Response {
        (StatusCode::NOT_FOUND, format!("{self}\n")).into_response()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvidersQuery {
    #[serde(default = "every_quarter_of_an_hour")]
    interval: String,
}

fn every_quarter_of_an_hour() -> String {
    "15m".to_owned()
}

/// The addresses in it are under the host that the client asked, since that is the one it can reach.
async fn providers(
    State(simulator): State<Simulator>,
    Query(query): Query<ProvidersQuery>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let origin = host.map_or_else(|| simulator.origin(), |host| format!("http://{host}"));
    (
        [(CONTENT_TYPE, "application/toml")],
        simulator.providers_toml_under(&origin, &query.interval),
    )
}

async fn truth(
    State(simulator): State<Simulator>,
    Path(name): Path<String>,
) -> Result<Response, UnknownProvider> {
    let read = tokio::task::spawn_blocking(move || simulator.expected(&name)).await;
    match read {
        Ok(expected) => Ok(Json(expected?).into_response()),
        Err(_) => Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
}

async fn stats(State(simulator): State<Simulator>) -> Json<Stats> {
    Json(simulator.stats())
}

#[derive(Debug, Serialize)]
struct Round {
    round: u64,
}

async fn advance(State(simulator): State<Simulator>) -> Json<Round> {
    Json(Round {
        round: simulator.advance(),
    })
}

async fn behavior(
    State(simulator): State<Simulator>,
    Path(name): Path<String>,
) -> Result<Json<Behavior>, UnknownProvider> {
    simulator.behavior(&name).map(Json)
}

async fn set_behavior(
    State(simulator): State<Simulator>,
    Path(name): Path<String>,
    Json(behavior): Json<Behavior>,
) -> Result<StatusCode, UnknownProvider> {
    simulator.set_behavior(&name, behavior)?;
    Ok(StatusCode::NO_CONTENT)
}

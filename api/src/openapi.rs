//! The document of this API, made from its handlers.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi;

use crate::admin::Bearer;
use crate::error::{ErrorEnvelope, Failures};
use crate::router::routes;
use crate::{Context, admin, rate};

/// The API's OpenAPI 3.1 document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = routes().merge(admin::routes()).into_openapi();
    rate::tell(&mut document);
    document
}

/// The API's OpenAPI 3.1 document as JSON, indented.
pub fn openapi_json() -> String {
    openapi()
        .to_pretty_json()
        .expect("the document is made of strings, numbers and lists")
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenapi",
    tag = "documentation",
    responses(
        (status = 200, description = "An OpenAPI 3.1 document.", body = Object),
        Failures,
    )
)]
pub(crate) async fn openapi_document(State(context): State<Context>) -> impl IntoResponse {
    let json = (header::CONTENT_TYPE, "application/json");
    ([json], context.openapi())
}

/// What the document has besides its routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fanfare",
        description = "Events of many providers, from one place.\n\n\
                       Every answer is `{\"data\": …, \"error\": null}`, and every error \
                       `{\"error\": {\"code\": …, \"message\": …}, \"data\": null}`. Every read \
                       carries `Dataset-Version`, which changes when events do.",
    ),
    tags(
        (name = "events", description = "What can be attended."),
        (name = "providers", description = "Where events come from."),
        (name = "admin", description = "What changes something, for operators."),
        (name = "health", description = "How the service does."),
        (name = "documentation", description = "What there is."),
    ),
    components(schemas(ErrorEnvelope)),
    modifiers(&Bearer)
)]
pub(crate) struct Base;

//! The document of this API, made from its handlers.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{Object, RefOr, Type};

use crate::admin::Bearer;
use crate::error::{ErrorEnvelope, Failures};
use crate::router::routes;
use crate::{Context, admin, rate};

/// The API's OpenAPI 3.1 document.
pub fn openapi() -> Value {
    let mut document = routes().merge(admin::routes()).into_openapi();
    rate::tell(&mut document);
    for (path, of_a_version) in READS {
        let operation = document.paths.paths.get_mut(path);
        if let Some(operation) = operation.and_then(|item| item.get.as_mut()) {
            tell_of_headers(operation, of_a_version);
        }
    }
    let mut document =
        serde_json::to_value(document).expect("the document is made of strings, numbers and lists");
    let schemas = document["components"]["schemas"].clone();
    merge(&mut document, &schemas);
    document
}

/// The reads, and whether they depend on nothing but the version that they name.
const READS: [(&str, bool); 5] = [
    ("/v1/events/search", true),
    ("/v1/events/{id}", true),
    ("/v1/events/{id}/history", true),
    ("/v1/changes", true),
    ("/v1/providers", false),
];

/// Headers of a read, and what they say. The last ones are of reads of a version only.
const HEADERS: [(&str, &str); 9] = [
    (
        "Dataset-Version",
        "State of the events that the answer belongs to: EPOCH-NUMBER.",
    ),
    (
        "Dataset-Stale",
        "Seconds for which the service has not been able to tell whether there is a newer answer; \
         only while that is so.",
    ),
    ("Age", "The same, for caches (RFC 9111)."),
    (
        "Cache-Control",
        "What caches may do with the answer (RFC 9111, RFC 5861).",
    ),
    (
        "Cache-Status",
        "What the service's own cache had to do with it (RFC 9211).",
    ),
    ("Vary", "Always accept-encoding."),
    (
        "ETag",
        "Strong validator of this very representation, for If-None-Match.",
    ),
    ("Cache-Tag", "What a CDN may drop it by, with commas."),
    ("Surrogate-Key", "The same, with spaces."),
];
const NOT_OF_A_VERSION: usize = 6;

fn tell_of_headers(operation: &mut Operation, of_a_version: bool) {
    let told = if of_a_version {
        &HEADERS[..]
    } else {
        &HEADERS[..NOT_OF_A_VERSION]
    };
    let responses = &mut operation.responses.responses;
    if of_a_version {
        let description = "The client has this very answer: its If-None-Match names the ETag.";
        let unchanged = ResponseBuilder::new().description(description).build();
        responses.insert("304".to_owned(), unchanged.into());
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else {
            continue;
        };
        let with_validator = |name: &str| status != "404" || name != "ETag";
        if ["200", "304", "404"].contains(&status.as_str()) {
            for (name, description) in told.iter().filter(|(name, _)| with_validator(name)) {
                let kind = match *name {
                    "Age" | "Dataset-Stale" => Type::Integer,
                    _ => Type::String,
                };
                let header = HeaderBuilder::new()
                    .schema(Some(Object::with_type(kind)))
                    .description(Some(*description))
                    .build();
                response.headers.insert((*name).to_owned(), header.into());
            }
        }
    }
}

/// Makes one schema of each that was put together from parts, for readers and for generators of
/// clients.
fn merge(value: &mut Value, schemas: &Value) {
    if let Some(Value::Array(parts)) = value.get_mut("allOf").map(Value::take) {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for part in &parts {
            let part = match part["$ref"].as_str().and_then(|at| at.rsplit('/').next()) {
                Some(name) => &schemas[name],
                None => part,
            };
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
            required.extend(part["required"].as_array().cloned().unwrap_or_default());
        }
        *value = json!({
            "type": "object",
            "description": value["description"],
            "required": required,
            "properties": properties,
        });
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|field| merge(field, schemas)),
        Value::Array(items) => items.iter_mut().for_each(|item| merge(item, schemas)),
        _ => {}
    }
}

/// The API's OpenAPI 3.1 document as JSON, indented.
pub fn openapi_json() -> String {
    serde_json::to_string_pretty(&openapi())
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
#[derive(utoipa::OpenApi)]
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

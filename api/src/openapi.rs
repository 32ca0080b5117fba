//! The document of this API, made from its handlers.

mod examples;
mod headers;
mod links;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use crate::admin::Bearer;
use crate::error::{ErrorEnvelope, Failures};
use crate::router::routes;
use crate::{Context, admin, rate};

/// The API's OpenAPI 3.1 document.
pub fn openapi() -> Value {
    let mut document = routes().merge(admin::routes()).into_openapi();
    rate::tell(&mut document);
    let mut document =
        serde_json::to_value(document).expect("the document is made of strings, numbers and lists");
    let schemas = document["components"]["schemas"].clone();
    merge(&mut document, &schemas);
    let paths = document["paths"].as_object_mut();
    let operations = paths.into_iter().flatten().flat_map(|(_, item)| {
        let methods = item.as_object_mut().into_iter().flatten();
        methods.filter(|(method, _)| matches!(method.as_str(), "get" | "post"))
    });
    for (_, operation) in operations {
        headers::tell(operation);
        examples::tell(operation);
        links::tell(operation);
        loosen(operation);
    }
    document
}

/// Says that a request may leave out its body, rather than send `null`.
fn loosen(operation: &mut Value) {
    let Some(body) = operation.get_mut("requestBody") else {
        return;
    };
    body["required"] = false.into();
    let schema = &mut body["content"]["application/json"]["schema"];
    let choices = schema["oneOf"].as_array();
    let object = choices.and_then(|choices| choices.iter().find(|one| one["type"] != "null"));
    if let Some(object) = object.cloned() {
        *schema = object;
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
                       carries `Dataset-Version`, which changes when events do.\n\n\
                       `HEAD` is answered wherever `GET` is, with the same headers. `OPTIONS` is \
                       answered with 204 and the header `Allow`. Other methods are 405 \
                       (`method_not_allowed`), other addresses 404 (`not_found`).",
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

//! The generated document, held against the published contract.

use std::collections::BTreeMap;

use serde_json::{Value, json};

const CONTRACT: &str = include_str!("../../contract/search.openapi.yaml");

fn contract() -> Value {
    yaml_serde::from_str(CONTRACT).unwrap()
}

fn ours() -> Value {
    serde_json::from_str(&api::openapi_json()).unwrap()
}

fn operation(document: &Value, path: &str) -> Value {
    document["paths"][path]["get"].clone()
}

/// Follows a reference within `document`, if `value` is one.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            resolved(document, target.expect("a reference leads somewhere"))
        }
        None => value,
    }
}

/// What a schema says about values, in the same words for 3.0 and 3.1.
#[derive(Debug, PartialEq)]
struct Shape {
    kind: String,
    format: Option<String>,
    nullable: bool,
    required: Vec<String>,
    properties: BTreeMap<String, Shape>,
    items: Option<Box<Shape>>,
}

fn shape(document: &Value, schema: &Value) -> Shape {
    let schema = resolved(document, schema);
    assert!(
        schema.get("oneOf").is_none() && schema.get("allOf").is_none(),
        "compared by words that the contract does not use: {schema}"
    );
    let (kind, null) = match &schema["type"] {
        Value::String(kind) => (kind.clone(), false),
        Value::Array(kinds) => {
            let (null, kinds): (Vec<_>, Vec<_>) = kinds.iter().partition(|kind| **kind == "null");
            assert_eq!(kinds.len(), 1, "{schema}");
            (kinds[0].as_str().unwrap().to_owned(), !null.is_empty())
        }
        other => panic!("{other} is no type: {schema}"),
    };
    let strings = |value: &Value| {
        let mut strings: Vec<String> = serde_json::from_value(value.clone()).unwrap_or_default();
        strings.sort();
        strings
    };
    let properties = schema["properties"].as_object();
    Shape {
        kind,
        format: schema["format"].as_str().map(str::to_owned),
        nullable: null || schema["nullable"] == true,
        required: strings(&schema["required"]),
        properties: properties
            .into_iter()
            .flatten()
            .map(|(name, property)| (name.clone(), shape(document, property)))
            .collect(),
        items: schema
            .get("items")
            .map(|items| Box::new(shape(document, items))),
    }
}

fn response_shape(document: &Value, operation: &Value, status: &str) -> Shape {
    let response = resolved(document, &operation["responses"][status]);
    shape(document, &response["content"]["application/json"]["schema"])
}

#[test]
fn search_answers_as_the_contract_says() {
    let (contract, ours) = (contract(), ours());
    let theirs = operation(&contract, "/search");
    let search = operation(&ours, "/v1/events/search");
    for status in theirs["responses"].as_object().unwrap().keys() {
        let mut shape = response_shape(&ours, &search, status);
        // Ours come on demand only.
        forget(&mut shape, "meta");
        if let Some(data) = shape.properties.get_mut("data")
            && let Some(events) = data.properties.get_mut("events")
        {
            forget(events.items.as_mut().unwrap(), "zones");
        }
        assert_eq!(
            shape,
            response_shape(&contract, &theirs, status),
            "response {status}"
        );
    }
}

fn forget(shape: &mut Shape, name: &str) {
    assert!(!shape.required.contains(&name.to_owned()), "{name}");
    shape.properties.remove(name);
}

#[test]
fn search_takes_the_contracts_parameters_and_further_ones_only_if_asked() {
    let (contract, ours) = (contract(), ours());
    let parameters = |document: &Value, path: &str| -> BTreeMap<String, (String, bool, Shape)> {
        let operation = operation(document, path);
        let parameters = operation["parameters"].as_array().unwrap();
        parameters
            .iter()
            .map(|parameter| {
                let parameter = resolved(document, parameter);
                let text = |field: &str| parameter[field].as_str().unwrap().to_owned();
                let required = parameter["required"] == true;
                let shape = shape(document, &parameter["schema"]);
                (text("name"), (text("in"), required, shape))
            })
            .collect()
    };
    let theirs = parameters(&contract, "/search");
    let mut ours = parameters(&ours, "/v1/events/search");
    assert_eq!(theirs.len(), 2);
    for (name, parameter) in theirs {
        assert_eq!(ours.remove(&name), Some(parameter), "{name}");
    }
    for (name, (_, required, _)) in ours {
        assert!(!required, "{name}");
    }
}

#[test]
fn search_has_the_contracts_operation_id() {
    let theirs = operation(&contract(), "/search");
    let ours = operation(&ours(), "/v1/events/search");
    assert_eq!(ours["operationId"], theirs["operationId"]);
}

#[test]
fn the_document_tells_every_route_with_its_errors() {
    let document = ours();
    let paths = document["paths"].as_object().unwrap();
    let told: Vec<_> = paths.keys().map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "/docs",
            "/healthz",
            "/openapi.json",
            "/readyz",
            "/v1/changes",
            "/v1/events/search",
            "/v1/events/{id}",
            "/v1/events/{id}/history",
            "/v1/health",
            "/v1/providers",
            "/v1/providers/{name}/pause",
            "/v1/providers/{name}/resume",
            "/v1/providers/{name}/sync",
        ]
    );
    let envelope = response_shape(&document, &paths["/healthz"]["get"], "500");
    for (path, item) in paths {
        let is_admin = item["post"].is_object();
        let operation = if is_admin {
            &item["post"]
        } else {
            &item["get"]
        };
        let responses = operation["responses"].as_object().unwrap();
        for status in ["413", "414", "431", "500", "503"] {
            assert!(responses.contains_key(status), "{path} {status}");
        }
        for status in responses.keys().filter(|status| status.as_str() >= "400") {
            let shape = response_shape(&document, operation, status);
            assert_eq!(shape, envelope, "{path} {status}");
        }
        let headers = &responses["503"]["headers"];
        assert!(headers["Retry-After"].is_object(), "{path}");
        let is_health = ["/healthz", "/readyz", "/v1/health"].contains(&path.as_str());
        assert_eq!(responses.contains_key("429"), !is_health, "{path}");
        if is_admin {
            continue;
        }
        if path.starts_with("/v1/") {
            let headers = &responses["200"]["headers"];
            assert!(headers["Dataset-Version"].is_object(), "{path}");
        }
        if path.starts_with("/v1/") && path != "/v1/health" {
            assert!(responses.contains_key("400"), "{path}");
        }
    }
}

#[test]
fn the_document_tells_the_admin_routes_with_their_token_and_an_example_of_each_answer() {
    let document = ours();
    let scheme = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!(scheme["type"], "http");
    assert_eq!(scheme["scheme"], "bearer");
    for (action, done) in [("sync", "202"), ("pause", "200"), ("resume", "200")] {
        let path = format!("/v1/providers/{{name}}/{action}");
        let operation = &document["paths"][path]["post"];
        assert_eq!(operation["security"], json!([{"bearer": []}]), "{action}");
        for status in [done, "400", "401", "404", "409", "415"] {
            let response = &operation["responses"][status];
            let example = &response["content"]["application/json"]["example"];
            let keys: Vec<_> = example.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["data", "error"], "{action} {status}");
        }
        let headers = &operation["responses"]["401"]["headers"];
        assert!(headers["WWW-Authenticate"].is_object(), "{action}");
    }
}

#[test]
fn every_schema_in_the_document_can_be_met_and_every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                // The generator writes one for what it can't combine: nothing would match it.
                assert!(value.get("allOf").is_none(), "{value}");
                if value.get("$ref").is_some() {
                    resolved(document, value);
                }
                fields.values().for_each(|field| walk(document, field));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
            _ => {}
        }
    }
    let document = ours();
    walk(&document, &document);
}

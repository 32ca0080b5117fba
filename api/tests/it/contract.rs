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
fn the_document_tells_the_admin_routes_with_their_token_and_answers() {
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
            assert!(response["content"].is_object(), "{action} {status}");
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

#[test]
fn the_document_that_is_checked_in_is_the_one_that_is_served() {
    let checked_in = include_str!("../../../docs/openapi.json");
    assert!(
        checked_in.trim_end() == api::openapi_json(),
        "docs/openapi.json is not what the API says of itself: renew it with \
         `cargo run -p fanfare -- openapi > docs/openapi.json`"
    );
}

/// Every operation with its name.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[test]
fn every_answer_in_the_document_has_examples_that_are_as_its_schema_says() {
    let document = ours();
    for (name, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let place = format!("{name} {status}");
            assert!(response["description"].is_string(), "{place}");
            for (header, told) in response["headers"].as_object().into_iter().flatten() {
                assert!(told["description"].is_string(), "{place} {header}");
                if let Some(example) = told.get("example") {
                    meets(
                        &document,
                        &told["schema"],
                        example,
                        &format!("{place} {header}"),
                    );
                }
            }
            if status.starts_with('3') {
                continue;
            }
            let content = &response["content"]["application/json"];
            let examples: Vec<_> = match content["examples"].as_object() {
                Some(examples) => examples
                    .iter()
                    .map(|(code, one)| {
                        assert_eq!(one["value"]["error"]["code"], **code, "{place}");
                        &one["value"]
                    })
                    .collect(),
                None => content.get("example").into_iter().collect(),
            };
            assert!(!examples.is_empty(), "{place} has no example");
            for example in examples {
                meets(&document, &content["schema"], example, &place);
            }
        }
    }
}

#[test]
fn every_parameter_in_the_document_has_a_description_and_an_example_that_it_takes() {
    let document = ours();
    for (name, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let place = format!("{name} {}", parameter["name"]);
            assert!(parameter["description"].is_string(), "{place}");
            if let Some(example) = parameter.get("example") {
                meets(&document, &parameter["schema"], example, &place);
            }
        }
    }
}

#[test]
fn operations_have_names_and_lead_to_each_other_by_them() {
    let document = ours();
    let mut names: Vec<_> = operations(&document)
        .map(|(place, operation)| {
            assert_eq!(
                operation["tags"].as_array().map(Vec::len),
                Some(1),
                "{place}"
            );
            assert!(operation["summary"].is_string(), "{place}");
            operation["operationId"].as_str().expect(&place)
        })
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
    let mut links = 0;
    for (place, operation) in operations(&document) {
        for (_, link) in operation["responses"]["200"]["links"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let to = link["operationId"].as_str().unwrap();
            let (_, target) = operations(&document)
                .find(|(_, target)| target["operationId"] == to)
                .unwrap_or_else(|| panic!("{place} leads to {to}"));
            let taken = target["parameters"].as_array().unwrap();
            for name in link["parameters"].as_object().unwrap().keys() {
                assert!(
                    taken.iter().any(|one| one["name"] == **name),
                    "{place} {to} {name}"
                );
            }
            links += 1;
        }
    }
    assert!(links >= 5);
}

/// Checks a value against what of JSON Schema the document uses; an unknown property is none of the
/// schema's.
fn meets(document: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = resolved(document, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| (choice["type"] == "null") == value.is_null();
        let choice = choices.iter().find(fits).expect(place);
        return meets(document, choice, value, place);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let told = &schema["type"];
    let is = |kind: &str| {
        *told == kind
            || told
                .as_array()
                .is_some_and(|all| all.contains(&json!(kind)))
    };
    assert!(
        told.is_null() || is(kind) || (kind == "integer" && is("number")),
        "{place}: {value} is no {told}"
    );
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{place}: {value}");
    }
    let below = |bound: &str, found: Option<f64>| {
        schema[bound]
            .as_f64()
            .zip(found)
            .is_none_or(|(bound, found)| bound <= found)
    };
    assert!(below("minimum", value.as_f64()), "{place}: {value}");
    if let Some(text) = value.as_str() {
        let is_right = match schema["format"].as_str() {
            Some("uuid") => text.parse::<uuid::Uuid>().is_ok(),
            Some("date") => text.parse::<chrono::NaiveDate>().is_ok(),
            Some("time") => text.parse::<chrono::NaiveTime>().is_ok(),
            Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
            None => true,
            Some(other) => panic!("{place}: the format {other} is not known here"),
        };
        assert!(is_right, "{place}: {text}");
        let chars = text.chars().count() as f64;
        assert!(below("minLength", Some(chars)), "{place}: {text}");
        assert!(
            schema["maxLength"]
                .as_f64()
                .is_none_or(|most| chars <= most),
            "{place}: {text}"
        );
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        meets(document, &schema["items"], item, &format!("{place}[{at}]"));
    }
    let Some(fields) = value.as_object() else {
        return;
    };
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(
            fields.contains_key(required.as_str().unwrap()),
            "{place}: no {required}"
        );
    }
    let is_told = schema["properties"].is_object();
    for (name, field) in fields {
        let place = format!("{place}.{name}");
        let other = &schema["additionalProperties"];
        match schema["properties"].get(name) {
            Some(property) => meets(document, property, field, &place),
            None if other.is_object() => meets(document, other, field, &place),
            None => assert!(!is_told, "{place} is not told of"),
        }
    }
}

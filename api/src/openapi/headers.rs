//! What the document says of the headers of reads.

use serde_json::{Map, Value, json};

/// The reads, by their operation, and whether they depend on nothing but the version that they name.
const READS: [(&str, bool); 5] = [
    ("searchEvents", true),
    ("getEvent", true),
    ("getEventHistory", true),
    ("listChanges", true),
    ("listProviders", false),
];

/// Has a state of the events as `EPOCH-NUMBER`.
const VERSION: &str = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]+$";
const ETAG: &str = "^\"[A-Za-z0-9_-]{22}\"$";
const ETAG_EXAMPLE: &str = "\"3x2EFVvyzJZ5d67w0QRp-A\"";

/// Adds to an operation what its answers say besides their bodies, and the condition that it takes.
pub(super) fn tell(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    if let Some((_, of_a_version)) = READS.iter().find(|(read, _)| *read == id) {
        of_read(operation, *of_a_version);
    }
}

fn of_read(operation: &mut Value, of_a_version: bool) {
    if of_a_version {
        operation["responses"]["304"] = json!({
            "description": "The client has this very answer: its If-None-Match names the ETag.",
        });
        take_condition(operation);
    }
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for (status, response) in responses {
        let headers = match status.as_str() {
            "200" if of_a_version => of_version(true),
            "200" => of_any(),
            "304" => of_version(true),
            "404" => of_version(false),
            "410" => vec![version(true)],
            _ => continue,
        };
        let told = entry(response, "headers");
        told.extend(
            headers
                .into_iter()
                .map(|(name, header)| (name.to_owned(), header)),
        );
    }
}

fn take_condition(operation: &mut Value) {
    let condition = json!({
        "name": "If-None-Match",
        "in": "header",
        "required": false,
        "description": "ETags of answers that the client has, with commas. If one of them names \
                        the answer as it is now, the status is 304 and there is no body (RFC 9110, \
                        section 13.1.2).",
        "schema": {"type": "string"},
        "example": ETAG_EXAMPLE,
    });
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(condition),
        None => operation["parameters"] = json!([condition]),
    }
}

type Header = (&'static str, Value);

/// Of every read that may be kept.
fn of_any() -> Vec<Header> {
    let seconds = json!({"type": "integer", "minimum": 0});
    vec![
        version(true),
        header(
            "Cache-Control",
            true,
            "What caches may do with the answer (RFC 9111, RFC 5861).",
            json!({"type": "string"}),
            json!("public, max-age=1, stale-while-revalidate=5, stale-if-error=300"),
        ),
        header(
            "Vary",
            true,
            "What of a request the answer depends on besides its address.",
            json!({"type": "string", "enum": ["accept-encoding", "accept-encoding, origin"]}),
            json!("accept-encoding"),
        ),
        header(
            "Cache-Status",
            true,
            "What the service's own cache had to do with it (RFC 9211).",
            json!({"type": "string", "enum": ["fanfare; hit", "fanfare; fwd=miss"]}),
            json!("fanfare; hit"),
        ),
        header(
            "Content-Encoding",
            false,
            "How the body is compressed (RFC 9110, section 8.4); only if the client takes it and \
             the body is not short.",
            json!({"type": "string", "enum": ["br", "zstd", "gzip"]}),
            json!("br"),
        ),
        header(
            "Dataset-Stale",
            false,
            "Seconds for which the service has not been able to tell whether there is a newer \
             answer; only while that is so.",
            seconds.clone(),
            json!(12),
        ),
        header(
            "Age",
            false,
            "The same, for caches (RFC 9111).",
            seconds,
            json!(12),
        ),
    ]
}

/// Of reads of one version. What is not there has no validator.
fn of_version(with_validator: bool) -> Vec<Header> {
    let mut headers = of_any();
    if with_validator {
        headers.push(header(
            "ETag",
            true,
            "Strong validator of this very representation, for If-None-Match.",
            json!({"type": "string", "pattern": ETAG}),
            json!(ETAG_EXAMPLE),
        ));
    }
    headers.push(header(
        "Cache-Tag",
        true,
        "What a CDN may drop it by, with commas.",
        json!({"type": "string"}),
        json!("fanfare,search"),
    ));
    headers.push(header(
        "Surrogate-Key",
        true,
        "The same, with spaces.",
        json!({"type": "string"}),
        json!("fanfare search"),
    ));
    headers
}

fn version(required: bool) -> Header {
    header(
        "Dataset-Version",
        required,
        "State of the events that the answer belongs to: EPOCH-NUMBER.",
        json!({"type": "string", "pattern": VERSION}),
        json!(super::examples::VERSION),
    )
}

fn header(
    name: &'static str,
    required: bool,
    description: &str,
    schema: Value,
    example: Value,
) -> Header {
    let header = json!({
        "description": description,
        "required": required,
        "schema": schema,
        "example": example,
    });
    (name, header)
}

/// The object of that name within another, which is made if it is missing.
pub(super) fn entry<'a>(object: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    if !object[name].is_object() {
        object[name] = Value::Object(Map::new());
    }
    object[name]
        .as_object_mut()
        .expect("it was made an object if it was none")
}

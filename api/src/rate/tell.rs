//! What the document says of the limit.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::PathItem;
use utoipa::openapi::{Object, OpenApi, Type};

use crate::error::error_response;
use crate::health::is_probe;

/// Adds to each operation that is counted what it answers to a client that asks too often.
pub(crate) fn tell(document: &mut OpenApi) {
    let response = error_response("The client asks too often; only where a limit is set.")
        .header("Retry-After", header(Type::Integer, RETRY_AFTER))
        .header("RateLimit-Policy", header(Type::String, POLICY))
        .header("RateLimit", header(Type::String, LIMIT))
        .build();
    let limited = |(path, _): &(&String, &mut PathItem)| !is_probe(path);
    for (_, item) in document.paths.paths.iter_mut().filter(limited) {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            responses.insert("429".to_owned(), response.clone().into());
        }
    }
}

const RETRY_AFTER: &str = "Seconds after which there is one more request.";
const POLICY: &str = "The quota `q`, and the seconds `w` that bring it back, such as \
                      `\"default\";q=20;w=1`. On every other answer as well.";
const LIMIT: &str = "The requests `r` that remain, and the seconds `t` until there are more, such \
                     as `\"default\";r=0;t=1`. On every other answer as well.";

fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(Object::with_type(kind)))
        .description(Some(description))
        .build()
}

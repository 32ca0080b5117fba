//! What the document says of the admin routes besides what each does.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Object, OpenApi, Ref, RefOr, Response, ResponseBuilder, Type,
};
use utoipa::{IntoResponses, Modify, ToSchema};

use super::Refused;
use crate::error::ErrorEnvelope;

/// How the token is shown.
pub(crate) struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some(
            "The token that the operator has set. Without one, these routes answer 404.".to_owned(),
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// What every admin route can answer instead.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [
            (
                "The body is not what the route takes.",
                Refused::MalformedBody { example: "{}" },
            ),
            ("The token is missing or wrong.", Refused::Unauthorized),
            (
                "There is no such provider, or no token is set.",
                Refused::NoSuchProvider { name: name() },
            ),
            (
                "The provider is retired.",
                Refused::ProviderRetired { name: name() },
            ),
            ("The body is not JSON.", Refused::NotJson),
        ]
        .map(|(description, refused)| response(description, &refused))
        .into()
    }
}

fn response(description: &str, refused: &Refused) -> (String, RefOr<Response>) {
    let schema = Ref::from_schema_name(ErrorEnvelope::name());
    let content = ContentBuilder::new().schema(Some(schema));
    let mut response = ResponseBuilder::new()
        .description(description)
        .content("application/json", content.build());
    if *refused == Refused::Unauthorized {
        let challenge = HeaderBuilder::new()
            .schema(Some(Object::with_type(Type::String)))
            .description(Some("How to show the token."));
        response = response.header("WWW-Authenticate", challenge.build());
    }
    let status = refused.status().as_str().to_owned();
    (status, response.build().into())
}

fn name() -> String {
    "primary".to_owned()
}

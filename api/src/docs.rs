//! `/docs`: a page that shows the document, from files inside the binary.
//!
//! Swagger UI would ask a public host to validate the document. That is switched off, and the
//! page's headers let the browser load nothing from elsewhere, see [`secure`].

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use utoipa_swagger_ui::Config;

use crate::error::Failures;
use crate::{Error, secure};

/// This API as a page to read and try
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "getDocs",
    tag = "documentation",
    responses(
        (status = 303, description = "The page is at /docs/, so that its files are found.",
         headers(("Location" = String, description = "The page."))),
        Failures,
    )
)]
pub(crate) async fn docs() -> Redirect {
    Redirect::to("/docs/")
}

/// The page itself.
pub(crate) async fn page() -> Result<Response, Error> {
    file_named("index.html")
}

/// A file that the page loads.
pub(crate) async fn file(name: Result<Path<String>, PathRejection>) -> Result<Response, Error> {
    let Path(name) = name.map_err(|_| Error::NoSuchRoute)?;
    file_named(&name)
}

fn file_named(name: &str) -> Result<Response, Error> {
    let config = Config::new(["/openapi.json"]).validator_url("none");
    let file = utoipa_swagger_ui::serve(name, Arc::new(config))
        .map_err(|error| Error::Docs(error.to_string().into()))?
        .ok_or(Error::NoSuchRoute)?;
    let content_type =
        HeaderValue::try_from(file.content_type).map_err(|error| Error::Docs(error.into()))?;
    let content_type = [(header::CONTENT_TYPE, content_type)];
    let mut response = (content_type, file.bytes.into_owned()).into_response();
    secure::page(response.headers_mut());
    Ok(response)
}

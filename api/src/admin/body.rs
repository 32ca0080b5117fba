//! The JSON that a request may bring.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use serde::de::DeserializeOwned;

use super::Refused;
use crate::Error;
use crate::limits::BODY_BYTES;

/// What a request's body asks for; what nothing asks for if there is none.
///
/// # Errors
/// [`Error::BodyTooLarge`], however the body comes, and [`Refused`] for what is not such JSON;
/// `example` is.
pub(crate) async fn read<T: DeserializeOwned + Default>(
    request: Request,
    example: &'static str,
) -> Result<T, Error> {
    let is_json = is_json(&request);
    let body = whole(request.into_body()).await?;
    if body.is_empty() {
        return Ok(T::default());
    }
    if !is_json {
        return Err(Refused::NotJson.into());
    }
    // A list of the fields' values would do as well.
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    match serde_json::from_slice(&body) {
        Ok(asked) if is_object => Ok(asked),
        _ => Err(Refused::MalformedBody { example }.into()),
    }
}

fn is_json(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
}

/// The body in one piece. Its length may be told beforehand, or not be known until it is over.
async fn whole(body: Body) -> Result<Vec<u8>, Error> {
    use futures::TryStreamExt;

    let limit = BODY_BYTES;
    let mut read = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.try_next().await.map_err(|_| Refused::CutOff)? {
        if (read.len() + chunk.len()) as u64 > limit {
            return Err(Error::BodyTooLarge { limit });
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read)
}

//! Why an admin route does not do what it was asked for.

use axum::http::StatusCode;

/// Each says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The request does not show the token.
    #[error("this address takes the admin token alone: send it as `Authorization: Bearer TOKEN`")]
    Unauthorized,
    /// There is no provider of that name.
    #[error("there is no provider `{name}`: `GET /v1/providers` tells which there are")]
    NoSuchProvider {
        /// As it was sent, shortened.
        name: String,
    },
    /// It was removed.
    #[error(
        "the provider `{name}` is retired: bring it back first with `fanfare provider apply FILE`"
    )]
    ProviderRetired {
        /// Which.
        name: String,
    },
    /// It must not be synced.
    #[error(
        "the provider `{name}` is paused ({reason}): resume it first with \
         `POST /v1/providers/{name}/resume`"
    )]
    ProviderPaused {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// A body of another kind.
    #[error("the body is not JSON: send `Content-Type: application/json`, or no body")]
    NotJson,
    /// A body that is not what the route takes.
    #[error("the body is not what this address takes: send JSON such as {example}, or no body")]
    MalformedBody {
        /// What it takes.
        example: &'static str,
    },
    /// A reason that can't be shown.
    #[error(
        "the reason is empty, has more than {limit} characters, or has some that don't print: \
         send a short line of text"
    )]
    MalformedReason {
        /// In characters.
        limit: usize,
    },
    /// The body ended too early.
    #[error("the body ended before it was over: send the request again")]
    CutOff,
}

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NoSuchProvider { .. } => StatusCode::NOT_FOUND,
            Self::ProviderRetired { .. } | Self::ProviderPaused { .. } => StatusCode::CONFLICT,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::MalformedBody { .. } | Self::MalformedReason { .. } | Self::CutOff => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NoSuchProvider { .. } => "no_such_provider",
            Self::ProviderRetired { .. } => "provider_retired",
            Self::ProviderPaused { .. } => "provider_paused",
            Self::NotJson => "unsupported_media_type",
            Self::MalformedBody { .. } | Self::CutOff => "malformed_body",
            Self::MalformedReason { .. } => "malformed_reason",
        }
    }
}

//! What the admin routes do to the database: each asks the primary what is, and writes there.
//!
//! The outer error is the database's, the inner one the client's.

use entity::fan_out::{self, Trigger};
use entity::provider::{self, Found, Model};
use entity::{Database, DbErr};
use uuid::Uuid;

use super::{ProviderState, Refused, Standing};

/// Asks the schedulers for a fan-out of that provider alone, in the trace of the request.
pub(super) async fn sync(
    db: &Database,
    name: &str,
    accept_gone: bool,
) -> Result<Result<Uuid, Refused>, DbErr> {
    let provider = match existing(db, name).await? {
        Ok(provider) => provider,
        Err(refused) => return Ok(Err(refused)),
    };
    if let Some(reason) = provider.paused_reason {
        let name = provider.name;
        return Ok(Err(Refused::ProviderPaused { name, reason }));
    }
    let traceparent = telemetry::traceparent();
    let request = fan_out::Request {
        trigger: Trigger::Api,
        traceparent: traceparent.as_deref(),
        providers: &[provider.id],
        accept_gone,
    };
    fan_out::request(db, request).await.map(Ok)
}

/// What a pause without a reason says.
const NO_REASON: &str = "paused over the API";

/// Pauses that provider for good, in the name of `by`. One that is so already is left alone, so that
/// a request may be repeated.
pub(super) async fn pause(
    db: &Database,
    name: &str,
    reason: Option<&str>,
    by: &str,
) -> Result<Result<ProviderState, Refused>, DbErr> {
    let provider = match existing(db, name).await? {
        Ok(provider) => provider,
        Err(refused) => return Ok(Err(refused)),
    };
    let present = provider.paused_reason.as_deref();
    let reason = reason.or(present).unwrap_or(NO_REASON);
    let done = provider.paused_until.is_none() && present == Some(reason);
    if !done && provider::pause(db, name, reason, by).await? == Found::No {
        return Ok(Err(no_such_provider(name)));
    }
    Ok(Ok(ProviderState {
        state: Standing::Paused,
        paused_reason: Some(reason.to_owned()),
        name: provider.name,
    }))
}

/// Lifts that provider's pause. One that is not paused is left alone: to be due at once is what it
/// would get otherwise, time and again.
pub(super) async fn resume(
    db: &Database,
    name: &str,
) -> Result<Result<ProviderState, Refused>, DbErr> {
    let provider = match existing(db, name).await? {
        Ok(provider) => provider,
        Err(refused) => return Ok(Err(refused)),
    };
    let done = provider.paused_at.is_none();
    if !done && provider::resume(db, name).await? == Found::No {
        return Ok(Err(no_such_provider(name)));
    }
    Ok(Ok(ProviderState {
        state: Standing::Active,
        paused_reason: None,
        name: provider.name,
    }))
}

/// The provider of that name, if it was not removed. The primary is asked: a replica may be late.
async fn existing(db: &Database, name: &str) -> Result<Result<Model, Refused>, DbErr> {
    Ok(match provider::by_name(&db.write, name).await? {
        None => Err(no_such_provider(name)),
        Some(Model {
            name,
            retired_at: Some(_),
            ..
        }) => Err(Refused::ProviderRetired { name }),
        Some(provider) => Ok(provider),
    })
}

fn no_such_provider(name: &str) -> Refused {
    const SHOWN_CHARS: usize = 40;
    let name = name.chars().take(SHOWN_CHARS).collect();
    Refused::NoSuchProvider { name }
}

const REASON_CHARS: usize = 200;

/// A reason that fits into a line wherever it is shown.
///
/// # Errors
/// [`Refused::MalformedReason`].
pub(super) fn reason(given: &str) -> Result<&str, Refused> {
    let reason = given.trim();
    let is_long = given.chars().count() > REASON_CHARS;
    if reason.is_empty() || is_long || given.chars().any(char::is_control) {
        let limit = REASON_CHARS;
        return Err(Refused::MalformedReason { limit });
    }
    Ok(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_short_line() {
        assert_eq!(reason(" they asked us\u{a0}"), Ok("they asked us"));
        assert!(reason(&"é".repeat(200)).is_ok());
        for bad in [
            "",
            " ",
            "two\nlines",
            "line\n",
            "bell\u{7}",
            &"é".repeat(201),
        ] {
            let refused = reason(bad).unwrap_err();
            assert_eq!(refused.code(), "malformed_reason", "{bad:?}");
        }
    }

    #[test]
    fn a_long_name_is_not_repeated_in_full() {
        let refused = no_such_provider(&"x".repeat(5000)).to_string();
        assert!(refused.len() < 200, "{refused}");
    }
}

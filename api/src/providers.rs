//! `GET /v1/providers`: where events come from, and how fresh they are.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use entity::provider::Summary;
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use crate::error::{ErrorEnvelope, Failures};
use crate::render::{Envelope, json_of};
use crate::{Context, Error, query};

/// Lists the providers and how fresh their events are
///
/// By name, without those that were retired.
#[utoipa::path(
    get,
    path = "/v1/providers",
    operation_id = "listProviders",
    tag = "providers",
    responses(
        (status = 200, description = "The providers.", body = Envelope<ProviderList>,
         headers(("Dataset-Version" = String,
                  description = "State of the events that the answer belongs to, or one that \
                                 was there right before: EPOCH-NUMBER."))),
        (status = 400, description = "There are parameters.", body = ErrorEnvelope),
        Failures,
    )
)]
pub(crate) async fn providers(
    State(context): State<Context>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    query::nothing(query.as_deref())?;
    // First the version: what is counted is then at least as new as what the header says.
    let version = context.version().await?;
    let summaries = context
        .read(entity::provider::list(&context.db().read))
        .await?;
    let providers = summaries.into_iter().map(Provider::from).collect();
    let body = Envelope::new(ProviderList { providers });
    Ok(json_of(version, body.to_json()))
}

/// The providers, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderList {
    providers: Vec<Provider>,
}

/// A source of events. Its feed's address and its last error stay inside: they can hold secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Provider {
    /// The stable key.
    name: String,
    /// Host, and port if it is not the scheme's own, of its feed.
    host: String,
    /// What its feed is written in.
    format: String,
    /// Seconds from one visit to the next.
    #[schema(value_type = f64, example = json!(900))]
    interval_seconds: serde_json::Number,
    /// The zone of the feed's naive times.
    timezone: String,
    /// Events that its feed has, or had when it was last read.
    events: i64,
    /// Events that have left its feed.
    events_gone: i64,
    /// When its feed was last read as a whole, or found unchanged.
    #[schema(required)]
    last_success_at: Option<DateTime<Utc>>,
    /// When it is next due.
    next_due_at: DateTime<Utc>,
    /// Whether its last success is older than twice its interval, or there was none.
    stale: bool,
    /// Why its syncs are paused, if they are.
    #[schema(required)]
    paused_reason: Option<String>,
    /// Failed runs since the last good one.
    consecutive_failures: i64,
}

impl From<Summary> for Provider {
    fn from(summary: Summary) -> Self {
        Self {
            host: host(&summary.url),
            interval_seconds: seconds(summary.interval_ms),
            name: summary.name,
            format: summary.format,
            timezone: summary.timezone,
            events: summary.events,
            events_gone: summary.events_gone,
            last_success_at: summary.last_success_at,
            next_due_at: summary.next_due_at,
            stale: summary.stale,
            paused_reason: summary.paused_reason,
            consecutive_failures: summary.consecutive_failures,
        }
    }
}

fn host(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return String::new();
    };
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Whole where it can be.
fn seconds(ms: i64) -> serde_json::Number {
    let whole = serde_json::Number::from(ms / 1000);
    if ms % 1000 == 0 {
        return whole;
    }
    // Milliseconds of any interval that a provider can have are exact in a float.
    #[expect(clippy::cast_precision_loss, reason = "at most a year of milliseconds")]
    serde_json::Number::from_f64(ms as f64 / 1000.0).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_its_host_and_nothing_else() {
        let url = "https://user:secret@feeds.example:8443/secret?key=secret#secret";
        assert_eq!(host(url), "feeds.example:8443");
        assert_eq!(host("https://feeds.example/x"), "feeds.example");
        assert_eq!(host("secret"), "");
    }

    #[test]
    fn an_interval_is_whole_seconds_where_it_can_be() {
        assert_eq!(seconds(900_000).to_string(), "900");
        assert_eq!(seconds(1_500).to_string(), "1.5");
    }
}

//! `GET /v1/providers`: where events come from, and how fresh they are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderValue, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use entity::dataset::Version;
use entity::provider::Freshness;
use entity::search::ProviderCounts;
use futures::FutureExt;
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;
use utoipa::ToSchema;

use crate::encoding::Encoding;
use crate::error::{ErrorEnvelope, Failures};
use crate::flight::Flights;
use crate::reader::{Layer, compress, source};
use crate::render::{DATASET_VERSION, Envelope, dataset_version};
use crate::respond::{mark, record};
use crate::standing::Standing;
use crate::{Context, Error, query};

/// Lists the providers and how fresh their events are
///
/// By name, without those that were retired. Freshness comes from syncs, not from events: it is not
/// tied to the version that the header `Dataset-Version` names, and at most a quarter of a second old.
#[utoipa::path(
    get,
    path = "/v1/providers",
    operation_id = "listProviders",
    tag = "providers",
    responses(
        (status = 200, description = "The providers.", body = Envelope<ProviderList>),
        (status = 400, description = "There are parameters.", body = ErrorEnvelope),
        Failures,
    )
)]
pub(crate) async fn providers(
    State(context): State<Context>,
    request: Request,
) -> Result<Response<Body>, Error> {
    let (request, _) = request.into_parts();
    query::nothing(request.uri.query())?;
    let standing = context.standing().await?;
    let (listed, layer, stale_for) = listed(&context, &standing).await?;
    record(layer, listed.version);
    let encoding = Encoding::negotiate(request.headers.get_all(ACCEPT_ENCODING));
    let coded = listed.coded(encoding).await;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(DATASET_VERSION, dataset_version(listed.version));
    let told = context.for_caches();
    headers.insert(CACHE_CONTROL, told.control.clone());
    headers.insert(VARY, told.vary.clone());
    if coded.is_some()
        && let Some(name) = encoding.name()
    {
        headers.insert(CONTENT_ENCODING, name);
    }
    mark(headers, layer, stale_for);
    *response.body_mut() = coded.unwrap_or_else(|| listed.body.clone()).into();
    Ok(response)
}

/// For how long a list is given out before it is read anew.
const FRESH: Duration = Duration::from_millis(250);

/// The last list, and what it was made from.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    reading: Flights<Result<Arc<Listed>, Arc<Error>>>,
    last: Mutex<Option<Arc<Listed>>>,
}

/// A list of all providers.
#[derive(Debug)]
pub(crate) struct Listed {
    version: Version,
    /// Of that version: they change only with it, and to count takes a walk through all events.
    counts: Arc<[ProviderCounts]>,
    at: Instant,
    body: Bytes,
    /// Made when they are first asked for.
    coded: [OnceCell<Option<Bytes>>; 3],
}

impl Listed {
    async fn coded(&self, encoding: Encoding) -> Option<Bytes> {
        let at = match encoding {
            Encoding::Identity => return None,
            Encoding::Br => 0,
            Encoding::Zstd => 1,
            Encoding::Gzip => 2,
        };
        let made = self.coded[at].get_or_init(|| compress(encoding, self.body.clone()));
        made.await.clone()
    }
}

impl Listing {
    fn last(&self) -> Option<Arc<Listed>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    fn replace(&self, listed: &Arc<Listed>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Arc::clone(listed));
    }
}

async fn listed(
    context: &Context,
    standing: &Arc<Standing>,
) -> Result<(Arc<Listed>, Layer, Option<Duration>), Error> {
    let last = context.listing().last();
    if let Some(last) = &last
        && last.at.elapsed() <= FRESH
        && standing.accepts(last.version)
    {
        return Ok((Arc::clone(last), Layer::Hit, standing.stale_for()));
    }
    let (context_, standing_) = (context.clone(), Arc::clone(standing));
    let name = format!("{} {}", standing.version.epoch, standing.version.number);
    let reading = context.listing().reading.join(name, move || {
        async move { read(&context_, &standing_).await.map_err(Arc::new) }.boxed()
    });
    match (reading.await, last) {
        (Ok(listed), _) => Ok((listed, Layer::Miss, None)),
        (Err(error), Some(last))
            if error.is_outage() && last.version.epoch == standing.version.epoch =>
        {
            let stale_for = last.at.elapsed();
            Ok((last, Layer::Hit, Some(stale_for)))
        }
        (Err(error), _) => Err(Error::Shared(error)),
    }
}

async fn read(context: &Context, standing: &Standing) -> Result<Arc<Listed>, Error> {
    let (_place, deadline) = context.enter().await?;
    let known = context.listing().last();
    let counted = known
        .filter(|known| known.version == standing.version)
        .map(|known| (known.version, Arc::clone(&known.counts)));
    let reading = source::of_standing(context, standing, deadline, |db, primary| {
        let (standing, counted) = (standing.clone(), counted.clone());
        async move {
            let (version, counts) = match counted {
                Some(counted) => counted,
                None => {
                    let (version, mut counts) = entity::search::counts(db.db()).await?;
                    source::check(&standing, version, primary)?;
                    // The database may sort names by the rules of a language.
                    counts.sort_by(|one, other| one.provider.cmp(&other.provider));
                    (version, counts.into())
                }
            };
            let freshness = entity::provider::freshness(db.db()).await?;
            Ok((version, counts, freshness))
        }
    });
    let (version, counts, freshness) = reading.await?;
    let providers = freshness
        .into_iter()
        .map(|provider| Provider::new(provider, &counts))
        .collect();
    let listed = Arc::new(Listed {
        version,
        counts,
        at: Instant::now(),
        body: Envelope::new(ProviderList { providers }).to_json().into(),
        coded: Default::default(),
    });
    context.listing().replace(&listed);
    Ok(listed)
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
    #[schema(
        example = "primary",
        pattern = "^[a-z0-9-]+$",
        min_length = 1,
        max_length = 100
    )]
    name: String,
    /// Host, and port if it is not the scheme's own, of its feed.
    host: String,
    /// What its feed is written in.
    format: String,
    /// Seconds from one visit to the next.
    #[schema(value_type = f64, example = json!(900), minimum = 1)]
    interval_seconds: serde_json::Number,
    /// The zone of the feed's naive times.
    timezone: String,
    /// Events that its feed has, or had when it was last read.
    #[schema(minimum = 0)]
    events: i64,
    /// Events that have left its feed.
    #[schema(minimum = 0)]
    events_gone: i64,
    /// When its feed was last read as a whole, or found unchanged.
    #[schema(required)]
    last_success_at: Option<DateTime<Utc>>,
    /// When it is next due.
    next_due_at: DateTime<Utc>,
    /// Whether its last success is older than twice its interval, or there was none.
    stale: bool,
    /// Whether its syncs are paused.
    paused: bool,
    /// Why, if they are.
    #[schema(required)]
    paused_reason: Option<String>,
    /// Failed runs since the last good one.
    #[schema(minimum = 0)]
    consecutive_failures: i64,
}

impl Provider {
    /// `counts` come by name.
    fn new(provider: Freshness, counts: &[ProviderCounts]) -> Self {
        let counted = counts
            .binary_search_by(|counts| counts.provider.cmp(&provider.name))
            .ok()
            .map(|at| &counts[at]);
        Self {
            host: host(&provider.url),
            interval_seconds: seconds(provider.interval_ms),
            events: counted.map_or(0, |counts| counts.events),
            events_gone: counted.map_or(0, |counts| counts.events_gone),
            name: provider.name,
            format: provider.format,
            timezone: provider.timezone,
            last_success_at: provider.last_success_at,
            next_due_at: provider.next_due_at,
            stale: provider.stale,
            paused: provider.paused,
            paused_reason: provider.paused_reason,
            consecutive_failures: provider.consecutive_failures,
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

//! The API as a client sees it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

/// A safety net: it takes half a second at most.
const ADOPTED: Duration = Duration::from_secs(20);

/// One process' API.
pub(crate) struct Api {
    origin: String,
    client: reqwest::Client,
    searches: AtomicU32,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) dataset_version: Option<i64>,
    pub(crate) body: String,
}

impl Api {
    pub(crate) fn new(origin: &str) -> Self {
        // Another test of this process may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            origin: origin.to_owned(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            searches: AtomicU32::new(0),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let answer = self.try_get(path).await;
        answer.unwrap_or_else(|error| panic!("get {path}: {error}"))
    }

    pub(crate) async fn try_get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        let url = format!("{}{path}", self.origin);
        let response = self.client.get(url).send().await?;
        Ok(Answer {
            status: response.status().as_u16(),
            dataset_version: response.headers().get("dataset-version").map(|value| {
                let (_, number) = value.to_str().unwrap().rsplit_once('-').unwrap();
                number.parse().unwrap()
            }),
            body: response.text().await?,
        })
    }

    /// Asks an admin route for what it does, and gives the answer's status.
    pub(crate) async fn post(&self, path: &str, token: &str) -> u16 {
        let url = format!("{}{path}", self.origin);
        let request = self.client.post(url).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    }

    /// What a search finds now; `query` is empty or begins with a question mark.
    ///
    /// For a moment after a commit the API may give the last answer to a question. To this one there is
    /// none: it asks for what has changed since a different instant each time, all of them long ago.
    pub(crate) async fn search(&self, query: &str) -> Vec<Summary> {
        self.found(query).await.data::<Events>().events
    }

    async fn found(&self, query: &str) -> Answer {
        let long_ago = self.searches.fetch_add(1, Ordering::Relaxed);
        let joint = if query.is_empty() { '?' } else { '&' };
        let since = format!("{joint}updated_since=1970-01-01T00:00:00.{long_ago:06}Z");
        self.get(&format!("/v1/events/search{query}{since}")).await
    }

    /// The event as it is now.
    pub(crate) async fn event(&self, id: Uuid) -> Details {
        let now = self.found("?limit=1").await.dataset_version;
        let mut event = None;
        testkit::eventually(ADOPTED, "the API knows the newest version", async || {
            let answer = self.get(&format!("/v1/events/{id}")).await;
            let known = answer.dataset_version >= now;
            event = Some(answer);
            known
        })
        .await;
        event.unwrap().data()
    }
}

impl Answer {
    /// What stands in the envelope.
    pub(crate) fn data<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str::<Envelope<T>>(&self.body)
            .unwrap()
            .data
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Summary>,
}

/// An event as a search shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Summary {
    pub(crate) id: Uuid,
    pub(crate) title: String,
    pub(crate) start_date: NaiveDate,
    pub(crate) start_time: NaiveTime,
    pub(crate) end_date: Option<NaiveDate>,
    pub(crate) end_time: Option<NaiveTime>,
    pub(crate) min_price: Option<Price>,
    pub(crate) max_price: Option<Price>,
}

/// Everything about one event.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Details {
    pub(crate) id: Uuid,
    pub(crate) provider: String,
    pub(crate) base_id: String,
    pub(crate) event_id: String,
    pub(crate) title: String,
    pub(crate) start_date: NaiveDate,
    pub(crate) start_time: NaiveTime,
    pub(crate) end_date: Option<NaiveDate>,
    pub(crate) end_time: Option<NaiveTime>,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: Option<DateTime<Utc>>,
    pub(crate) min_price: Option<Price>,
    pub(crate) max_price: Option<Price>,
    pub(crate) sell_from: Option<DateTime<Utc>>,
    pub(crate) sell_to: Option<DateTime<Utc>>,
    pub(crate) sold_out: bool,
    pub(crate) sell_mode: String,
    pub(crate) ever_online: bool,
    pub(crate) organizer_company_id: Option<String>,
    pub(crate) zones: Vec<Zone>,
    #[serde(rename = "gone_at", deserialize_with = "is_there")]
    pub(crate) gone: bool,
}

/// A part of the venue with its price.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Zone {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) capacity: Option<u64>,
    pub(crate) price: Option<Price>,
    pub(crate) numbered: Option<bool>,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let at = Option::<DateTime<Utc>>::deserialize(deserializer)?;
    Ok(at.is_some())
}

/// In ten-thousandths, read from the JSON's digits so that no float comes between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Price(pub(crate) i64);

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = Box::<RawValue>::deserialize(deserializer)?;
        let (units, parts) = digits.get().split_once('.').unwrap_or((digits.get(), ""));
        format!("{units}{parts:0<4}")
            .parse()
            .map(Self)
            .map_err(D::Error::custom)
    }
}

//! From rows to JSON. Nothing here knows the database or HTTP's requests.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use entity::dataset::Version;
use entity::search::Found;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, Type};
use uuid::Uuid;

/// The header that names the state of the events an answer belongs to, as `EPOCH-NUMBER`.
pub(crate) const DATASET_VERSION: HeaderName = HeaderName::from_static("dataset-version");

/// The epoch is a UUID and the number a decimal one, split by the last hyphen.
pub(crate) fn dataset_version(version: Version) -> HeaderValue {
    HeaderValue::try_from(format!("{}-{}", version.epoch, version.number))
        .expect("hexadecimal digits, hyphens and decimal digits may stand in a header")
}

/// An answer whose body is the JSON `body` and that belongs to `version`.
pub(crate) fn json_of(version: Version, body: Vec<u8>) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (DATASET_VERSION, dataset_version(version)),
    ];
    (headers, body).into_response()
}

/// What every answer looks like that is no error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Envelope<T> {
    /// What was asked for.
    data: T,
    /// Always null.
    #[schema(value_type = Option<Object>, required)]
    error: Nothing,
}

impl<T: Serialize> Envelope<T> {
    pub(crate) fn new(data: T) -> Self {
        let error = Nothing;
        Self { data, error }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("answers are made of strings, numbers and lists")
    }
}

/// A JSON null.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing;

/// Writes a search's answer event by event, so that only its text is held.
#[derive(Debug)]
pub(crate) struct SearchBody {
    json: Vec<u8>,
    events: usize,
}

impl SearchBody {
    pub(crate) fn new() -> Self {
        Self {
            json: br#"{"data":{"events":["#.to_vec(),
            events: 0,
        }
    }

    pub(crate) fn push(&mut self, found: Found) {
        if self.events > 0 {
            self.json.push(b',');
        }
        self.events += 1;
        serde_json::to_writer(&mut self.json, &EventSummary::from(found))
            .expect("events are made of strings and numbers");
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.json.extend_from_slice(br#"]},"error":null}"#);
        self.json
    }
}

/// The events of a search, by start and then id.
#[derive(ToSchema)]
#[expect(dead_code, reason = "told in the document; `SearchBody` writes it")]
pub(crate) struct EventList {
    events: Vec<EventSummary>,
}

/// An event as a search shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventSummary {
    /// Identifier of the event, for ever.
    id: Uuid,
    /// Title of the event.
    title: String,
    /// Date when the event starts, in local time.
    start_date: NaiveDate,
    /// Time when the event starts, in local time.
    #[schema(value_type = Option<String>, format = "time", required, example = "22:38:19")]
    start_time: LocalTime,
    /// Date when the event ends, in local time.
    #[schema(required)]
    end_date: Option<NaiveDate>,
    /// Time when the event ends, in local time.
    #[schema(value_type = Option<String>, format = "time", required, example = "14:45:15")]
    end_time: Option<LocalTime>,
    /// The least price of all zones.
    #[schema(schema_with = nullable_price, required)]
    min_price: Option<Price>,
    /// The greatest price of all zones.
    #[schema(schema_with = nullable_price, required)]
    max_price: Option<Price>,
}

impl From<Found> for EventSummary {
    fn from(found: Found) -> Self {
        Self {
            id: found.id,
            title: found.title,
            start_date: found.starts_local.date(),
            start_time: LocalTime(found.starts_local.time()),
            end_date: found.ends_local.as_ref().map(NaiveDateTime::date),
            end_time: found.ends_local.map(|at| LocalTime(at.time())),
            min_price: found.min_price.map(Price),
            max_price: found.max_price.map(Price),
        }
    }
}

/// How the document tells of an `Option<Price>`.
pub(crate) fn nullable_price() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Number, Type::Null]))
        .description(Some(
            "In the currency's unit, exact, with two to four decimals.",
        ))
}

/// A time of day as `HH:MM:SS`.
#[derive(Debug)]
pub(crate) struct LocalTime(pub(crate) NaiveTime);

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = self.0;
        let [hour, minute, second] = [time.hour(), time.minute(), time.second()];
        serializer.collect_str(&format_args!("{hour:02}:{minute:02}:{second:02}"))
    }
}

/// A price in ten-thousandths, written as an exact JSON number with two to four decimals.
#[derive(Debug)]
pub(crate) struct Price(pub(crate) i64);

impl Price {
    fn text(&self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let amount = self.0.unsigned_abs();
        let (units, parts) = (amount / 10_000, amount % 10_000);
        let mut text = format!("{sign}{units}.{parts:04}");
        for _ in 0..2 {
            if text.ends_with('0') {
                text.pop();
            }
        }
        text
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.text())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            id: "dd8d2fd1-87f2-55d4-9464-032d553cbb6f".parse().unwrap(),
            title: "Camela \"en\" concierto".into(),
            starts_local: "2021-06-30T21:00:00".parse().unwrap(),
            ends_local: Some("2021-06-30T22:05:09.5".parse().unwrap()),
            min_price: Some(150_000),
            max_price: Some(305_000),
        }
    }

    #[test]
    fn a_search_is_written_as_the_contract_has_it() {
        let mut body = SearchBody::new();
        body.push(found());
        body.push(Found {
            ends_local: None,
            min_price: None,
            max_price: None,
            ..found()
        });
        let text = String::from_utf8(body.finish()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"data":{"events":["#,
                r#"{"id":"dd8d2fd1-87f2-55d4-9464-032d553cbb6f","title":"Camela \"en\" concierto","#,
                r#""start_date":"2021-06-30","start_time":"21:00:00","#,
                r#""end_date":"2021-06-30","end_time":"22:05:09","#,
                r#""min_price":15.00,"max_price":30.50},"#,
                r#"{"id":"dd8d2fd1-87f2-55d4-9464-032d553cbb6f","title":"Camela \"en\" concierto","#,
                r#""start_date":"2021-06-30","start_time":"21:00:00","#,
                r#""end_date":null,"end_time":null,"min_price":null,"max_price":null}"#,
                r#"]},"error":null}"#
            )
        );
    }

    #[test]
    fn a_search_without_events_is_written_as_the_contract_has_it() {
        let text = String::from_utf8(SearchBody::new().finish()).unwrap();
        assert_eq!(text, r#"{"data":{"events":[]},"error":null}"#);
    }

    #[test]
    fn a_price_is_exact_with_two_to_four_decimals() {
        for (price, text) in [
            (0, "0.00"),
            (1, "0.0001"),
            (1234, "0.1234"),
            (1230, "0.123"),
            (1200, "0.12"),
            (1000, "0.10"),
            (200_000, "20.00"),
            (-5_000, "-0.50"),
            (i64::MAX, "922337203685477.5807"),
            (i64::MIN, "-922337203685477.5808"),
        ] {
            assert_eq!(serde_json::to_string(&Price(price)).unwrap(), text);
        }
    }

    #[test]
    fn the_dataset_version_names_epoch_and_number() {
        let version = Version {
            epoch: Uuid::from_u128(1),
            number: 42,
        };
        assert_eq!(
            dataset_version(version),
            "00000000-0000-0000-0000-000000000001-42"
        );
    }
}

//! From rows to JSON. Nothing here knows the database or HTTP's requests.

use std::io::Write;

use axum::http::{HeaderName, HeaderValue};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use entity::dataset::Version;
use entity::search::Found;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, Type};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::event::ZoneDetails;

/// The header that names the state of the events an answer belongs to, as `EPOCH-NUMBER`.
pub(crate) const DATASET_VERSION: HeaderName = HeaderName::from_static("dataset-version");

/// The epoch is a UUID and the number a decimal one, split by the last hyphen.
pub(crate) fn dataset_version(version: Version) -> HeaderValue {
    HeaderValue::try_from(format!("{}-{}", version.epoch, version.number))
        .expect("hexadecimal digits, hyphens and decimal digits may stand in a header")
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
///
/// By hand, for this is most of what an answer that is not cached costs; [`EventSummary`] tells the
/// document of it, and a test holds one against the other.
#[derive(Debug)]
pub(crate) struct SearchBody {
    json: Vec<u8>,
    events: u64,
}

impl SearchBody {
    pub(crate) fn new() -> Self {
        const USUAL: usize = 8 * 1024;
        let mut json = Vec::with_capacity(USUAL);
        json.extend_from_slice(br#"{"data":{"events":["#);
        Self { json, events: 0 }
    }

    /// How many events were written.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// How much text is held.
    pub(crate) fn bytes(&self) -> usize {
        self.json.len()
    }

    /// The text so far, which is let go.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.json)
    }

    pub(crate) fn push(&mut self, found: &Found) {
        let json = &mut self.json;
        if self.events > 0 {
            json.push(b',');
        }
        self.events += 1;
        json.extend_from_slice(br#"{"id":""#);
        let mut id = [0; Hyphenated::LENGTH];
        json.extend_from_slice(found.id.hyphenated().encode_lower(&mut id).as_bytes());
        json.extend_from_slice(br#"","title":"#);
        to_json(json, &found.title);
        date_and_time(json, "start", Some(found.starts_local));
        date_and_time(json, "end", found.ends_local);
        price(json, "min_price", found.min_price);
        price(json, "max_price", found.max_price);
        if let Some(zones) = &found.zones {
            json.extend_from_slice(br#","zones":"#);
            let zones: Vec<ZoneDetails> = zones.0.iter().cloned().map(ZoneDetails::from).collect();
            to_json(json, &zones);
        }
        json.push(b'}');
    }

    /// The rest of the text.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.json.extend_from_slice(br#"]},"error":null}"#);
        // It may be kept for long.
        self.json.shrink_to_fit();
        self.json
    }

    /// The rest of the text, with where to go on.
    pub(crate) fn finish_page(mut self, next: Option<&str>) -> Vec<u8> {
        let json = &mut self.json;
        json.extend_from_slice(br#"]},"error":null,"meta":{"next_cursor":"#);
        to_json(json, &next);
        json.extend_from_slice(b"}}");
        json.shrink_to_fit();
        self.json
    }
}

fn to_json(json: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(json, value).expect("answers are made of strings, numbers and lists");
}

fn date_and_time(json: &mut Vec<u8>, which: &str, at: Option<NaiveDateTime>) {
    let field = |json: &mut Vec<u8>, kind: &str| {
        json.extend_from_slice(b",\"");
        json.extend_from_slice(which.as_bytes());
        json.extend_from_slice(kind.as_bytes());
    };
    let Some(at) = at else {
        field(json, "_date\":null");
        field(json, "_time\":null");
        return;
    };
    field(json, "_date\":\"");
    match u32::try_from(at.year()) {
        Ok(year @ 0..=9999) => {
            two_digits(json, year / 100);
            two_digits(json, year % 100);
            for part in [at.month(), at.day()] {
                json.push(b'-');
                two_digits(json, part);
            }
        }
        // As ISO 8601 writes years that need more than four digits.
        _ => json.extend_from_slice(at.date().to_string().as_bytes()),
    }
    json.push(b'"');
    field(json, "_time\":\"");
    two_digits(json, at.hour());
    for part in [at.minute(), at.second()] {
        json.push(b':');
        two_digits(json, part);
    }
    json.push(b'"');
}

fn two_digits(json: &mut Vec<u8>, number: u32) {
    let digit = |number: u32| b'0' + u8::try_from(number % 10).unwrap_or_default();
    json.extend_from_slice(&[digit(number / 10), digit(number)]);
}

fn price(json: &mut Vec<u8>, name: &str, price: Option<i64>) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
    match price {
        Some(price) => Price(price).write(json),
        None => json.extend_from_slice(b"null"),
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
    #[schema(value_type = Option<String>, format = "time", pattern = r"^[0-2][0-9]:[0-5][0-9]:[0-5][0-9]$", required, example = "22:38:19")]
    start_time: LocalTime,
    /// Date when the event ends, in local time.
    #[schema(required)]
    end_date: Option<NaiveDate>,
    /// Time when the event ends, in local time.
    #[schema(value_type = Option<String>, format = "time", pattern = r"^[0-2][0-9]:[0-5][0-9]:[0-5][0-9]$", required, example = "14:45:15")]
    end_time: Option<LocalTime>,
    /// The least price of all zones.
    #[schema(schema_with = nullable_price, required)]
    min_price: Option<Price>,
    /// The greatest price of all zones.
    #[schema(schema_with = nullable_price, required)]
    max_price: Option<Price>,
    /// Parts of the venue, in its provider's order; only with `include=zones`.
    #[serde(skip_serializing_if = "Option::is_none")]
    zones: Option<Vec<ZoneDetails>>,
}

#[cfg(test)]
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
            zones: found
                .zones
                .map(|zones| zones.0.into_iter().map(ZoneDetails::from).collect()),
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
    pub(crate) fn text(&self) -> String {
        let mut text = Vec::new();
        self.write(&mut text);
        text.into_iter().map(char::from).collect()
    }

    fn write(&self, json: &mut Vec<u8>) {
        if self.0 < 0 {
            json.push(b'-');
        }
        let amount = self.0.unsigned_abs();
        // Writing to a vector can't fail.
        let _ = write!(json, "{}.", amount / 10_000);
        let parts = u32::try_from(amount % 10_000).unwrap_or_default();
        two_digits(json, parts / 100);
        match parts % 100 {
            0 => {}
            tens if tens % 10 == 0 => json.push(b'0' + u8::try_from(tens / 10).unwrap_or_default()),
            rest => two_digits(json, rest),
        }
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
    use entity::event::{Zone, Zones};

    use super::*;

    fn found() -> Found {
        Found {
            id: "dd8d2fd1-87f2-55d4-9464-032d553cbb6f".parse().unwrap(),
            title: "Camela \"en\" concierto".into(),
            starts_at: "2021-06-30T19:00:00Z".parse().unwrap(),
            starts_local: "2021-06-30T21:00:00".parse().unwrap(),
            ends_local: Some("2021-06-30T22:05:09.5".parse().unwrap()),
            min_price: Some(150_000),
            max_price: Some(305_000),
            zones: None,
        }
    }

    #[test]
    fn a_search_is_written_as_the_contract_has_it() {
        let mut body = SearchBody::new();
        body.push(&found());
        body.push(&Found {
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
    fn what_is_written_by_hand_is_what_the_document_tells_of() {
        let odd = [
            found(),
            Found {
                title: "\"\\\u{0}\n\u{1f600}é".into(),
                starts_local: "0007-01-02T03:04:05.999".parse().unwrap(),
                ends_local: Some("9999-12-31T23:59:59".parse().unwrap()),
                min_price: Some(-1),
                max_price: Some(i64::MIN),
                ..found()
            },
            Found {
                starts_local: NaiveDate::from_ymd_opt(12_345, 6, 7)
                    .unwrap()
                    .and_time(NaiveTime::MIN),
                ends_local: None,
                zones: Some(Zones(vec![Zone {
                    id: Some("40".into()),
                    price: Some(200_000),
                    ..Zone::default()
                }])),
                ..found()
            },
        ];
        for found in odd {
            let mut body = SearchBody::new();
            body.push(&found);
            let written = String::from_utf8(body.finish()).unwrap();
            let expected = serde_json::to_string(&EventSummary::from(found)).unwrap();
            let expected = format!(r#"{{"data":{{"events":[{expected}]}},"error":null}}"#);
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn a_page_says_where_to_go_on() {
        for (next, expected) in [(None, "null"), (Some("abc"), r#""abc""#)] {
            let text = String::from_utf8(SearchBody::new().finish_page(next)).unwrap();
            let meta = format!(r#","meta":{{"next_cursor":{expected}}}}}"#);
            assert!(text.ends_with(&meta), "{text}");
        }
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

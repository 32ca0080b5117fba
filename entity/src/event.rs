//! Events: dated occurrences that can be attended, and what makes them the same or different.

use chrono::{DateTime, NaiveDateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, FromJsonQueryResult};
use serde::{Deserialize, Serialize};

use crate::dialect::{Dialect, columns};

/// Namespace of event ids: UUIDv5 (RFC 9562, section 5.5) of `fanfare:event` under the nil UUID.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x9e0f_c1b1_fc7c_52da_a5d8_7994_7b83_b2c0);

/// The stable id of an event: UUIDv5 under [`NAMESPACE`] of the compact JSON array
/// `["provider","base_id","event_id"]`.
pub fn id(provider: &str, base_id: &str, event_id: &str) -> Uuid {
    let name = serde_json::to_vec(&[provider, base_id, event_id])
        .expect("an array of strings has a JSON form");
    Uuid::new_v5(&NAMESPACE, &name)
}

/// Whether a base is sold online.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "lowercase")]
pub enum SellMode {
    /// Sold online.
    #[sea_orm(string_value = "online")]
    Online,
    /// Everything else.
    #[sea_orm(string_value = "offline")]
    Offline,
}

impl SellMode {
    /// The feeds' and the database's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// A part of the venue with its price, as its feed has it. This is the form that `event.zones`
/// keeps as JSON, in feed order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Zone {
    /// The feed's id; it can stand twice in one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i64>,
    /// In ten-thousandths of the currency's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<i64>,
    /// Whether its seats are numbered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbered: Option<bool>,
}

/// The zones of an event, in feed order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
#[serde(transparent)]
pub struct Zones(pub Vec<Zone>);

/// Everything that a feed says about one event: prices in ten-thousandths, times exact to the
/// microsecond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The feed's id of the base.
    pub base_id: String,
    /// The feed's id of the event, unique within its base.
    pub event_id: String,
    /// The base's title.
    pub title: String,
    /// When it starts.
    pub starts_at: DateTime<Utc>,
    /// When it ends, if the feed says so.
    pub ends_at: Option<DateTime<Utc>>,
    /// The start on a clock at the place.
    pub starts_local: NaiveDateTime,
    /// The end on a clock at the place.
    pub ends_local: Option<NaiveDateTime>,
    /// When its sale begins.
    pub sell_from: Option<DateTime<Utc>>,
    /// When its sale ends.
    pub sell_to: Option<DateTime<Utc>>,
    /// Whether nothing is left.
    pub sold_out: bool,
    /// The base's sell mode.
    pub sell_mode: SellMode,
    /// Who organizes it.
    pub organizer_company_id: Option<String>,
    /// The least price of all zones.
    pub min_price: Option<i64>,
    /// The greatest price of all zones.
    pub max_price: Option<i64>,
    /// In feed order.
    pub zones: Vec<Zone>,
}

/// Length of [`Content::digest`].
pub const DIGEST_BYTES: usize = 16;

impl Content {
    /// Adds a zone after those before it, and widens the price range by its price.
    pub fn push_zone(&mut self, zone: Zone) {
        if let Some(price) = zone.price {
            self.min_price = Some(self.min_price.map_or(price, |min| min.min(price)));
            self.max_price = Some(self.max_price.map_or(price, |max| max.max(price)));
        }
        self.zones.push(zone);
    }

    /// Tells contents apart: the first half of a BLAKE3 hash over every field.
    pub fn digest(&self) -> [u8; DIGEST_BYTES] {
        const USUAL: usize = 512;
        let mut hash = Digest(Vec::with_capacity(USUAL));
        hash.text(&self.base_id);
        hash.text(&self.event_id);
        hash.text(&self.title);
        hash.number(self.starts_at.timestamp_micros());
        hash.optional(self.ends_at.map(|at| at.timestamp_micros()));
        hash.number(self.starts_local.and_utc().timestamp_micros());
        hash.optional(self.ends_local.map(|at| at.and_utc().timestamp_micros()));
        hash.optional(self.sell_from.map(|at| at.timestamp_micros()));
        hash.optional(self.sell_to.map(|at| at.timestamp_micros()));
        hash.number(self.sold_out.into());
        hash.number((self.sell_mode == SellMode::Online).into());
        hash.optional_text(self.organizer_company_id.as_deref());
        hash.optional(self.min_price);
        hash.optional(self.max_price);
        for zone in &self.zones {
            hash.optional_text(zone.id.as_deref());
            hash.optional_text(zone.name.as_deref());
            hash.optional(zone.capacity);
            hash.optional(zone.price);
            hash.optional(zone.numbered.map(i64::from));
        }
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&blake3::hash(&hash.0).as_bytes()[..DIGEST_BYTES]);
        digest
    }
}

/// Gathers fields so that no two sequences of fields look alike: to hash them one by one takes twice
/// as long.
struct Digest(Vec<u8>);

impl Digest {
    fn number(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn optional(&mut self, number: Option<i64>) {
        self.0.push(u8::from(number.is_some()));
        self.number(number.unwrap_or_default());
    }

    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.0.push(u8::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }
}

/// An event's row.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
#[expect(
    missing_docs,
    reason = "the columns are told where the table is laid out"
)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub provider_id: i64,
    pub base_id: String,
    pub event_id: String,
    pub title: String,
    pub starts_at: DateTimeUtc,
    pub ends_at: Option<DateTimeUtc>,
    pub starts_local: NaiveDateTime,
    pub ends_local: Option<NaiveDateTime>,
    pub sell_from: Option<DateTimeUtc>,
    pub sell_to: Option<DateTimeUtc>,
    pub sold_out: bool,
    pub sell_mode: SellMode,
    pub ever_online: bool,
    pub organizer_company_id: Option<String>,
    pub min_price: Option<i64>,
    pub max_price: Option<i64>,
    #[sea_orm(column_type = "JsonBinary")]
    pub zones: Zones,
    pub digest: Vec<u8>,
    pub first_seen_at: DateTimeUtc,
    pub changed_at: DateTimeUtc,
    pub gone_at: Option<DateTimeUtc>,
    pub missing_since: Option<DateTimeUtc>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
#[expect(missing_docs, reason = "no relations are followed")]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// What its feed said of it last.
    pub fn into_content(self) -> Content {
        Content {
            base_id: self.base_id,
            event_id: self.event_id,
            title: self.title,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            starts_local: self.starts_local,
            ends_local: self.ends_local,
            sell_from: self.sell_from,
            sell_to: self.sell_to,
            sold_out: self.sold_out,
            sell_mode: self.sell_mode,
            organizer_company_id: self.organizer_company_id,
            min_price: self.min_price,
            max_price: self.max_price,
            zones: self.zones.0,
        }
    }
}

/// The stored rows of `ids`, in no order.
///
/// # Errors
/// Whatever the database answers.
pub async fn by_ids(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Model>, DbErr> {
    let dialect = Dialect::of(db);
    let sql = format!(
        "SELECT {} FROM event e WHERE e.id {}",
        columns::<Column>("e"),
        dialect.in_ids("$1")
    );
    Entity::find()
        .from_raw_sql(dialect.statement(sql, vec![dialect.ids(ids)]))
        .all(db)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        let starts_at = "2021-06-30T19:00:00Z".parse().unwrap();
        Content {
            base_id: "291".into(),
            event_id: "291".into(),
            title: "Camela en concierto".into(),
            starts_at,
            ends_at: None,
            starts_local: "2021-06-30T21:00:00".parse().unwrap(),
            ends_local: None,
            sell_from: None,
            sell_to: None,
            sold_out: false,
            sell_mode: SellMode::Online,
            organizer_company_id: None,
            min_price: Some(150_000),
            max_price: Some(300_000),
            zones: vec![Zone {
                id: Some("40".into()),
                name: Some("Platea".into()),
                capacity: Some(243),
                price: Some(200_000),
                numbered: Some(true),
            }],
        }
    }

    #[test]
    fn the_id_of_an_event_never_changes() {
        assert_eq!(
            id("primary", "291", "291").to_string(),
            "dd8d2fd1-87f2-55d4-9464-032d553cbb6f"
        );
        assert_ne!(id("primary", "291", "1"), id("primary", "29", "11"));
    }

    #[test]
    fn the_namespace_is_derived_as_documented() {
        assert_eq!(NAMESPACE, Uuid::new_v5(&Uuid::nil(), b"fanfare:event"));
    }

    #[test]
    fn stored_zones_keep_their_field_names() {
        let zones = Zones(vec![content().zones[0].clone(), Zone::default()]);
        let stored =
            r#"[{"id":"40","name":"Platea","capacity":243,"price":200000,"numbered":true},{}]"#;
        assert_eq!(serde_json::to_string(&zones).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Zones>(stored).unwrap(), zones);
    }

    /// Another digest would make every stored event look changed.
    #[test]
    fn the_digest_of_a_content_never_changes() {
        let digest = u128::from_be_bytes(content().digest());
        assert_eq!(format!("{digest:032x}"), "847b3389512c8fac98c409f26c5288fe");
    }

    #[test]
    fn every_field_counts_in_the_digest() {
        let base = content();
        let changed = |change: fn(&mut Content)| {
            let mut content = content();
            change(&mut content);
            assert_ne!(content.digest(), base.digest(), "{content:?}");
        };
        changed(|c| c.base_id.push('1'));
        changed(|c| c.event_id.push('1'));
        changed(|c| c.title.push('!'));
        changed(|c| c.starts_at += chrono::Duration::seconds(1));
        changed(|c| c.ends_at = Some(c.starts_at));
        changed(|c| c.starts_local += chrono::Duration::seconds(1));
        changed(|c| c.ends_local = Some(c.starts_local));
        changed(|c| c.sell_from = Some(c.starts_at));
        changed(|c| c.sell_to = Some(c.starts_at));
        changed(|c| c.sold_out = true);
        changed(|c| c.sell_mode = SellMode::Offline);
        changed(|c| c.organizer_company_id = Some(String::new()));
        changed(|c| c.min_price = None);
        changed(|c| c.max_price = None);
        changed(|c| c.zones.clear());
        changed(|c| c.zones[0].id = None);
        changed(|c| c.zones[0].name = None);
        changed(|c| c.zones[0].capacity = Some(0));
        changed(|c| c.zones[0].price = None);
        changed(|c| c.zones[0].numbered = None);
        assert_eq!(content().digest(), base.digest());
    }
}

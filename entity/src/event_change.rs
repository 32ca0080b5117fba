//! What a run changed: together with `dataset_commit` the gap-free log of all changes.

use sea_orm::entity::prelude::*;
use serde_json::{Map, Value, json};

use crate::event::{self, Content};

/// What happened to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Kind {
    /// Seen for the first time.
    #[sea_orm(string_value = "created")]
    Created,
    /// Something in it is different.
    #[sea_orm(string_value = "updated")]
    Updated,
    /// Its feed no longer has it.
    #[sea_orm(string_value = "gone")]
    Gone,
    /// Its feed has it again.
    #[sea_orm(string_value = "returned")]
    Returned,
}

/// A change's row; `position` counts within the run, from 0.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event_change")]
#[expect(
    missing_docs,
    reason = "the columns are told where the table is laid out"
)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    pub event_id: Uuid,
    pub kind: Kind,
    pub changes: Option<Json>,
    pub hidden: bool,
    pub revealed: bool,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
#[expect(missing_docs, reason = "no relations are followed")]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What differs between a stored event and its new content: `{"field": [before, after]}`, with the
/// columns' names, instants in RFC 3339 and prices in ten-thousandths. From it and the new content
/// the old one can be told again.
pub fn changes(before: &event::Model, after: &Content) -> Map<String, Value> {
    let zones = |zones: &[event::Zone]| json!(zones);
    let fields = [
        ("title", json!(before.title), json!(after.title)),
        ("starts_at", json!(before.starts_at), json!(after.starts_at)),
        ("ends_at", json!(before.ends_at), json!(after.ends_at)),
        (
            "starts_local",
            json!(before.starts_local),
            json!(after.starts_local),
        ),
        (
            "ends_local",
            json!(before.ends_local),
            json!(after.ends_local),
        ),
        ("sell_from", json!(before.sell_from), json!(after.sell_from)),
        ("sell_to", json!(before.sell_to), json!(after.sell_to)),
        ("sold_out", json!(before.sold_out), json!(after.sold_out)),
        ("sell_mode", json!(before.sell_mode), json!(after.sell_mode)),
        (
            "organizer_company_id",
            json!(before.organizer_company_id),
            json!(after.organizer_company_id),
        ),
        ("min_price", json!(before.min_price), json!(after.min_price)),
        ("max_price", json!(before.max_price), json!(after.max_price)),
        ("zones", zones(&before.zones.0), zones(&after.zones)),
    ];
    fields
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| (name.to_owned(), json!([before, after])))
        .collect()
}

//! Items that a feed holds and Fanfare cannot take, with the reason.

use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseConnection, QueryOrder, QuerySelect};
use serde::Serialize;

/// A set-aside item's row; `position` is the item's ordinal in its feed, from 1, `ordinal` the
/// row's in its run, from 0.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "set_aside")]
#[expect(
    missing_docs,
    reason = "the columns are told where the table is laid out"
)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub ordinal: i64,
    pub position: i64,
    pub path: String,
    pub reason: String,
    pub base_id: Option<String>,
    pub event_id: Option<String>,
    pub snippet: String,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
#[expect(missing_docs, reason = "no relations are followed")]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a run set aside, in the order of its feed, `limit` at most.
///
/// # Errors
/// Whatever the database answers.
pub async fn of_run(db: &DatabaseConnection, run: Uuid, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RunId.eq(run))
        .order_by_asc(Column::Ordinal)
        .limit(limit)
        .all(db)
        .await
}

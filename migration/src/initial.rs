//! The first schema: providers, runs, fan-outs, events and the log of their changes.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::script;

pub(crate) const SCRIPT: &str = include_str!("initial.sql");

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261122_000001_initial"
    }
}

#[allow(
    elided_lifetimes_in_paths,
    reason = "the trait's own signature, which async_trait expands, elides it"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        script::run(db, SCRIPT).await?;
        let dataset = Query::insert()
            .into_table("dataset")
            .columns(["id", "version", "epoch"])
            .values_panic([1i64.into(), 0i64.into(), Uuid::new_v4().into()])
            .to_owned();
        db.execute(&dataset).await?;
        Ok(())
    }
}

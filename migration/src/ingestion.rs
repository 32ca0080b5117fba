//! Settings and counts for feeds of any size and in any mood.

use sea_orm_migration::prelude::*;

use crate::script;

pub(crate) const SCRIPT: &str = include_str!("ingestion.sql");

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261122_000002_ingestion"
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
        script::run(manager.get_connection(), SCRIPT).await
    }
}

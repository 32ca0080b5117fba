//! What reading needs: indexes of the search, the public log of changes, the key of cursors.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::script;

pub(crate) const SCRIPT: &str = include_str!("serving.sql");

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261123_000003_serving"
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
        let secret = Query::update()
            .table("dataset")
            .value("secret", secret())
            .to_owned();
        db.execute(&secret).await?;
        Ok(())
    }
}

/// 32 bytes, 244 bits of which are the system's random ones.
fn secret() -> Vec<u8> {
    [Uuid::new_v4(), Uuid::new_v4()]
        .map(Uuid::into_bytes)
        .concat()
}

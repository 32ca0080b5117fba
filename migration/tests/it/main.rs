//! Migrations on databases that have been in use.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod expanding;
mod ingestion;
mod serving;
mod world;

/// Makes each function a test on PostgreSQL and one on SQLite.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::world::World::postgres().await).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::world::World::sqlite().await).await;
            })*
        }
    };
}
use on_both_databases;

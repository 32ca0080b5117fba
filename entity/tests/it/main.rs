//! The named queries, each on both databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod accepting;
mod bulk;
mod cancelling;
mod chance;
mod changing;
mod claiming;
mod committing;
mod connecting;
mod fan_outs;
mod fencing;
mod finding;
mod freshness;
mod histories;
mod holding;
mod hurrying;
mod keeping;
mod knowing;
mod leasing;
mod life;
mod logging;
mod marks;
mod overviewing;
mod paging;
mod plans;
mod providers;
mod pushing;
mod reading;
mod reaping;
mod recording;
mod replicas;
mod requests;
mod retrying;
mod searching;
mod settings;
mod sharing;
mod watching;
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

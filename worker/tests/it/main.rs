//! Syncs and the worker's role, against real databases and a feed server of the test's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod checking;
mod draining;
mod failing;
mod feeds;
mod fetching;
mod following;
mod holding;
mod interrupting;
mod large;
mod meaning;
mod measuring;
mod moving;
mod outage;
mod panicking;
mod properties;
mod remembering;
mod retrying;
mod role;
mod traces;
mod truth;
mod visiting;
mod waiting;
mod working;
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

//! The API over real databases, through its router or its socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod admin;
mod caching;
mod changes;
mod contract;
mod cors;
mod docs;
mod errors;
mod event;
mod filtering;
mod freshness;
mod health;
mod histories;
mod large;
mod limits;
mod measured;
mod outage;
mod overload;
mod providers;
mod rate;
mod replica;
mod search;
mod seed;
mod serve;
mod server;
mod sharing;
mod socket;
mod traced;
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

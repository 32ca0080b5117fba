//! What Fanfare keeps, and every query on it: the only crate besides `migration` that writes SQL.
//!
//! The database is the truth, and its clock is the only one that counts: every instant in a
//! statement is the database's own. Both PostgreSQL and SQLite run the same queries; where one of
//! them lacks something, `dialect` is the branch.

pub mod changes;
pub mod claim;
pub mod clock;
pub mod commit;
mod connect;
pub mod dataset;
mod dialect;
pub mod event;
pub mod event_change;
pub mod fan_out;
pub mod history;
pub mod host;
pub mod invariants;
pub mod known;
pub mod lease;
pub mod overview;
pub mod provider;
pub mod retention;
pub mod run;
pub mod search;
pub mod server;
pub mod set_aside;
pub mod why;
pub mod worker;
mod write;

pub use connect::{
    Access, Config, ConnectError, Database, DatabaseUrl, InvalidUrl, Kind, PoolUse, Pools, Reader,
    Session, connect,
};
pub use sea_orm::DbErr;

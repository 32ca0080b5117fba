//! Why there is no connection, told so that an operator knows what to do.

use std::path::PathBuf;

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

use super::DatabaseUrl;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Another process runs roles on this file.
    #[error(
        "the database {path} is in use by another fanfare process{holder}: stop it first, or use PostgreSQL to run several"
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The other process, as ` (process 123)`, or nothing.
        holder: String,
    },
    /// The lock file can't be made.
    #[error(
        "can't lock the database file {path}: {source}; check that the folder exists and can be written"
    )]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody answered in time.
    #[error(
        "no answer from the database at {url} within {seconds} s: check that it runs there and can be reached"
    )]
    NoAnswer {
        /// Without its password.
        url: DatabaseUrl,
        /// How long was waited.
        seconds: u64,
    },
    /// Its name is not known, the network does not lead there, or who is there hangs up.
    #[error(
        "the database at {url} can't be reached: {reason}; check the address and that it runs there"
    )]
    Unreachable {
        /// Without its password.
        url: DatabaseUrl,
        /// What the system said.
        reason: String,
    },
    /// It is too old.
    #[error("the PostgreSQL at {url} is version {version}: at least {LEAST_POSTGRES} is needed")]
    TooOld {
        /// Without its password.
        url: DatabaseUrl,
        /// As the server tells it.
        version: String,
    },
    /// It answered with a refusal.
    #[error(
        "the database at {url} refused the connection: {reason}; check the address, user, password and database name"
    )]
    Refused {
        /// Without its password.
        url: DatabaseUrl,
        /// What it said.
        reason: String,
    },
}

/// The oldest PostgreSQL that the queries are written for.
pub(super) const LEAST_POSTGRES: u32 = 15;

/// Whether the pool gave up: it tries again for as long as nobody listens there.
pub(super) fn timed_out(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(RuntimeErr::SqlxError(error)) => matches!(**error, sqlx::Error::PoolTimedOut),
        _ => false,
    }
}

/// Whether nothing of the server was reached, not even a refusal in its own words.
pub(super) fn unreachable(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error)) => matches!(**error, sqlx::Error::Io(_)),
        _ => false,
    }
}

/// What the driver said, without the layers around it.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

//! What a process wants of the database, and within which limits.

use std::time::Duration;

use super::DatabaseUrl;

/// Limits that the database itself puts on a session, so that a frozen process lets go of its
/// locks. Only PostgreSQL has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Session {
    /// An open transaction without a statement for this long ends.
    pub idle_in_transaction: Option<Duration>,
    /// A statement that takes longer fails.
    pub statement: Option<Duration>,
    /// Waiting longer for a lock fails.
    pub lock: Option<Duration>,
}

impl Session {
    /// For a process whose work is believed for `lease` after its last sign of life: all limits
    /// lie at three quarters of it.
    pub fn below_lease(lease: Duration) -> Self {
        let limit = Some(lease * 3 / 4);
        Self {
            idle_in_transaction: limit,
            statement: limit,
            lock: limit,
        }
    }
}

/// What a process wants of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It runs roles: of an embedded database it must be the only such process.
    Roles,
    /// One short command beside them.
    Command,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where events live.
    pub url: DatabaseUrl,
    /// What reads are answered from, if not the same: a replica.
    pub read_url: Option<DatabaseUrl>,
    /// Connections to PostgreSQL at most, for writes and for reads each.
    pub max_connections: u32,
    /// Longest wait for a connection, a new one's making included.
    pub timeout: Duration,
    /// Limits of write sessions.
    pub session: Session,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// What the process wants.
    pub access: Access,
}

impl Config {
    /// Sensible limits for `url`.
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            read_url: None,
            max_connections: 10,
            timeout: Duration::from_secs(5),
            session: Session {
                idle_in_transaction: Some(Duration::from_secs(15)),
                statement: Some(Duration::from_secs(30)),
                lock: Some(Duration::from_secs(15)),
            },
            application_name: "fanfare".to_owned(),
            access: Access::Command,
        }
    }
}

//! The first words with PostgreSQL: whether it lets us in, and if not, which kind of refusal it is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::{self, Connection, PgConnection, Row};

use crate::DatabaseUrl;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a host's port.
    Tcp(String, u16),
    /// At a socket in this folder.
    Socket(PathBuf),
}

/// Where the address leads; `None` for SQLite, and for one that makes no sense to the driver.
pub fn place(url: &DatabaseUrl) -> Option<Place> {
    let options = options(url).ok()?;
    if let Some(socket) = options.get_socket() {
        return Some(Place::Socket(socket.clone()));
    }
    let host = options.get_host();
    // As the driver does.
    if host.starts_with('/') {
        return Some(Place::Socket(host.into()));
    }
    Some(Place::Tcp(host.to_owned(), options.get_port()))
}

fn options(url: &DatabaseUrl) -> Result<PgConnectOptions, sqlx::Error> {
    PgConnectOptions::from_str(url.expose())
}

/// A server that has let us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// Two connections that were open at the same time spoke with one session of the server: there is a
    /// pooler between that gives sessions out by the transaction. Without this there may be one.
    pub pooled_by_transaction: bool,
}

/// Why there is no way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    /// Which kind of refusal.
    pub obstacle: Obstacle,
    /// In the server's or the driver's own words.
    pub reason: String,
}

/// Kinds of refusals, by what is to be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Nobody answered, or who did hung up.
    NoAnswer,
    /// No agreement on encryption.
    Tls,
    /// The password is wrong, or there is no such user.
    Password,
    /// The user may not connect from here, or not to this database.
    NotAllowed,
    /// There is no such database.
    NoDatabase,
    /// There are as many connections as there may be.
    Full,
    /// It is starting, stopping or recovering.
    NotReady,
    /// Something else.
    Other,
}

impl fmt::Display for Knock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Knock {}

/// Connects twice, with nothing but what stands in the address, and leaves again.
///
/// # Errors
/// What stands in the way. The driver's words never hold a password.
pub async fn knock(url: &DatabaseUrl, within: Duration) -> Result<Door, Knock> {
    match tokio::time::timeout(within, enter(url)).await {
        Ok(Ok(door)) => Ok(door),
        Ok(Err(error)) => Err(Knock {
            obstacle: obstacle(&error),
            reason: innermost(&error),
        }),
        Err(_) => Err(Knock {
            obstacle: Obstacle::NoAnswer,
            reason: format!("no answer within {} s", within.as_secs()),
        }),
    }
}

async fn enter(url: &DatabaseUrl) -> Result<Door, sqlx::Error> {
    let options = options(url)?;
    let mut one = PgConnection::connect_with(&options).await?;
    let mut other = PgConnection::connect_with(&options).await?;
    // A pooler gives out the session first that came back last.
    let (first, second) = (session(&mut one).await?, session(&mut other).await?);
    // They are gone with or without a farewell.
    let _ = one.close().await;
    let _ = other.close().await;
    Ok(Door {
        pooled_by_transaction: first == second,
    })
}

async fn session(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    // As plain text: behind a pooler, prepared statements of several clients may meet in one session.
    let row = sqlx::raw_sql("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}

/// By SQLSTATE (PostgreSQL, appendix A), since messages are translated.
fn obstacle(error: &sqlx::Error) -> Obstacle {
    let code = match error {
        sqlx::Error::Io(_) => return Obstacle::NoAnswer,
        sqlx::Error::Tls(_) => return Obstacle::Tls,
        sqlx::Error::Database(error) => error.code(),
        _ => return Obstacle::Other,
    };
    match code.as_deref() {
        Some("28P01") => Obstacle::Password,
        Some("28000" | "42501") => Obstacle::NotAllowed,
        Some("3D000") => Obstacle::NoDatabase,
        Some("53300") => Obstacle::Full,
        Some("57P03" | "57P01" | "57P02") => Obstacle::NotReady,
        _ => Obstacle::Other,
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_a_port_or_to_a_socket() {
        let place = |url: &str| place(&url.parse().unwrap());
        assert_eq!(
            place("postgres://me@db.example:6432/fanfare"),
            Some(Place::Tcp("db.example".to_owned(), 6432))
        );
        assert_eq!(
            place("postgres://me@localhost/fanfare?host=/run/postgresql"),
            Some(Place::Socket("/run/postgresql".into()))
        );
        assert_eq!(
            place("postgres://me@%2Frun%2Fpostgresql/fanfare"),
            Some(Place::Socket("/run/postgresql".into()))
        );
    }
}

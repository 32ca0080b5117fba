//! Addresses of databases.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which of the two databases an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL 15 or newer.
    Postgres,
    /// One SQLite file, for one process.
    Sqlite,
}

impl Kind {
    /// As OpenTelemetry names databases.
    #[must_use]
    pub fn system_name(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Sqlite => "sqlite",
        }
    }
}

/// A database's address. Prints without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

/// Why an address was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidUrl {
    /// Neither of the two kinds.
    #[error(
        "a database address starts with postgres:// or sqlite://, such as \
         postgres://user:password@host:5432/fanfare or sqlite://fanfare.db?mode=rwc"
    )]
    Scheme,
    /// A database that ends with its connection, while Fanfare holds several.
    #[error(
        "an in-memory SQLite database can't be shared: give a file, such as sqlite://fanfare.db?mode=rwc"
    )]
    InMemory,
    /// It does not parse.
    #[error("the database address is not a valid URL: {0}")]
    Syntax(#[from] url::ParseError),
    /// There is no database in it.
    #[error("the database address names no database: end it with /NAME")]
    NoDatabase,
}

impl FromStr for DatabaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.trim_start_matches("//");
            if path.is_empty() || path.starts_with(":memory:") || path.contains("mode=memory") {
                return Err(InvalidUrl::InMemory);
            }
        } else if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let url = url::Url::parse(text)?;
            if url.path().trim_matches('/').is_empty() {
                return Err(InvalidUrl::NoDatabase);
            }
        } else {
            return Err(InvalidUrl::Scheme);
        }
        Ok(Self(text.to_owned()))
    }
}

impl DatabaseUrl {
    /// Which database it leads to.
    pub fn kind(&self) -> Kind {
        if self.0.starts_with("sqlite:") {
            Kind::Sqlite
        } else {
            Kind::Postgres
        }
    }

    /// The address of a SQLite file, made if it is missing.
    pub fn sqlite_file(path: &Path) -> Self {
        Self(format!("sqlite://{}?mode=rwc", path.display()))
    }

    /// The file of an embedded database.
    pub fn path(&self) -> Option<PathBuf> {
        let path = self.0.strip_prefix("sqlite:")?.trim_start_matches("//");
        let path = path.split('?').next().unwrap_or(path);
        Some(PathBuf::from(path))
    }

    /// The address as given, password included: for handing on to a driver or another process.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match url::Url::parse(&self.0) {
            Ok(mut url) if url.password().is_some() => {
                // Fails only for addresses that can't have a password, and this one has.
                let _ = url.set_password(Some("***"));
                write!(f, "{url}")
            }
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let url: DatabaseUrl = "postgres://me:hunter2@db/fanfare".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://me:***@db/fanfare");
        assert!(!format!("{url:?}").contains("hunter2"));
    }

    #[test]
    fn an_address_that_cannot_work_is_refused() {
        let parse = |text: &str| text.parse::<DatabaseUrl>();
        assert_eq!(parse("mysql://db/fanfare"), Err(InvalidUrl::Scheme));
        assert_eq!(parse("sqlite::memory:"), Err(InvalidUrl::InMemory));
        assert_eq!(parse("postgres://db"), Err(InvalidUrl::NoDatabase));
        assert!(matches!(
            parse("postgres://db:port/x"),
            Err(InvalidUrl::Syntax(_))
        ));
    }

    #[test]
    fn a_sqlite_address_gives_its_file() {
        let url: DatabaseUrl = "sqlite://data/fanfare.db?mode=rwc".parse().unwrap();
        assert_eq!(url.path(), Some(PathBuf::from("data/fanfare.db")));
        let url = DatabaseUrl::sqlite_file(Path::new("/tmp/x.db"));
        assert_eq!(url.path(), Some(PathBuf::from("/tmp/x.db")));
    }
}

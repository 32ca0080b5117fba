//! How the database is reached: addresses, pools, session limits and the embedded database's lock.

mod config;
mod error;
mod lock;
mod pools;
mod postgres;
mod reader;
mod sqlite;
mod url;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

pub use config::{Access, Config, Session};
pub use error::ConnectError;
pub use pools::{PoolUse, Pools};
pub use reader::Reader;
pub use url::{DatabaseUrl, InvalidUrl, Kind};

/// The database: one pool that writes and one that reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    /// Writes, and reads that a decision hangs on.
    pub write: DatabaseConnection,
    /// Reads for others, from a replica if there is one.
    pub read: DatabaseConnection,
    reader: Reader,
    primary_reader: Reader,
    watch: Watch,
    has_replica: bool,
    kind: Kind,
    _lock: Option<Arc<File>>,
}

/// One connection each to where reads and writes go, apart from the pools: a look at the dataset's
/// version never queues behind slow queries.
///
/// Nothing is connected until it is asked. On PostgreSQL a statement takes a second at most, and the
/// wait for a connection two. On SQLite both only read.
#[derive(Debug, Clone)]
pub struct Watch {
    /// To the replica, if there is one; else the same as `write`.
    pub read: DatabaseConnection,
    /// To where events live.
    pub write: DatabaseConnection,
}

impl Database {
    /// Which database this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether reads go to another server than writes. It may lag behind.
    pub fn has_replica(&self) -> bool {
        self.has_replica
    }

    /// Small reads for others, from a replica if there is one.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Small reads for others, from where events are written.
    pub fn primary_reader(&self) -> &Reader {
        &self.primary_reader
    }

    /// The connections to look at the dataset's version with.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The pools, to look at how they are used.
    pub fn pools(&self) -> Pools {
        Pools::of(self)
    }

    /// Opens a transaction that writes: on SQLite it takes the write lock at once.
    ///
    /// # Errors
    /// No connection, or a lock held for too long.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.write
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
    }

    /// Closes all pools, waiting for what is in use.
    pub async fn close(self) {
        self.reader.rest();
        self.primary_reader.rest();
        // Closing fails only for connections that are gone already.
        let _ = self.watch.read.close().await;
        let _ = self.watch.write.close().await;
        let _ = self.read.close().await;
        let _ = self.write.close().await;
    }
}

/// Connects within `config.timeout`. A replica that does not answer in that time is logged and
/// connected to when it is asked.
///
/// # Errors
/// See [`ConnectError`]; each says what to do.
pub async fn connect(config: &Config) -> Result<Database, ConnectError> {
    match config.url.kind() {
        Kind::Postgres => postgres::connect(config).await,
        Kind::Sqlite => sqlite::connect(config).await,
    }
}

fn pool_options(config: &Config, url: &DatabaseUrl, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.expose());
    options
        .max_connections(connections)
        .acquire_timeout(config.timeout)
        .connect_timeout(config.timeout)
        .test_before_acquire(false)
        .test_before_acquire_if_idle_for(Duration::from_secs(1))
        .sqlx_logging(false);
    options
}

async fn open(
    config: &Config,
    url: &DatabaseUrl,
    options: ConnectOptions,
) -> Result<DatabaseConnection, ConnectError> {
    let no_answer = || ConnectError::NoAnswer {
        url: url.clone(),
        seconds: config.timeout.as_secs(),
    };
    let connecting = sea_orm::Database::connect(options);
    match tokio::time::timeout(config.timeout, connecting).await {
        Err(_) => Err(no_answer()),
        Ok(Err(error)) if error::timed_out(&error) => Err(no_answer()),
        Ok(Err(error)) if error::unreachable(&error) => Err(ConnectError::Unreachable {
            url: url.clone(),
            reason: error::innermost(&error),
        }),
        Ok(Err(error)) => Err(ConnectError::Refused {
            url: url.clone(),
            reason: error::innermost(&error),
        }),
        Ok(Ok(connection)) => Ok(connection),
    }
}

/// A pool that connects when it is first asked. Only an address that makes no sense is refused.
async fn open_lazily(
    url: &DatabaseUrl,
    mut options: ConnectOptions,
) -> Result<DatabaseConnection, ConnectError> {
    options.connect_lazy(true);
    let opened = sea_orm::Database::connect(options).await;
    opened.map_err(|error| ConnectError::Refused {
        url: url.clone(),
        reason: error::innermost(&error),
    })
}

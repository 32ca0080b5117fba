//! How the database is reached: addresses, pools, session limits and the embedded database's lock.

mod lock;
mod url;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use crate::dialect::Dialect;
use lock::lock;
pub use url::{DatabaseUrl, InvalidUrl, Kind};

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
    /// It is too old.
    #[error("the PostgreSQL at {url} is version {version}: at least {LEAST_MAJOR} is needed")]
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

/// The database: one pool that writes and one that reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    /// Writes, and reads that a decision hangs on.
    pub write: DatabaseConnection,
    /// Reads for others, from a replica if there is one.
    pub read: DatabaseConnection,
    kind: Kind,
    _lock: Option<Arc<File>>,
}

impl Database {
    /// Which database this is.
    pub fn kind(&self) -> Kind {
        self.kind
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

    /// Closes both pools, waiting for what is in use.
    pub async fn close(self) {
        // Closing fails only for connections that are gone already.
        let _ = self.read.close().await;
        let _ = self.write.close().await;
    }
}

/// Connects within `config.timeout`.
///
/// # Errors
/// See [`ConnectError`]; each says what to do.
pub async fn connect(config: &Config) -> Result<Database, ConnectError> {
    match config.url.kind() {
        Kind::Postgres => connect_postgres(config).await,
        Kind::Sqlite => connect_sqlite(config).await,
    }
}

async fn connect_postgres(config: &Config) -> Result<Database, ConnectError> {
    let write = open(config, &config.url, postgres_options(config, &config.url)).await?;
    require_version(config, &write).await?;
    let read = match &config.read_url {
        Some(url) => open(config, url, postgres_options(config, url)).await?,
        None => write.clone(),
    };
    Ok(Database {
        write,
        read,
        kind: Kind::Postgres,
        _lock: None,
    })
}

/// The oldest PostgreSQL that the queries are written for.
const LEAST_MAJOR: u32 = 15;

async fn require_version(config: &Config, db: &DatabaseConnection) -> Result<(), ConnectError> {
    let refused = |error: DbErr| ConnectError::Refused {
        url: config.url.clone(),
        reason: innermost(&error),
    };
    let show = Dialect::Postgres.statement("SHOW server_version", Vec::new());
    let row = db.query_one_raw(show).await.map_err(refused)?;
    let version: String = row
        .map_or(Ok(String::new()), |row| row.try_get_by_index(0))
        .map_err(refused)?;
    let major = version.split(|c: char| !c.is_ascii_digit()).next();
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major < LEAST_MAJOR => Err(ConnectError::TooOld {
            url: config.url.clone(),
            version,
        }),
        _ => Ok(()),
    }
}

fn postgres_options(config: &Config, url: &DatabaseUrl) -> ConnectOptions {
    let mut options = pool_options(config, url, config.max_connections);
    options.set_application_name(config.application_name.clone());
    let session = config.session;
    options.map_sqlx_postgres_opts(move |options| {
        // A vanished client must not hold locks until TCP gives up by itself, which takes hours.
        let options = options.options([
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
        ]);
        [
            (
                "idle_in_transaction_session_timeout",
                session.idle_in_transaction,
            ),
            ("statement_timeout", session.statement),
            ("lock_timeout", session.lock),
        ]
        .into_iter()
        .filter_map(|(name, limit)| Some((name, limit?.as_millis().to_string())))
        .fold(options, |options, limit| options.options([limit]))
    });
    options
}

async fn connect_sqlite(config: &Config) -> Result<Database, ConnectError> {
    let lock = match (config.access, config.url.path()) {
        (Access::Roles, Some(path)) => Some(Arc::new(lock(&path)?)),
        _ => None,
    };
    let write = open(config, &config.url, sqlite_options(config, 1, false)).await?;
    let read = open(config, &config.url, sqlite_options(config, 4, true)).await?;
    Ok(Database {
        write,
        read,
        kind: Kind::Sqlite,
        _lock: lock,
    })
}

fn sqlite_options(config: &Config, connections: u32, query_only: bool) -> ConnectOptions {
    let mut options = pool_options(config, &config.url, connections);
    options.map_sqlx_sqlite_opts(move |options| {
        options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .pragma("query_only", if query_only { "on" } else { "off" })
    });
    // A full disk makes SQLite roll back by itself. The driver, whose own rollback then fails, takes
    // the connection for being amid a transaction for ever: whatever is written over it later seems
    // to be committed and never is. Such a connection is closed.
    options.map_sqlx_sqlite_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            Box::pin(async move {
                // The rollback of a dropped transaction is under way; this comes after it.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
    });
    // Writers queue for the one connection; a long commit before them is no fault.
    options.acquire_timeout(Duration::from_secs(60));
    options
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
        Ok(Err(error)) if timed_out(&error) => Err(no_answer()),
        Ok(Err(error)) => Err(ConnectError::Refused {
            url: url.clone(),
            reason: innermost(&error),
        }),
        Ok(Ok(connection)) => Ok(connection),
    }
}

/// Whether the pool gave up: it tries again for as long as nobody listens there.
fn timed_out(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(RuntimeErr::SqlxError(error)) => matches!(**error, sqlx::Error::PoolTimedOut),
        _ => false,
    }
}

/// What the driver said, without the layers around it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

//! Pools of an embedded SQLite database: one connection that writes, some that only read.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::ConnectOptions;
use sea_orm::sqlx::Connection;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};

use super::lock::lock;
use super::{
    Access, Config, ConnectError, Database, Kind, Reader, Watch, open, open_lazily, pool_options,
};

pub(super) async fn connect(config: &Config) -> Result<Database, ConnectError> {
    let lock = match (config.access, config.url.path()) {
        (Access::Roles, Some(path)) => Some(Arc::new(lock(&path)?)),
        _ => None,
    };
    let write = open(config, &config.url, options(config, 1, false)).await?;
    let read = open(config, &config.url, options(config, 4, true)).await?;
    let watch = open_lazily(&config.url, options(config, 1, true)).await?;
    Ok(Database {
        reader: Reader::of_sqlite(&read),
        primary_reader: Reader::of_sqlite(&read),
        write,
        read,
        watch: Watch {
            read: watch.clone(),
            write: watch,
        },
        has_replica: false,
        kind: Kind::Sqlite,
        _lock: lock,
    })
}

fn options(config: &Config, connections: u32, query_only: bool) -> ConnectOptions {
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

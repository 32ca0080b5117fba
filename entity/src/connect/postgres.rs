//! Pools of connections to PostgreSQL, to the primary and to a replica.

use std::time::Duration;

use sea_orm::sqlx::{Connection, PgConnection};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr};

use super::error::{LEAST_POSTGRES, innermost};
use super::{
    Config, ConnectError, Database, DatabaseUrl, Kind, Reader, Session, Watch, open, open_lazily,
    pool_options,
};
use crate::dialect::Dialect;

pub(super) async fn connect(config: &Config) -> Result<Database, ConnectError> {
    let write = open(config, &config.url, options(config, &config.url)).await?;
    require_version(config, &write).await?;
    let read = match &config.read_url {
        Some(url) => replica(config, url).await?,
        None => write.clone(),
    };
    // The other half is for streams, and for other roles of the process.
    let kept = usize::try_from(config.max_connections / 2).unwrap_or(usize::MAX);
    let primary_reader = Reader::of_postgres(&write, kept.max(1));
    Ok(Database {
        reader: match &config.read_url {
            Some(_) => Reader::of_postgres(&read, kept.max(1)),
            None => primary_reader.clone(),
        },
        primary_reader,
        write,
        read,
        watch: watch(config).await?,
        has_replica: config.read_url.is_some(),
        kind: Kind::Postgres,
        _lock: None,
    })
}

/// A replica may be away for a while, and what does not need it goes on: one that does not answer
/// is connected to when it is asked. One that answers with a refusal is wrongly configured.
async fn replica(config: &Config, url: &DatabaseUrl) -> Result<DatabaseConnection, ConnectError> {
    match open(config, url, options(config, url)).await {
        Err(error @ (ConnectError::NoAnswer { .. } | ConnectError::Unreachable { .. })) => {
            tracing::warn!(%error, "starting without the replica: the primary is read until it answers");
            open_lazily(url, options(config, url)).await
        }
        answered => answered,
    }
}

/// What a look at the dataset's version may take at most, and the wait for a connection too.
const LOOK: Duration = Duration::from_secs(1);

async fn watch(config: &Config) -> Result<Watch, ConnectError> {
    let config = Config {
        max_connections: 1,
        timeout: config.timeout.min(2 * LOOK),
        session: Session {
            idle_in_transaction: Some(LOOK),
            statement: Some(LOOK),
            lock: Some(LOOK),
        },
        ..config.clone()
    };
    let write = open_lazily(&config.url, options(&config, &config.url)).await?;
    let read = match &config.read_url {
        Some(url) => open_lazily(url, options(&config, url)).await?,
        None => write.clone(),
    };
    Ok(Watch { read, write })
}

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
        Some(major) if major < LEAST_POSTGRES => Err(ConnectError::TooOld {
            url: config.url.clone(),
            version,
        }),
        _ => Ok(()),
    }
}

fn options(config: &Config, url: &DatabaseUrl) -> ConnectOptions {
    let mut options = pool_options(config, url, config.max_connections);
    options.set_application_name(config.application_name.clone());
    let session = config.session;
    options.map_sqlx_postgres_opts(move |options| {
        // A vanished client must not hold locks until TCP gives up by itself, which takes hours. One
        // that hung up is noticed while its query is still at work.
        let options = options.options([
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
            ("client_connection_check_interval", "250ms"),
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
    options.map_sqlx_postgres_pool_opts(|pool| {
        pool.after_release(|connection, _| Box::pin(async move { Ok(is_idle(connection).await) }))
    });
    options
}

/// How long a connection that is given back amid a query may take to become idle.
const GRACE: Duration = Duration::from_millis(50);

/// Whether a connection that was given back has nothing more to do. One whose query was dropped
/// works on, for as long as the query takes, and the pool would wait for it; it is closed instead,
/// and the server ends the query. What a dropped transaction has to roll back is done in time as a
/// rule; if not, the end of its connection rolls it back.
async fn is_idle(connection: &mut PgConnection) -> bool {
    // Unlike a ping it sends nothing: an idle connection is known without a word from the server.
    let idle = connection.flush();
    matches!(tokio::time::timeout(GRACE, idle).await, Ok(Ok(())))
}

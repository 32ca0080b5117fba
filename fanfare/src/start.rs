//! What a role needs before it starts: database, schema, queue, name. Each failure says what to do.

use std::time::Duration;

use anyhow::{Context, bail};
use entity::{Access, Config, Database, Kind, Session};
use migration::Status;
use queue::{Queue, QueueConfig};

use crate::options::{DatabaseOptions, QueueOptions};
use crate::refuse::Contradiction;

/// Connects for a process that runs roles.
pub(crate) async fn database_for_roles(
    options: &DatabaseOptions,
    application: &str,
    session: Session,
) -> anyhow::Result<Database> {
    let mut config = config(options, Access::Roles, application);
    config.session = session;
    let db = entity::connect(&config).await?;
    match db.kind() {
        // The embedded database belongs to this process alone.
        Kind::Sqlite => {
            migration::migrate(&db.write)
                .await
                .context("can't bring the database's schema up to date")?;
        }
        Kind::Postgres => require_schema(&db).await?,
    }
    Ok(db)
}

/// Connects for a single command.
pub(crate) async fn database(options: &DatabaseOptions) -> anyhow::Result<Database> {
    let config = config(options, Access::Command, "fanfare");
    if config.url.kind() == Kind::Sqlite
        && let Some(path) = config.url.path()
        && !path.exists()
    {
        bail!(
            "there is no database at {}: give its address with --database-url or FANFARE_DATABASE_URL, \
             or make it with `fanfare migrate`",
            path.display()
        );
    }
    let db = entity::connect(&config).await?;
    require_schema(&db).await?;
    Ok(db)
}

/// Connects to migrate: with one connection, which holds the advisory lock.
pub(crate) async fn database_to_migrate(options: &DatabaseOptions) -> anyhow::Result<Database> {
    let mut config = config(options, Access::Command, "fanfare migrate");
    config.max_connections = 1;
    config.read_url = None;
    // A migration takes as long as it takes, and may wait for another process'.
    config.session = Session::default();
    Ok(entity::connect(&config).await?)
}

fn config(options: &DatabaseOptions, access: Access, application: &str) -> Config {
    Config {
        read_url: options.database_read_url.clone(),
        max_connections: options.database_connections,
        application_name: application.to_owned(),
        access,
        ..Config::new(options.database_url.clone())
    }
}

async fn require_schema(db: &Database) -> anyhow::Result<()> {
    let status = migration::status(&db.write)
        .await
        .context("can't read the database's schema")?;
    match status {
        Status::Current => Ok(()),
        Status::Behind(missing) => bail!(
            "the database's schema is behind this build, {} missing: run `fanfare migrate`",
            match missing.as_slice() {
                [one] => format!("{one} is"),
                many => format!("{} migrations are", many.len()),
            }
        ),
    }
}

/// Opens the queue of a role that runs on its own.
pub(crate) async fn shared_queue(
    options: &QueueOptions,
    database: &DatabaseOptions,
    role: &str,
) -> anyhow::Result<Queue> {
    if options.redis_url.is_none() {
        bail!(Contradiction(format!(
            "a {role} on its own needs Redis: set FANFARE_REDIS_URL, such as redis://127.0.0.1:6379, \
             or run every role in one process with `fanfare all`"
        )));
    }
    if database.database_url.kind() == Kind::Sqlite {
        bail!(Contradiction(format!(
            "a {role} on its own needs PostgreSQL: set FANFARE_DATABASE_URL, such as \
             postgres://user:password@host:5432/fanfare, or run every role in one process with \
             `fanfare all`"
        )));
    }
    queue(options).await
}

/// Opens the queue, in Redis or in this process.
pub(crate) async fn queue(options: &QueueOptions) -> anyhow::Result<Queue> {
    let config = QueueConfig {
        redis_url: options.redis_url.clone(),
        namespace: options.queue.clone(),
        ..QueueConfig::default()
    };
    Ok(queue::open(config).await?)
}

/// Limits of a session that serves reads and short writes.
pub(crate) fn short_session() -> Session {
    Session {
        idle_in_transaction: Some(Duration::from_secs(15)),
        statement: Some(Duration::from_secs(15)),
        lock: Some(Duration::from_secs(10)),
    }
}

/// A name for this start of a worker: where it runs, its process, and something that no other has.
pub(crate) fn worker_name() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}-{}-{}", host_name(), std::process::id(), &random[..6])
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

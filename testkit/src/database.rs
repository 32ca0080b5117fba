//! A database of a test's own.

use std::time::Duration;

use anyhow::{Context, Result};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

use crate::{SharedServer, postgres_url};

/// Key of the advisory lock under which a server's template is made.
const TEMPLATE_LOCK: i64 = 0x7465_7374_6b69_7400;

/// A fresh database for one test, gone on drop.
pub struct Database {
    url: String,
    _place: Place,
}

enum Place {
    Postgres { _database: PostgresDatabase },
    Sqlite { _folder: TempDir },
}

impl Database {
    /// A migrated database on the shared PostgreSQL: a copy of a template that is made once per
    /// server and schema, so all copies have what the migrations drew at random in common.
    ///
    /// # Panics
    /// When there is no server, or the migrations fail.
    pub async fn postgres() -> Self {
        let made = Self::make_postgres(true).await;
        made.unwrap_or_else(|error| panic!("make a PostgreSQL database: {error:#}"))
    }

    /// A PostgreSQL database without any table.
    ///
    /// # Panics
    /// When there is no server.
    pub async fn postgres_empty() -> Self {
        let made = Self::make_postgres(false).await;
        made.unwrap_or_else(|error| panic!("make a PostgreSQL database: {error:#}"))
    }

    /// A migrated SQLite file in a folder of its own.
    ///
    /// # Panics
    /// When the file system or a migration fails.
    pub async fn sqlite() -> Self {
        let database = Self::sqlite_empty().await;
        let migrated = migrate(&database.url).await;
        migrated.unwrap_or_else(|error| panic!("migrate an SQLite database: {error:#}"));
        database
    }

    /// An SQLite URL whose file is made by whoever connects first.
    ///
    /// # Panics
    /// When the file system fails.
    pub async fn sqlite_empty() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("fanfare-sqlite-")
            .tempdir()
            .expect("the temporary folder can be written");
        let file = folder.path().join("fanfare.db");
        Self {
            url: format!("sqlite://{}?mode=rwc", file.display()),
            _place: Place::Sqlite { _folder: folder },
        }
    }

    /// What to connect to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn make_postgres(migrated: bool) -> Result<Self> {
        let server = postgres_url().await;
        let admin = connect(&server).await?;
        let name = format!("fanfare_test_{}", Uuid::new_v4().simple());
        let template = match migrated {
            true => template(&server, &admin).await?,
            false => "template0".to_owned(),
        };
        run(
            &admin,
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await?;
        admin.close().await.context("leave PostgreSQL")?;
        Ok(Self {
            url: database_url(&server, &name)?,
            _place: Place::Postgres {
                _database: PostgresDatabase { name, server },
            },
        })
    }
}

/// A migrated database to copy, made under an advisory lock: each test may be a process of its
/// own, and they all begin at once. It gets its name last, so that a half-made one is never used.
async fn template(server: &SharedServer, admin: &DatabaseConnection) -> Result<String> {
    let name = concat!("fanfare_template_", env!("SCHEMA_DIGEST")).to_owned();
    run(admin, format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})")).await?;
    if !exists(admin, &name).await? {
        let unfinished = format!("{name}_unfinished");
        run(
            admin,
            format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"),
        )
        .await?;
        run(
            admin,
            format!("CREATE DATABASE {unfinished} TEMPLATE template0"),
        )
        .await?;
        migrate(&database_url(server, &unfinished)?).await?;
        run(
            admin,
            format!("ALTER DATABASE {unfinished} RENAME TO {name}"),
        )
        .await?;
    }
    run(admin, format!("SELECT pg_advisory_unlock({TEMPLATE_LOCK})")).await?;
    Ok(name)
}

async fn exists(admin: &DatabaseConnection, name: &str) -> Result<bool> {
    let found = admin
        .query_one_raw(Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT 1 FROM pg_database WHERE datname = $1",
            [name.into()],
        ))
        .await
        .context("look for the template")?;
    Ok(found.is_some())
}

async fn migrate(url: &str) -> Result<()> {
    let database = connect(url).await?;
    migration::migrate(&database)
        .await
        .context("apply the migrations")?;
    database
        .close()
        .await
        .context("leave the migrated database")
}

/// A pool of one connection: advisory locks belong to a session.
async fn connect(url: &str) -> Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let connected = sea_orm::Database::connect(options).await;
    connected.with_context(|| format!("connect to {url}"))
}

async fn run(admin: &DatabaseConnection, statement: String) -> Result<()> {
    let done = admin.execute_unprepared(&statement).await;
    done.map(drop).with_context(|| statement)
}

fn database_url(server: &str, name: &str) -> Result<String> {
    let mut url = Url::parse(server).context("FANFARE_TEST_DATABASE_URL")?;
    url.set_path(name);
    Ok(url.into())
}

/// Dropped with its connections, whatever state the test has left them in.
struct PostgresDatabase {
    name: String,
    server: SharedServer,
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // The test's own runtime may be this very thread's.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let work = async { run(&connect(&server).await?, statement).await };
                tokio::time::timeout(Duration::from_secs(10), work).await?
            })
        });
        // A database left on a server that goes with the test run hurts nobody.
        drop(dropping.join());
    }
}

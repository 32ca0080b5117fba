//! A PostgreSQL of a test's own with the schema, and what it knows of its sessions.

use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use testkit::PostgresServer;

/// A server with the schema.
pub(crate) async fn start() -> PostgresServer {
    let server = PostgresServer::start().await;
    let session = session(&server.url()).await;
    migration::migrate(&session).await.unwrap();
    session.close().await.unwrap();
    server
}

/// The database as the API connects to it.
pub(crate) async fn connect(url: &str, read_url: Option<&str>) -> entity::Database {
    let config = entity::Config {
        read_url: read_url.map(|url| url.parse().unwrap()),
        ..entity::Config::new(url.parse().unwrap())
    };
    entity::connect(&config).await.unwrap()
}

/// A session of the test's own.
pub(crate) async fn session(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}

/// How many sessions of the API are in that state.
pub(crate) async fn sessions(session: &DatabaseConnection, state: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fanfare' \
         AND datname = current_database() AND {state}"
    );
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = session.query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

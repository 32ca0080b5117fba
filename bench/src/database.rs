//! Databases of a benchmark's own PostgreSQL.

use entity::Database;
use sea_orm::ConnectionTrait;
use testkit::PostgresServer;

/// A fresh, migrated database.
pub(crate) async fn fresh(
    server: &PostgresServer,
    name: &str,
    connections: u32,
) -> anyhow::Result<Database> {
    let admin = entity::connect(&entity::Config::new(server.url().parse()?)).await?;
    admin
        .write
        .execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await?;
    admin.close().await;
    let mut config = entity::Config::new(url(server, name)?.parse()?);
    config.max_connections = 1;
    let db = entity::connect(&config).await?;
    migration::migrate(&db.write).await?;
    db.close().await;
    config.max_connections = connections;
    Ok(entity::connect(&config).await?)
}

/// Its address.
pub(crate) fn url(server: &PostgresServer, name: &str) -> anyhow::Result<String> {
    let mut url = url::Url::parse(&server.url())?;
    url.set_path(name);
    Ok(url.to_string())
}

//! A PostgreSQL that refuses us, or is not as we need it.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use testkit::{Database, PostgresServer};

use super::doctor;
use crate::world::{World, fanfare};

const PASSWORD: &str = "pw-of-a-role-1b2c";

/// A server of the test's own, on which anything may be done.
pub(super) async fn superuser(url: &str) -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}

pub(super) async fn run(db: &DatabaseConnection, statements: &[&str]) {
    for sql in statements {
        let done = db.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

async fn text(db: &DatabaseConnection, sql: &str) -> String {
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

pub(super) async fn migrate(url: &str) {
    let mut command = fanfare(&["migrate"]);
    command.env("FANFARE_DATABASE_URL", url);
    crate::world::ended(command).await.well();
}

fn with(url: &str, user: &str, password: &str, database: &str) -> String {
    let mut url: url::Url = url.parse().unwrap();
    url.set_username(user).unwrap();
    url.set_password(Some(password)).unwrap();
    url.set_path(database);
    url.into()
}

#[tokio::test]
async fn a_schema_that_is_missing_or_newer_is_told() {
    let world = World::over(Database::postgres_empty().await);
    let look = async || super::Told::of(world.run(&["doctor", "--json"]).await);
    let told = look().await;
    assert_eq!(told.code, Some(1));
    told.is(
        "database",
        "schema",
        "error",
        "m20261122_000001_initial",
        "fanfare migrate",
    );
    assert!(!told.has("database", "permissions") && !told.has("running", "providers"));

    world.run(&["migrate"]).await.well();
    let db = world.db().await;
    let newer =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20990101_000001_later', 0)";
    run(&db.write, &[newer]).await;
    db.close().await;
    let told = look().await;
    assert_eq!(told.code, Some(0), "{}", told.text);
    told.is("database", "schema", "note", "m20990101_000001_later", "");
    let checked = world.run(&["migrate", "--check"]).await.well();
    assert!(
        checked.contains("newer m20990101_000001_later"),
        "{checked}"
    );
}

#[tokio::test]
async fn each_refusal_and_each_lack_is_told_apart() {
    let server = PostgresServer::start().await;
    let admin = superuser(&server.url()).await;
    run(
        &admin,
        &[
            "CREATE DATABASE fanfare",
            &format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 12"),
            "CREATE ROLE closed LOGIN PASSWORD 'x'",
        ],
    )
    .await;
    let owner = with(&server.url(), "postgres", "", "fanfare");
    migrate(&owner).await;
    let tables = superuser(&owner).await;
    run(
        &tables,
        &[
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app",
            "REVOKE DELETE, UPDATE ON event FROM app",
            "ALTER TABLE host ENABLE ROW LEVEL SECURITY",
            "ALTER ROLE app SET default_transaction_isolation = 'serializable'",
        ],
    )
    .await;
    // Until now everybody was trusted.
    let hba = text(&admin, "SHOW hba_file").await;
    let rules =
        "host all closed all reject\nhost all postgres all trust\nhost all all all scram-sha-256\n";
    std::fs::write(hba, rules).unwrap();
    run(&admin, &["SELECT pg_reload_conf()"]).await;

    let look = async |user: &str, password: &str, database: &str| {
        let url = with(&server.url(), user, password, database);
        let told = doctor(&[("FANFARE_DATABASE_URL", &url)]).await;
        assert!(!told.text.contains(PASSWORD), "{}", told.text);
        told
    };
    testkit::eventually(crate::world::PATIENCE, "the rules hold", async || {
        look("app", "wrong", "fanfare")
            .await
            .found("database", "login")["state"]
            == "error"
    })
    .await;
    for (user, password, database, fix) in [
        ("app", "wrong", "fanfare", "ALTER ROLE \"app\" PASSWORD"),
        (
            "nobody",
            PASSWORD,
            "fanfare",
            "ALTER ROLE \"nobody\" PASSWORD",
        ),
        ("closed", "x", "fanfare", "pg_hba.conf"),
        ("app", PASSWORD, "elsewhere", "createdb"),
    ] {
        let told = look(user, password, database).await;
        assert_eq!(told.code, Some(1));
        told.is("database", "login", "error", "refused: ", fix);
    }

    let told = look("app", PASSWORD, "fanfare").await;
    assert_eq!(told.code, Some(1));
    told.is(
        "database",
        "permissions",
        "error",
        "UPDATE, DELETE on event",
        "GRANT UPDATE, DELETE ON event TO \"app\";",
    );
    told.is(
        "database",
        "row security",
        "error",
        "host",
        "DISABLE ROW LEVEL SECURITY",
    );
    told.is("database", "migrations", "note", "may not make tables", "");
    told.is(
        "database",
        "isolation",
        "warning",
        "",
        "SET default_transaction_isolation = 'read committed'",
    );
    told.is(
        "database",
        "connections",
        "warning",
        "of 12 in use, by the role's",
        "FANFARE_DATABASE_CONNECTIONS",
    );

    let grants = told.found("database", "permissions")["fix"]
        .as_str()
        .unwrap()
        .to_owned();
    let grants = grants.strip_prefix("as the tables' owner: ").unwrap();
    run(
        &tables,
        &[grants, "ALTER TABLE host DISABLE ROW LEVEL SECURITY"],
    )
    .await;
    run(
        &admin,
        &["ALTER ROLE app SET default_transaction_read_only = on"],
    )
    .await;
    let told = look("app", PASSWORD, "fanfare").await;
    told.is("database", "permissions", "ok", "all 13 tables", "");
    told.is(
        "database",
        "primary",
        "error",
        "only read",
        "default_transaction_read_only = off",
    );
}

#[tokio::test]
async fn every_table_of_ours_is_looked_at() {
    let world = World::postgres().await;
    let tables: Vec<_> = crate::dump::dump(&world).await.into_keys().collect();
    assert_eq!(tables, entity::server::TABLES);
}

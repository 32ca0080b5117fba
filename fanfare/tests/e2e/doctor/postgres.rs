//! A PostgreSQL that refuses us, or is not as we need it.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use testkit::{Database, PostgresServer};

use super::{Seen, Told, doctor, of_world, until};
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
    let look = async || of_world(&world).await;
    until(look, |told| {
        told.ends_with(1)?;
        let missing = "m20261122_000001_initial";
        told.is("database", "schema", "error", missing, "fanfare migrate")?;
        told.has_none("database", "permissions")?;
        told.has_none("running", "providers")
    })
    .await;

    world.run(&["migrate"]).await.well();
    let db = world.db().await;
    let newer =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20990101_000001_later', 0)";
    run(&db.write, &[newer]).await;
    db.close().await;
    until(look, |told| {
        told.ends_with(0)?;
        told.is("database", "schema", "note", "m20990101_000001_later", "")
    })
    .await;
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

    let sees = async |user: &str, password: &str, database: &str, seen: &dyn Fn(&Told) -> Seen| {
        let url = with(&server.url(), user, password, database);
        let look = async || {
            let told = doctor(&[("FANFARE_DATABASE_URL", &url)]).await;
            assert!(!told.text.contains(PASSWORD), "{}", told.text);
            told
        };
        until(look, seen).await
    };
    // The first look may come before the rules hold.
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
        sees(user, password, database, &|told| {
            told.ends_with(1)?;
            told.is("database", "login", "error", "refused: ", fix)
        })
        .await;
    }

    let told = sees("app", PASSWORD, "fanfare", &|told| {
        told.ends_with(1)?;
        let (found, fix) = (
            "UPDATE, DELETE on event",
            "GRANT UPDATE, DELETE ON event TO \"app\";",
        );
        told.is("database", "permissions", "error", found, fix)?;
        told.is(
            "database",
            "row security",
            "error",
            "host",
            "DISABLE ROW LEVEL SECURITY",
        )?;
        told.is("database", "migrations", "note", "may not make tables", "")?;
        let fix = "SET default_transaction_isolation = 'read committed'";
        told.is("database", "isolation", "warning", "", fix)?;
        let (found, fix) = (
            "of 12 in use, by the role's",
            "FANFARE_DATABASE_CONNECTIONS",
        );
        told.is("database", "connections", "warning", found, fix)
    })
    .await;

    let grants = told.found("database", "permissions").unwrap()["fix"]
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
    sees("app", PASSWORD, "fanfare", &|told| {
        told.is("database", "permissions", "ok", "all 13 tables", "")?;
        let fix = "default_transaction_read_only = off";
        told.is("database", "primary", "error", "only read", fix)
    })
    .await;
}

#[tokio::test]
async fn every_table_of_ours_is_looked_at() {
    let world = World::postgres().await;
    let tables: Vec<_> = crate::dump::dump(&world).await.into_keys().collect();
    assert_eq!(tables, entity::server::TABLES);
}

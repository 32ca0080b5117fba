//! The schema's history: one file a migration, applied in order, and nothing else.
//!
//! Migrations only expand: a release must run beside its predecessor on one database.

mod ingestion;
mod initial;
mod script;
mod serving;

use std::collections::HashSet;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

pub use sea_orm_migration::MigratorTrait;

/// Applies Fanfare's migrations; tests and `fanfare migrate` use it through [`MigratorTrait`].
#[derive(Debug, Clone, Copy)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(initial::Migration),
            Box::new(ingestion::Migration),
            Box::new(serving::Migration),
        ]
    }
}

/// How a database's schema stands against this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Every migration of this build is applied (a newer build's may be, too).
    Current,
    /// Some are missing; their names, in order.
    Behind(Vec<String>),
}

/// Compares the schema with this build; writes nothing.
///
/// # Errors
/// Whatever the database answers.
pub async fn status(db: &impl ConnectionTrait) -> Result<Status, DbErr> {
    let applied = applied(db).await?;
    let behind: Vec<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .filter(|name| !applied.contains(name))
        .collect();
    Ok(if behind.is_empty() {
        Status::Current
    } else {
        Status::Behind(behind)
    })
}

/// The applied migrations, whichever release they are of. `SeaORM`'s own look at them fails on one that
/// this build does not know, and would keep the release before from starting on a newer schema.
async fn applied(db: &impl ConnectionTrait) -> Result<HashSet<String>, DbErr> {
    let backend = db.get_database_backend();
    let begun = Statement::from_string(
        backend,
        match backend {
            DbBackend::Sqlite => "SELECT 1 FROM sqlite_master WHERE name = 'seaql_migrations'",
            _ => "SELECT 1 WHERE to_regclass('seaql_migrations') IS NOT NULL",
        },
    );
    if db.query_one_raw(begun).await?.is_none() {
        return Ok(HashSet::new());
    }
    let names = Statement::from_string(backend, "SELECT version FROM seaql_migrations");
    let rows = db.query_all_raw(names).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Key of the advisory lock under which PostgreSQL is migrated ("fanfare" in ASCII).
const ADVISORY_LOCK: i64 = 0x0066_616e_6661_7265;

/// Brings the schema up to date and names what was applied.
///
/// On PostgreSQL it holds an advisory lock meanwhile, so that of several at once one migrates and
/// the others find nothing to do; `db` must therefore be a pool of exactly one connection.
///
/// # Errors
/// Whatever the database answers; a failed migration is rolled back.
pub async fn migrate<'c, C>(db: &'c C) -> Result<Vec<String>, DbErr>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    let postgres = db.get_database_backend() == DbBackend::Postgres;
    let advisory = |call: &str| {
        Statement::from_string(
            DbBackend::Postgres,
            format!("SELECT {call}({ADVISORY_LOCK})"),
        )
    };
    if postgres {
        db.execute_raw(advisory("pg_advisory_lock")).await?;
    }
    let migrated = apply(db).await;
    if postgres {
        db.execute_raw(advisory("pg_advisory_unlock")).await?;
    }
    migrated
}

async fn apply<'c, C>(db: &'c C) -> Result<Vec<String>, DbErr>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    match status(db).await? {
        Status::Current => Ok(Vec::new()),
        Status::Behind(names) => {
            Migrator::up(db, None).await?;
            Ok(names)
        }
    }
}

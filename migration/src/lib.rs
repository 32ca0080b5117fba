//! The schema's history: one file a migration, applied in order, and nothing else.
//!
//! Migrations only expand: a release must run beside its predecessor on one database.

mod ingestion;
mod initial;
mod script;
mod serving;

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
    let behind: Vec<String> = Migrator::get_migration_with_status_read_only(db)
        .await?
        .into_iter()
        .filter(|migration| {
            migration.status() == sea_orm_migration::migrator::MigrationStatus::Pending
        })
        .map(|migration| migration.name().to_owned())
        .collect();
    Ok(if behind.is_empty() {
        Status::Current
    } else {
        Status::Behind(behind)
    })
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
    let pending = match status(db).await? {
        Status::Current => Vec::new(),
        Status::Behind(names) => names,
    };
    Migrator::up(db, None).await?;
    Ok(pending)
}

//! `fanfare migrate`.

use std::process::ExitCode;

use anyhow::Context;
use entity::Database;
use migration::{Migrator, MigratorTrait, Status};

use crate::cli::Migrate;
use crate::{show, start};

/// Brings the schema up to date, or tells what is missing.
pub(crate) async fn run(options: Migrate) -> anyhow::Result<ExitCode> {
    let db = start::database_to_migrate(&options.database).await?;
    let code = if options.check {
        check(&db).await?
    } else {
        let applied = migration::migrate(&db.write)
            .await
            .context("the migration failed and was rolled back")?;
        for name in &applied {
            show::line(&format!("applied {name}"));
        }
        if applied.is_empty() {
            show::line("the schema is up to date");
        }
        ExitCode::SUCCESS
    };
    db.close().await;
    Ok(code)
}

/// How the schema stands against this build.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Migrations of this build that are not applied, in order.
    pub(crate) missing: Vec<String>,
    /// Migrations that are applied and that this build does not know: a newer release has run.
    pub(crate) newer: Vec<String>,
}

/// Compares the schema with this build; writes nothing.
pub(crate) async fn schema(db: &Database) -> anyhow::Result<Schema> {
    let status = migration::status(&db.write)
        .await
        .context("can't read the database's schema")?;
    let applied = entity::server::applied_migrations(db)
        .await
        .context("can't read which migrations were applied")?;
    let known = Migrator::get_migration_files();
    Ok(Schema {
        missing: match status {
            Status::Current => Vec::new(),
            Status::Behind(missing) => missing,
        },
        newer: applied
            .into_iter()
            .filter(|name| known.iter().all(|known| known.name() != name))
            .collect(),
    })
}

async fn check(db: &Database) -> anyhow::Result<ExitCode> {
    let Schema { missing, newer } = schema(db).await?;
    for name in &missing {
        show::line(&format!("missing {name}"));
    }
    for name in &newer {
        show::line(&format!("newer {name}: of a release after this one"));
    }
    if missing.is_empty() {
        show::line("the schema is up to date");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

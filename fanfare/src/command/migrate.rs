//! `fanfare migrate`.

use std::process::ExitCode;

use anyhow::Context;
use migration::Status;

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

async fn check(db: &entity::Database) -> anyhow::Result<ExitCode> {
    let status = migration::status(&db.write)
        .await
        .context("can't read the database's schema")?;
    Ok(match status {
        Status::Current => {
            show::line("the schema is up to date");
            ExitCode::SUCCESS
        }
        Status::Behind(missing) => {
            for name in missing {
                show::line(&format!("missing {name}"));
            }
            ExitCode::FAILURE
        }
    })
}

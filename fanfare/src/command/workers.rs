//! `fanfare worker list`.

use entity::worker;

use crate::cli::{WorkerCommand, WorkerList};
use crate::{show, start};

/// Runs one of the subcommands.
pub(crate) async fn run(command: WorkerCommand) -> anyhow::Result<()> {
    match command {
        WorkerCommand::List(options) => list(options).await,
    }
}

async fn list(options: WorkerList) -> anyhow::Result<()> {
    let db = start::database(&options.database).await?;
    let workers = worker::list(&db.read).await?;
    db.close().await;
    if options.json {
        return show::json(&workers);
    }
    let rows: Vec<_> = workers
        .iter()
        .map(|worker| {
            [
                worker.name.clone(),
                worker.version.clone(),
                format!("{} of {}", worker.running, worker.concurrency),
                show::instant(Some(worker.started_at)),
                format!("{} ago", show::duration_ms(worker.silent_ms / 1000 * 1000)),
            ]
        })
        .collect();
    show::table(
        ["NAME", "VERSION", "RUNNING", "STARTED", "LAST SIGN OF LIFE"],
        &rows,
    );
    Ok(())
}

//! `fanfare worker list`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::clock;
use entity::worker::{self, Summary};

use crate::cli::{WorkerCommand, WorkerList};
use crate::show::{self, Cell, Column, Tone};
use crate::start;

/// Runs one of the subcommands.
pub(crate) async fn run(command: WorkerCommand) -> anyhow::Result<()> {
    match command {
        WorkerCommand::List(options) => list(options).await,
    }
}

async fn list(options: WorkerList) -> anyhow::Result<()> {
    let db = start::database(&options.database).await?;
    let workers = worker::list(&db.read).await?;
    let now = clock::now(&db.read).await?;
    db.close().await;
    if options.json {
        return show::json(&workers);
    }
    let row = |worker| row(worker, options.lease.lease, now);
    let rows: Vec<_> = workers.iter().map(row).collect();
    show::table(&COLUMNS, &rows);
    Ok(())
}

const COLUMNS: [Column; 8] = [
    Column::new("NAME").least(16),
    Column::new("VERSION").leaves(1),
    Column::new("STATE"),
    Column::number("SLOTS"),
    Column::number("RUNNING"),
    Column::new("STARTED").leaves(0),
    Column::new("AGE"),
    Column::new("LAST SIGN OF LIFE"),
];

fn row(worker: &Summary, lease: Duration, now: DateTime<Utc>) -> [Cell; 8] {
    let (state, tone) = standing(worker, lease);
    [
        Cell::from(worker.name.as_str()),
        worker.version.as_str().into(),
        Cell::new(state, tone),
        show::number(worker.concurrency.unsigned_abs()).into(),
        show::number(worker.running.unsigned_abs()).into(),
        show::instant(Some(worker.started_at)).into(),
        show::from_now(worker.started_at, now).into(),
        match tone {
            Tone::Bad => Cell::new(show::from_now(worker.seen_at, now), tone),
            _ => show::from_now(worker.seen_at, now).into(),
        },
    ]
}

/// A worker that was silent for a lease has lost its runs to others.
fn standing(worker: &Summary, lease: Duration) -> (&'static str, Tone) {
    if u128::from(worker.silent_ms.max(0).unsigned_abs()) > lease.as_millis() {
        ("silent", Tone::Bad)
    } else if worker.running > 0 {
        ("busy", Tone::Busy)
    } else {
        ("idle", Tone::Good)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_worker_is_silent_after_a_lease_without_a_sign_of_life() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let worker = |running, silent_ms: i64| Summary {
            name: "host-1".to_owned(),
            version: "1.0.0".to_owned(),
            concurrency: 16,
            running,
            started_at: at,
            seen_at: at - TimeDelta::milliseconds(silent_ms),
            silent_ms,
        };
        let state =
            |running, silent_ms| standing(&worker(running, silent_ms), Duration::from_secs(20)).0;
        assert_eq!(state(0, 0), "idle");
        assert_eq!(state(3, 20_000), "busy");
        assert_eq!(state(3, 20_001), "silent");
        // Its clock is the database's, but milliseconds are rounded.
        assert_eq!(state(0, -1), "idle");
    }
}

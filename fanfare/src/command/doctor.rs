//! `fanfare doctor`: looks at everything that Fanfare needs, and says how to fix what is wrong.
//!
//! What is looked at becomes facts, and pure functions make findings of them. Nothing is changed: a file
//! that tries a folder is gone before the next line, Redis is asked what it would take and takes nothing,
//! and of the database everything is read. All is looked at, whatever fails, and each wait is bounded.

mod blocking;
mod clock;
mod finding;
mod limits;
mod machine;
mod postgres;
mod process;
mod program;
mod providers;
mod reach;
mod receiver;
mod redis;
mod replica;
mod report;
mod running;
mod spool;
mod sqlite;

use std::process::ExitCode;
use std::time::Duration;

use entity::Kind;

use crate::cli::{All, Doctor};
use crate::show;
use finding::{Finding, Group};

/// What one group may take in all, on top of the bounds of its parts.
const WITHIN: Duration = Duration::from_secs(13);

/// Looks at everything, and tells it.
pub(crate) async fn run(options: Doctor) -> anyhow::Result<ExitCode> {
    let mut findings = examine(&options.roles).await;
    // Those of a group stand together, in the order in which they were found.
    findings.sort_by_key(|finding| finding.group);
    match options.json {
        true => show::json(&findings)?,
        false => report::tell(&findings),
    }
    Ok(report::code(&findings, options.strict))
}

async fn examine(options: &All) -> Vec<Finding> {
    let (mut here, mut stores, mut redis) = (Vec::new(), Vec::new(), Vec::new());
    let (mut processes, mut telemetry) = (Vec::new(), Vec::new());
    let (mut database_here, mut redis_here) = (false, false);
    tokio::join!(
        bounded(Group::Program, &mut here, async |found| {
            program::look(options, found).await;
        }),
        bounded(Group::Database, &mut stores, async |found| {
            database_here = database(options, found).await;
        }),
        bounded(Group::Queue, &mut redis, async |found| {
            redis_here = redis::look(options, found).await;
        }),
        bounded(Group::Process, &mut processes, async |found| {
            process::look(options, found).await;
        }),
        bounded(Group::Telemetry, &mut telemetry, async |found| {
            receiver::look(|name| std::env::var(name).ok(), found).await;
        }),
    );
    here.extend(machine::look(database_here, redis_here));
    [here, stores, redis, processes, telemetry].concat()
}

/// What was found in time counts, also where something did not end.
async fn bounded(
    group: Group,
    found: &mut Vec<Finding>,
    look: impl AsyncFnOnce(&mut Vec<Finding>),
) {
    if tokio::time::timeout(WITHIN, look(found)).await.is_err() {
        found.push(group.error(
            "time",
            format!("not looked at to the end within {} s", WITHIN.as_secs()),
            "something there is slow: see what was found before, and try again",
        ));
    }
}

/// The database and what runs on it. True if its server is this machine's.
async fn database(options: &All, found: &mut Vec<Finding>) -> bool {
    let looked = match options.database.database_url.kind() {
        Kind::Sqlite => sqlite::look(options, found).await.map(|db| (db, false)),
        Kind::Postgres => postgres::look(options, found).await,
    };
    let Some((db, here)) = looked else {
        if options.database.database_read_url.is_some() {
            replica::look(options, None, found).await;
        }
        return false;
    };
    replica::look(options, Some(&db), found).await;
    running::look(options, &db, found).await;
    db.close().await;
    here
}

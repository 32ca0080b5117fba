//! An embedded database: its file, and what is around it.
//!
//! A file whose journal is not a write-ahead log yet is left alone: whoever opens it as we do makes it one.

mod file;

use entity::Database;

use super::finding::{Finding, Group};
use super::{blocking, limits, postgres, spool};
use crate::cli::All;
use crate::command::migrate;
use crate::start;
use file::{Facts, FileKind};

const GROUP: Group = Group::Database;
const FILE: &str = "file";
const OWN: &str = "give it to the user that runs Fanfare: `chown USER FILE*`";
/// Below this nothing of any size can be committed.
const LITTLE: u64 = 1 << 30;

/// Looks at the file. Gives the database if our tables can be asked.
pub(super) async fn look(options: &All, found: &mut Vec<Finding>) -> Option<Database> {
    let path = options.database.database_url.path()?;
    let at = path.display().to_string();
    let facts = match blocking::look(GROUP, FILE, at, move || Facts::of(path)).await {
        Ok(facts) => facts,
        Err(too_slow) => {
            found.push(too_slow);
            return None;
        }
    };
    found.extend(judge(&facts));
    if facts.kind != Some(FileKind::WriteAhead)
        || facts.unwritable.is_some()
        || facts.folder.is_some()
    {
        return None;
    }
    let opened = start::database_to_migrate(&options.database).await;
    let db = match opened {
        Ok(db) => db,
        Err(error) => {
            found.push(GROUP.error(
                "login",
                format!("{error:#}"),
                "see whether another program holds the file: `fuser -v FILE`",
            ));
            return None;
        }
    };
    let schema = migrate::schema(&db).await;
    let usable = schema
        .as_ref()
        .is_ok_and(|schema| schema.missing.is_empty());
    found.push(postgres::judge_schema(GROUP, schema));
    if !usable {
        db.close().await;
        return None;
    }
    Some(db)
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let at = facts.path.display();
    let mut found = Vec::new();
    if let Some(why) = &facts.folder {
        found.push(GROUP.error(
            "folder",
            format!("no file can be made beside {at}, as SQLite has to: {why}"),
            "make the folder and let this user write it, or correct FANFARE_DATABASE_URL; in a container, \
             mount a volume there",
        ));
    }
    match facts.file_system.as_deref() {
        Some(kind) if spool::is_remote(kind) => found.push(GROUP.error(
            "file system",
            format!("{at} is on another machine ({kind}), where SQLite's locks do not hold"),
            "move the file to a local disk, or use PostgreSQL",
        )),
        Some(kind @ ("tmpfs" | "ramfs")) => found.push(GROUP.warning(
            "file system",
            format!("{at} is in memory ({kind}): it is gone with the machine"),
            "move the file to a disk",
        )),
        _ => {}
    }
    if let Some(free) = facts.free_bytes {
        found.push(match free < LITTLE {
            true => GROUP.warning(
                "space",
                format!("{} free: a full disk stops all syncs", limits::bytes(free)),
                "make room, or move the file to a larger disk",
            ),
            false => GROUP.ok("space", format!("{} free", limits::bytes(free))),
        });
    }
    found.push(judge_file(facts));
    if let Some(pid) = facts.holder {
        found.push(GROUP.note("in use", format!("by process {pid}, which runs its roles")));
    }
    found
}

fn judge_file(facts: &Facts) -> Finding {
    let at = facts.path.display();
    let migrate = "`fanfare migrate` does it, and so does `fanfare all` when it starts";
    match (facts.kind, &facts.unwritable) {
        (None, _) => GROUP.hint(FILE, format!("there is none at {at} yet"), format!("make it: {migrate}")),
        (Some(FileKind::Foreign), _) => GROUP.error(
            FILE,
            format!("{at} is no SQLite database"),
            "correct FANFARE_DATABASE_URL, or restore the file from a backup",
        ),
        (Some(FileKind::Unreadable), _) => GROUP.error(
            FILE,
            format!("{at} can't be read"),
            OWN,
        ),
        (_, Some(why)) => GROUP.error(
            FILE,
            format!("{at} can't be written: {why}"),
            OWN,
        ),
        (Some(FileKind::Empty), _) => {
            GROUP.hint(FILE, format!("{at} is empty"), format!("make its tables: {migrate}"))
        }
        (Some(FileKind::Rollback), _) => GROUP.hint(
            FILE,
            format!("{at} keeps no write-ahead log yet, as after a restore; its tables are not looked at"),
            format!("bring it up to date: {migrate}"),
        ),
        (Some(FileKind::WriteAhead), None) => GROUP.ok(FILE, at.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::{State, told};

    fn facts() -> Facts {
        Facts {
            path: "/data/fanfare.db".into(),
            kind: Some(FileKind::WriteAhead),
            file_system: Some("ext4".to_owned()),
            free_bytes: Some(LITTLE),
            ..Facts::default()
        }
    }

    #[test]
    fn each_thing_about_the_file_is_judged() {
        let good = judge(&facts());
        assert!(good.iter().all(|it| it.state == State::Ok), "{good:#?}");
        let why = || Some("permission denied".to_owned());
        for (facts, check, state) in [
            (
                Facts {
                    folder: why(),
                    ..facts()
                },
                "folder",
                State::Error,
            ),
            (
                Facts {
                    unwritable: why(),
                    ..facts()
                },
                "file",
                State::Error,
            ),
            (
                Facts {
                    kind: Some(FileKind::Foreign),
                    ..facts()
                },
                "file",
                State::Error,
            ),
            (
                Facts {
                    kind: None,
                    unwritable: why(),
                    ..facts()
                },
                "file",
                State::Note,
            ),
            (
                Facts {
                    kind: Some(FileKind::Unreadable),
                    unwritable: why(),
                    ..facts()
                },
                "file",
                State::Error,
            ),
            (
                Facts {
                    kind: Some(FileKind::Empty),
                    ..facts()
                },
                "file",
                State::Note,
            ),
            (
                Facts {
                    kind: Some(FileKind::Rollback),
                    ..facts()
                },
                "file",
                State::Note,
            ),
            (
                Facts {
                    file_system: Some("nfs4".to_owned()),
                    ..facts()
                },
                "file system",
                State::Error,
            ),
            (
                Facts {
                    file_system: Some("tmpfs".to_owned()),
                    ..facts()
                },
                "file system",
                State::Warning,
            ),
            (
                Facts {
                    free_bytes: Some(LITTLE - 1),
                    ..facts()
                },
                "space",
                State::Warning,
            ),
            (
                Facts {
                    holder: Some(7),
                    ..facts()
                },
                "in use",
                State::Note,
            ),
        ] {
            let found = judge(&facts);
            assert_eq!(told::of(&found, check).state, state, "{check}: {facts:?}");
        }
    }
}

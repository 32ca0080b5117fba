//! An embedded database: its file, and what is around it.
//!
//! A file whose journal is not a write-ahead log yet is left alone: whoever opens it as we do makes it one.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use entity::Database;

use super::finding::{Finding, Group};
use super::{limits, postgres, spool};
use crate::cli::Doctor;
use crate::command::migrate;
use crate::start;

const GROUP: Group = Group::Database;
/// Below this nothing of any size can be committed.
const LITTLE: u64 = 1 << 30;

/// What is known of the file and its folder.
#[derive(Debug, Default)]
struct Facts {
    path: PathBuf,
    kind: Option<FileKind>,
    /// Why files can't be made beside it.
    folder: Option<String>,
    /// Why it can't be written.
    unwritable: Option<String>,
    file_system: Option<String>,
    free_bytes: Option<u64>,
    /// The process that runs roles on it.
    holder: Option<u32>,
}

/// See <https://www.sqlite.org/fileformat.html>, bytes 18 and 19.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    WriteAhead,
    Rollback,
    Empty,
    Foreign,
}

/// Looks at the file. Gives the database if our tables can be asked.
pub(super) async fn look(options: &Doctor, found: &mut Vec<Finding>) -> Option<Database> {
    let facts = Facts::of(options.database.database_url.path()?);
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

impl Facts {
    fn of(path: PathBuf) -> Self {
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new(".")).to_owned();
        let opened = File::options().read(true).write(true).open(&path);
        Self {
            kind: kind(&path),
            folder: tempfile::tempfile_in(&folder)
                .err()
                .map(|it| it.to_string()),
            unwritable: opened.err().map(|error| error.to_string()),
            file_system: spool::file_system(&folder),
            free_bytes: spool::free_bytes(&folder),
            holder: holder(&path),
            path,
        }
    }
}

/// `None` if there is no file.
fn kind(path: &Path) -> Option<FileKind> {
    let mut head = [0; 20];
    let mut file = File::open(path).ok()?;
    match file.read_exact(&mut head) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Some(FileKind::Foreign),
        Err(_) => Some(match file.metadata().ok()?.len() {
            0 => FileKind::Empty,
            _ => FileKind::Foreign,
        }),
        Ok(()) if !head.starts_with(b"SQLite format 3\0") => Some(FileKind::Foreign),
        Ok(()) => Some(match head[18..20] {
            [2, 2] => FileKind::WriteAhead,
            _ => FileKind::Rollback,
        }),
    }
}

/// The process that holds the lock file. To try the lock might keep a role from its start at this very
/// moment, so the kernel's list is read.
fn holder(database: &Path) -> Option<u32> {
    let mut lock = database.as_os_str().to_owned();
    lock.push(".lock");
    let inode = std::fs::metadata(lock).ok()?.ino();
    of_locks(&std::fs::read_to_string("/proc/locks").ok()?, inode)
}

/// See `proc_locks(5)`: `1: FLOCK ADVISORY WRITE 123 08:01:4567 0 EOF`.
fn of_locks(locks: &str, inode: u64) -> Option<u32> {
    let inode = format!(":{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let &[_, "FLOCK", _, _, pid, file, ..] = words.as_slice() else {
            return None;
        };
        file.ends_with(&inode).then(|| pid.parse().ok())?
    })
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
    found.push(file(facts));
    if let Some(pid) = facts.holder {
        found.push(GROUP.note("in use", format!("by process {pid}, which runs its roles")));
    }
    found
}

fn file(facts: &Facts) -> Finding {
    let at = facts.path.display();
    let migrate = "`fanfare migrate` does it, and so does `fanfare all` when it starts";
    match (facts.kind, &facts.unwritable) {
        (None, _) => GROUP.hint("file", format!("there is none at {at} yet"), format!("make it: {migrate}")),
        (Some(FileKind::Foreign), _) => GROUP.error(
            "file",
            format!("{at} is no SQLite database"),
            "correct FANFARE_DATABASE_URL, or restore the file from a backup",
        ),
        (_, Some(why)) => GROUP.error(
            "file",
            format!("{at} can't be written: {why}"),
            "give it to the user that runs Fanfare: `chown USER FILE*`",
        ),
        (Some(FileKind::Empty), _) => {
            GROUP.hint("file", format!("{at} is empty"), format!("make its tables: {migrate}"))
        }
        (Some(FileKind::Rollback), _) => GROUP.hint(
            "file",
            format!("{at} keeps no write-ahead log yet, as after a restore; its tables are not looked at"),
            format!("bring it up to date: {migrate}"),
        ),
        (Some(FileKind::WriteAhead), None) => GROUP.ok("file", at.to_string()),
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

    #[test]
    fn a_file_is_known_by_its_head() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        assert_eq!(kind(&path), None);
        let head = |journal| [&b"SQLite format 3\0\x10\0"[..], &[journal, journal, 0]].concat();
        for (bytes, is) in [
            (Vec::new(), FileKind::Empty),
            (b"hello".to_vec(), FileKind::Foreign),
            (b"something longer than a head".to_vec(), FileKind::Foreign),
            (head(1), FileKind::Rollback),
            (head(2), FileKind::WriteAhead),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(kind(&path), Some(is));
        }
    }

    #[test]
    fn who_holds_the_lock_file_is_read_from_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 08:01:177 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 08:01:77 0 EOF\n";
        assert_eq!(of_locks(locks, 77), Some(13));
        assert_eq!(of_locks(locks, 7), None);
    }
}

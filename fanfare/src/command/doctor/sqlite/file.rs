//! What is known of a database's file without opening it as one.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::command::doctor::spool;

/// What is known of the file and its folder.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) path: PathBuf,
    pub(super) kind: Option<FileKind>,
    /// Why files can't be made beside it.
    pub(super) folder: Option<String>,
    /// Why it can't be written.
    pub(super) unwritable: Option<String>,
    pub(super) file_system: Option<String>,
    pub(super) free_bytes: Option<u64>,
    /// The process that runs roles on it.
    pub(super) holder: Option<u32>,
}

/// See <https://www.sqlite.org/fileformat.html>, bytes 18 and 19.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    WriteAhead,
    Rollback,
    Empty,
    Foreign,
    Unreadable,
}

impl Facts {
    pub(super) fn of(path: PathBuf) -> Self {
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new(".")).to_owned();
        let kind = kind(&path);
        let writable = || File::options().read(true).write(true).open(&path);
        Self {
            kind,
            folder: tempfile::tempfile_in(&folder)
                .err()
                .map(|it| it.to_string()),
            unwritable: match kind {
                // Opening what is no file may do something.
                None | Some(FileKind::Foreign) => None,
                Some(_) => writable().err().map(|error| error.to_string()),
            },
            file_system: spool::file_system(&folder),
            free_bytes: spool::free_bytes(&folder),
            holder: holder(&path),
            path,
        }
    }
}

/// `None` if there is no file.
fn kind(path: &Path) -> Option<FileKind> {
    // Opening a pipe would wait for whoever writes to it.
    if !std::fs::metadata(path).ok()?.is_file() {
        return Some(FileKind::Foreign);
    }
    let mut head = [0; 20];
    let Ok(mut file) = File::open(path) else {
        return Some(FileKind::Unreadable);
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::providers::tests::make_pipe;

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
        let pipe = folder.path().join("pipe");
        make_pipe(&pipe);
        assert_eq!(kind(&pipe), Some(FileKind::Foreign));
        assert_eq!(Facts::of(pipe).unwritable, None);
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

//! The folders in which large feeds and large answers lie for a while.

use std::io;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Group};
use super::{blocking, limits};
use crate::cli::All;
use crate::command::roles;

const GROUP: Group = Group::Program;

/// A folder, and what it is for.
struct Spool {
    check: &'static str,
    folder: PathBuf,
    most_bytes: u64,
    folder_setting: &'static str,
    bytes_setting: &'static str,
}

/// What is known of a folder.
#[derive(Debug, Default)]
struct Facts {
    /// Why no file can be made there.
    unwritable: Option<String>,
    /// What it lies on, as the kernel calls it.
    file_system: Option<String>,
    free_bytes: Option<u64>,
}

/// Looks at both folders.
pub(super) async fn look(options: &All) -> Vec<Finding> {
    let (feeds, answers) = tokio::join!(look_at(of_feeds(options)), async {
        Some(look_at(of_answers(options)?).await)
    });
    [feeds].into_iter().chain(answers).collect()
}

fn of_feeds(options: &All) -> Spool {
    let feeds = roles::fetch_config(&options.worker.fetch).spool;
    Spool {
        check: "feeds' folder",
        folder: feeds.directory,
        most_bytes: feeds.total,
        folder_setting: "FANFARE_SPOOL_DIR",
        bytes_setting: "FANFARE_MAX_SPOOL",
    }
}

/// `None` if the API's settings make no sense, which is told elsewhere.
fn of_answers(options: &All) -> Option<Spool> {
    let api = options.api.config(1).ok()?;
    Some(Spool {
        check: "answers' folder",
        folder: api.spool_folder.unwrap_or_else(std::env::temp_dir),
        most_bytes: api.spool_bytes,
        folder_setting: "FANFARE_API_SPOOL_DIR",
        bytes_setting: "FANFARE_API_MAX_SPOOL",
    })
}

async fn look_at(spool: Spool) -> Finding {
    let folder = spool.folder.clone();
    let at = spool.folder.display();
    match blocking::look(GROUP, spool.check, at, move || facts(&folder)).await {
        Ok(facts) => judge(&spool, &facts),
        Err(too_slow) => too_slow,
    }
}

fn facts(folder: &Path) -> Facts {
    Facts {
        unwritable: write(folder).err().map(|error| error.to_string()),
        file_system: file_system(folder),
        free_bytes: free_bytes(folder),
    }
}

/// The file has no name, or loses it at once: nothing stays.
fn write(folder: &Path) -> io::Result<()> {
    use io::Write;
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(b"fanfare doctor")?;
    file.sync_data()
}

/// What a folder lies on.
pub(super) fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    of_mounts(&mounts, &folder)
}

/// See `proc_pid_mountinfo(5)`: the fifth field is where, what follows the dash is what.
fn of_mounts(mounts: &str, folder: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let at = before.split(' ').nth(4)?.replace("\\040", " ");
        let kind = after.split(' ').next()?.to_owned();
        folder.starts_with(&at).then_some((at.len(), kind))
    });
    // A later mount at the same place hides an earlier one.
    mounts
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

/// What we could still write there.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(folder).ok()?;
    Some(told.f_bavail.saturating_mul(told.f_frsize))
}

/// Whether it is somewhere else.
pub(super) fn is_remote(file_system: &str) -> bool {
    [
        "nfs",
        "cifs",
        "smb",
        "9p",
        "ceph",
        "glusterfs",
        "fuse.sshfs",
    ]
    .iter()
    .any(|kind| file_system.starts_with(kind))
}

fn judge(spool: &Spool, facts: &Facts) -> Finding {
    let (check, at) = (spool.check, spool.folder.display());
    let (folder, bytes) = (spool.folder_setting, spool.bytes_setting);
    if let Some(why) = &facts.unwritable {
        return GROUP.error(
            check,
            format!("{at} can't be written: {why}"),
            format!(
                "give {folder} a folder that this user may write; in a container with a read-only root, \
                 mount a volume there"
            ),
        );
    }
    match facts.file_system.as_deref() {
        Some(kind @ ("tmpfs" | "ramfs")) => {
            return GROUP.warning(
                check,
                format!(
                    "{at} is in memory ({kind}): what lies there counts against the memory limit"
                ),
                format!("give {folder} a folder on a disk"),
            );
        }
        Some(kind) if is_remote(kind) => {
            return GROUP.warning(
                check,
                format!("{at} is on another machine ({kind}): what lies there is read and written slowly"),
                format!("give {folder} a folder on a local disk"),
            );
        }
        _ => {}
    }
    match facts.free_bytes {
        Some(free) if free < spool.most_bytes => GROUP.warning(
            check,
            format!(
                "{at} has {} free, less than the {} that may be taken",
                limits::bytes(free),
                limits::bytes(spool.most_bytes)
            ),
            format!("make room, or set {bytes}={} or less", free / 2),
        ),
        Some(free) => GROUP.ok(check, format!("{at}, {} free", limits::bytes(free))),
        None => GROUP.ok(check, at.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::State;

    #[test]
    fn a_folder_is_judged_by_what_it_is() {
        let facts = |kind: &str, free| Facts {
            unwritable: None,
            file_system: Some(kind.to_owned()),
            free_bytes: free,
        };
        for (facts, state, word) in [
            (facts("ext4", Some(100)), State::Ok, "free"),
            (facts("overlay", None), State::Ok, "/spool"),
            (facts("ext4", Some(99)), State::Warning, "less than"),
            (facts("tmpfs", Some(1 << 40)), State::Warning, "in memory"),
            (
                facts("nfs4", Some(1 << 40)),
                State::Warning,
                "another machine",
            ),
            (
                Facts {
                    unwritable: Some("permission denied".to_owned()),
                    ..facts("ext4", Some(1 << 40))
                },
                State::Error,
                "permission denied",
            ),
        ] {
            let spool = Spool {
                check: "feeds' folder",
                folder: "/spool".into(),
                most_bytes: 100,
                folder_setting: "FANFARE_SPOOL_DIR",
                bytes_setting: "FANFARE_MAX_SPOOL",
            };
            let finding = judge(&spool, &facts);
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.found.contains(word), "{finding:?}");
        }
    }

    #[test]
    fn the_innermost_and_last_mount_counts() {
        let mounts = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      22 21 0:5 / /tmp rw,nosuid shared:3 - tmpfs tmpfs rw\n\
                      23 21 0:6 / /var/my\\040data rw - xfs /dev/sdb rw\n\
                      24 22 0:7 / /tmp rw - ext4 /dev/sdc rw\n";
        let of = |folder: &str| of_mounts(mounts, Path::new(folder));
        assert_eq!(of("/tmp/x").as_deref(), Some("ext4"));
        assert_eq!(of("/tmpfiles").as_deref(), Some("ext4"));
        assert_eq!(of("/var/my data/x").as_deref(), Some("xfs"));
        assert_eq!(of_mounts("", Path::new("/")), None);
    }

    #[test]
    fn a_look_leaves_nothing_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(facts(folder.path()).unwritable.is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(facts(&folder.path().join("missing")).unwritable.is_some());
        assert!(facts(folder.path()).free_bytes.is_some());
    }
}

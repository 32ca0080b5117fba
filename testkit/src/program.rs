//! Where the servers' programs are, and how they are started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Finds a program on the path.
pub(crate) fn on_path(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .with_context(|| format!("{name} is not installed: run scripts/test, which installs it"))
}

/// Finds one of PostgreSQL's programs: Debian keeps them off the path, one folder a version, of
/// which the highest is taken.
pub(crate) fn of_postgres(name: &str) -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    versions
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .map(|version| (version, debian_program(version, name)))
        .filter(|(_, program)| program.is_file())
        .max()
        .map_or_else(|| on_path(name), |(_, program)| Ok(program))
}

fn debian_program(version: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/usr/lib/postgresql/{version}/bin/{name}"))
}

/// A command that the kernel kills when the thread that started it ends, where `setpriv` can
/// arrange that: a test that is killed drops nothing.
pub(crate) fn tied(program: impl Into<OsString>) -> Command {
    let tie = ["--pdeathsig", "KILL"];
    let probe = Command::new("setpriv")
        .args(tie)
        .arg("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if probe.is_ok_and(|status| status.success()) {
        let mut command = Command::new("setpriv");
        command.args(tie).arg("--").arg(program.into());
        command
    } else {
        Command::new(program.into())
    }
}

/// The user that PostgreSQL runs as; it refuses to be root.
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// `None` when this process is not root and needs no other.
    pub(crate) fn instead_of_root() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        let named = |name: &str| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                (fields.next() == Some(name)).then_some(())?;
                let (uid, gid) = (fields.nth(1)?, fields.next()?);
                Some(Self {
                    uid: uid.parse().ok()?,
                    gid: gid.parse().ok()?,
                })
            })
        };
        let user = named("postgres").or_else(|| named("nobody"));
        user.map(Some)
            .context("PostgreSQL does not run as root: there is no user postgres or nobody")
    }

    /// Gives the folder to this user.
    pub(crate) fn own(&self, folder: &Path) -> Result<()> {
        std::os::unix::fs::chown(folder, Some(self.uid), Some(self.gid))
            .with_context(|| format!("give {} to another user", folder.display()))
    }

    /// The program as this user. A change of user clears the parent-death signal, so it comes
    /// before the tie.
    pub(crate) fn tied(&self, program: &Path) -> Command {
        let tied = tied(program);
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={}", self.uid))
            .arg(format!("--regid={}", self.gid))
            .args(["--clear-groups", "--"])
            .arg(tied.get_program())
            .args(tied.get_args());
        command
    }
}

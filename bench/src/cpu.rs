//! CPU time of this process and of a server's whole process tree, from Linux's `/proc` (proc(5)).

use std::time::Duration;

use anyhow::Context;

/// Ticks a second in `/proc/PID/stat`: fixed at 100 for user space on Linux.
const TICKS: u64 = 100;

/// CPU time so far, user and system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) own: Duration,
    pub(crate) server: Duration,
}

impl Cpu {
    /// Of this process, and of the process `server` with its children, living and dead.
    pub(crate) fn now(server: u32) -> anyhow::Result<Self> {
        let own = stat(std::process::id())?.ticks;
        let mut of_server = stat(server)?.with_dead_children;
        for entry in std::fs::read_dir("/proc").context("can't read /proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may end while it is looked at.
            if let Ok(stat) = stat(pid)
                && stat.parent == server
            {
                of_server += stat.with_dead_children;
            }
        }
        Ok(Self {
            own: duration(own),
            server: duration(of_server),
        })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            own: self.own.saturating_sub(earlier.own),
            server: self.server.saturating_sub(earlier.server),
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.own + self.server
    }
}

fn duration(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / TICKS)
}

struct Stat {
    parent: u32,
    ticks: u64,
    with_dead_children: u64,
}

fn stat(pid: u32) -> anyhow::Result<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("can't read the CPU time of process {pid}"))?;
    // The name in parentheses may hold anything; the fields after it are numbers.
    let (_, rest) = text
        .rsplit_once(')')
        .context("unknown form of /proc/PID/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |index: usize| -> anyhow::Result<u64> {
        fields
            .get(index)
            .and_then(|field| field.parse().ok())
            .context("unknown form of /proc/PID/stat")
    };
    let ticks = field(11)? + field(12)?;
    Ok(Stat {
        parent: u32::try_from(field(1)?)?,
        ticks,
        with_dead_children: ticks + field(13)? + field(14)?,
    })
}

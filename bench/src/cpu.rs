//! CPU time of this process and of others, from Linux's `/proc/PID/stat` (proc(5)) where it is not
//! this one's: to the clock tick, a hundredth of a second.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// Of this process so far, user and system, to the nanosecond.
pub(crate) fn own() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Of another process so far.
pub(crate) fn of(pid: u32) -> anyhow::Result<Duration> {
    Ok(Stat::read(pid)?.own)
}

/// Of the children of this process that have ended and were waited for.
pub(crate) fn of_ended_children() -> anyhow::Result<Duration> {
    Ok(Stat::read(std::process::id())?.ended_children)
}

/// Of a process and its children, those that have ended included.
pub(crate) fn of_family(pid: u32) -> anyhow::Result<Duration> {
    let parent = Stat::read(pid)?;
    let processes = std::fs::read_dir("/proc").context("can't read /proc")?;
    let children = processes
        .filter_map(|entry| Stat::at(&entry.ok()?.path()))
        .filter(|stat| stat.parent == pid);
    Ok(
        children.fold(parent.own + parent.ended_children, |sum, child| {
            sum + child.own
        }),
    )
}

struct Stat {
    parent: u32,
    own: Duration,
    ended_children: Duration,
}

impl Stat {
    fn read(pid: u32) -> anyhow::Result<Self> {
        Self::at(Path::new(&format!("/proc/{pid}")))
            .with_context(|| format!("the system does not tell the CPU time of process {pid}"))
    }

    /// `None` for what is no process, or none any more.
    fn at(folder: &Path) -> Option<Self> {
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        // The second field is the program's name in parentheses, and may hold any character.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let time = |user: usize| {
            let ticks = ticks(user)? + ticks(user + 1)?;
            let a_second = rustix::param::clock_ticks_per_second();
            Some(Duration::from_secs_f64(ticks as f64 / a_second as f64))
        };
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: time(11)?,
            ended_children: time(13)?,
        })
    }
}

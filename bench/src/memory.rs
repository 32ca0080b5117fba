//! Memory of a process, from Linux's `/proc/PID/status` (proc(5)).

use anyhow::Context;

/// Resident memory of this process now, in MiB.
pub(crate) fn resident_mib() -> anyhow::Result<u64> {
    Ok(resident_kib()? / 1024)
}

/// Resident memory of this process now, in KiB.
pub(crate) fn resident_kib() -> anyhow::Result<u64> {
    resident_kib_of(std::process::id())
}

/// Resident memory of a process now, in KiB.
pub(crate) fn resident_kib_of(pid: u32) -> anyhow::Result<u64> {
    field(pid, "VmRSS:")
}

/// The most resident memory of this process since the start, or since [`forget_peak`], in KiB.
pub(crate) fn peak_kib() -> anyhow::Result<u64> {
    peak_kib_of(std::process::id())
}

/// The most resident memory of a process since its start, in KiB.
pub(crate) fn peak_kib_of(pid: u32) -> anyhow::Result<u64> {
    field(pid, "VmHWM:")
}

/// Begins to look for the peak of this process anew.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("can't reset the peak of memory")
}

fn field(pid: u32, name: &str) -> anyhow::Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("can't read /proc")?;
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .context("the system does not tell resident memory")
}

//! Memory of this process, from Linux's `/proc/self/status` (proc(5)).

use anyhow::Context;

/// Resident memory now, in MiB.
pub(crate) fn resident_mib() -> anyhow::Result<u64> {
    Ok(resident_kib()? / 1024)
}

/// Resident memory now, in KiB.
pub(crate) fn resident_kib() -> anyhow::Result<u64> {
    field("VmRSS:")
}

/// The most resident memory since the start, or since [`forget_peak`], in KiB.
pub(crate) fn peak_kib() -> anyhow::Result<u64> {
    field("VmHWM:")
}

/// Begins to look for the peak anew.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("can't reset the peak of memory")
}

fn field(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("can't read /proc")?;
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

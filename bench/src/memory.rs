//! Memory of this process, from Linux's `/proc/self/status` (proc(5)).

use anyhow::Context;

/// Resident memory now, in MiB.
pub(crate) fn resident_mib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("can't read /proc")?;
    let kib: u64 = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .context("the system does not tell resident memory")?;
    Ok(kib / 1024)
}

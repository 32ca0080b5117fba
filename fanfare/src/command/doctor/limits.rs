//! What the system lets a process take: read from where Linux tells it, and unknown elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

/// Limits of this process; `None` is none, or not known.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Limits {
    /// Descriptors.
    pub(super) files: Option<u64>,
    /// Bytes, of the control group.
    pub(super) memory: Option<u64>,
    /// CPUs, of the control group.
    pub(super) cpus: Option<f64>,
}

impl Limits {
    pub(super) fn read() -> Self {
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let groups = groups(&text(Path::new("/proc/self/cgroup")));
        let least = |parse: &dyn Fn(&Path) -> Option<f64>| {
            let found = groups.iter().filter_map(|group| parse(group));
            found.min_by(f64::total_cmp)
        };
        Self {
            files: files(&text(Path::new("/proc/self/limits"))),
            memory: groups
                .iter()
                .filter_map(|group| text(&group.join("memory.max")).trim().parse().ok())
                .min(),
            cpus: least(&|group| quota(&text(&group.join("cpu.max")))),
        }
    }
}

fn files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// The folders of the control group (version 2) and of those around it, each of which limits.
fn groups(own: &str) -> Vec<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let root = Path::new("/sys/fs/cgroup");
    let Some(own) = own else {
        return Vec::new();
    };
    let own = root.join(own);
    let groups = own.ancestors().take_while(|group| group.starts_with(root));
    groups.map(Path::to_owned).collect()
}

/// `50000 100000` is half a CPU, `max 100000` is no limit.
fn quota(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    let period: f64 = words.next()?.parse().ok()?;
    (period > 0.0).then(|| quota / period)
}

/// A number of bytes as people say it.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        let tenths = (u128::from(bytes) * 10) >> shift;
        if tenths >= 10 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10).replace(".0 ", " ");
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_linux_writes_them() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 1048576              files\n";
        assert_eq!(files(limits), Some(1024));
        assert_eq!(files(""), None);
        assert_eq!(quota("50000 100000\n"), Some(0.5));
        assert_eq!(quota("max 100000\n"), None);
        let groups = groups("0::/system.slice/fanfare.service\n");
        let groups: Vec<_> = groups
            .iter()
            .map(|group| group.display().to_string())
            .collect();
        assert_eq!(
            groups,
            [
                "/sys/fs/cgroup/system.slice/fanfare.service",
                "/sys/fs/cgroup/system.slice",
                "/sys/fs/cgroup"
            ]
        );
        assert!(super::groups("1:cpu:/x\n").is_empty());
    }

    #[test]
    fn bytes_are_told_in_the_largest_unit_that_fits() {
        for (number, told) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (8_589_934_592, "8 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(number), told);
        }
    }
}

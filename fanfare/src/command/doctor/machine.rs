//! The kernel's settings, where a server that cares for them is on this machine.

use std::path::Path;

use super::finding::{Finding, Group};

const GROUP: Group = Group::Machine;

/// Looks at what the servers on this machine depend on.
pub(super) fn look(postgres_here: bool, redis_here: bool) -> Vec<Finding> {
    if !cfg!(target_os = "linux") || !(postgres_here || redis_here) {
        return Vec::new();
    }
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let mut found = Vec::new();
    if redis_here {
        found.extend(overcommit(&read("/proc/sys/vm/overcommit_memory")));
        found.extend(backlog(&read("/proc/sys/net/core/somaxconn")));
    }
    found.extend(huge_pages(
        &read("/sys/kernel/mm/transparent_hugepage/enabled"),
        redis_here,
    ));
    found
}

fn overcommit(value: &str) -> Option<Finding> {
    match value.trim() {
        "" => None,
        "1" => Some(GROUP.ok("vm.overcommit_memory", "1")),
        value => Some(GROUP.hint(
            "vm.overcommit_memory",
            format!("{value}: a Redis that forks, to save or for a replica, may be refused the memory"),
            "sysctl -w vm.overcommit_memory=1, and the same in /etc/sysctl.d/; not needed where Redis never forks",
        )),
    }
}

/// Redis asks for a backlog of 511 connections, and gets no more than this.
fn backlog(value: &str) -> Option<Finding> {
    const WANTED: u32 = 511;
    let value: u32 = value.trim().parse().ok()?;
    Some(match value >= WANTED {
        true => GROUP.ok("net.core.somaxconn", value.to_string()),
        false => GROUP.hint(
            "net.core.somaxconn",
            format!(
                "{value}: many workers that connect at once, as after an outage, are turned away"
            ),
            "sysctl -w net.core.somaxconn=1024, and the same in /etc/sysctl.d/",
        ),
    })
}

/// The setting that holds stands in brackets.
fn huge_pages(value: &str, redis_here: bool) -> Option<Finding> {
    let chosen = value.split('[').nth(1)?.split(']').next()?;
    Some(match chosen {
        "always" if redis_here => GROUP.hint(
            "transparent huge pages",
            "always: a Redis that forks answers slowly meanwhile, and takes more memory",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, at each boot",
        ),
        chosen => GROUP.ok("transparent huge pages", chosen),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::State;

    #[test]
    fn settings_that_redis_warns_of_are_hinted_at() {
        for (found, state) in [
            (overcommit("1\n"), Some(State::Ok)),
            (overcommit("0\n"), Some(State::Note)),
            (overcommit("2\n"), Some(State::Note)),
            (overcommit(""), None),
            (backlog("128\n"), Some(State::Note)),
            (backlog("511\n"), Some(State::Ok)),
            (backlog(""), None),
            (
                huge_pages("[always] madvise never\n", true),
                Some(State::Note),
            ),
            (
                huge_pages("[always] madvise never\n", false),
                Some(State::Ok),
            ),
            (
                huge_pages("always [madvise] never\n", true),
                Some(State::Ok),
            ),
            (huge_pages("", true), None),
        ] {
            assert_eq!(found.as_ref().map(|it| it.state), state, "{found:?}");
        }
    }

    #[test]
    fn servers_elsewhere_have_machines_of_their_own() {
        assert!(look(false, false).is_empty());
    }
}

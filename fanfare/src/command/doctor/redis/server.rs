//! What holds for either Redis.

use ::queue::{Examined, RefusedCommand};
use chrono::DateTime;

use super::{Finding, Group};
use crate::command::doctor::{clock, limits};
use crate::show;

/// What `INFO` tells under that name, as a number.
pub(super) fn number(examined: &Examined, name: &str) -> Option<u64> {
    examined.info.get(name)?.parse().ok()
}

/// What `INFO` tells under that name.
pub(super) fn word<'a>(examined: &'a Examined, name: &str) -> &'a str {
    examined.info.get(name).map_or("", String::as_str)
}

/// Judges what both have to be; `keys` is the pattern of our keys there.
pub(super) fn judge(group: Group, examined: &Examined, keys: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    if word(examined, "loading") == "1" {
        found.push(group.warning(
            "loading",
            "it still reads its data from disk, and answers nothing until it has",
            "wait; a queue or a cache needs no persistence, without which it starts at once",
        ));
    }
    if word(examined, "role") == "slave" {
        found.push(group.error(
            "role",
            format!("a replica of {}: it takes no writes", word(examined, "master_host")),
            "lead our address to the primary; behind Sentinel or a service, to the name that follows it",
        ));
    }
    found.extend(clients(group, examined));
    found.push(commands(group, examined, keys));
    if let Some(micros) = number(examined, "server_time_usec")
        && let Some(at) = i64::try_from(micros)
            .ok()
            .and_then(DateTime::from_timestamp_micros)
    {
        let here = examined.asked_at.into();
        found.push(clock::judge(group, at, here, examined.asked_within));
    }
    found
}

fn clients(group: Group, examined: &Examined) -> Option<Finding> {
    let (used, most) = (
        number(examined, "connected_clients")?,
        number(examined, "maxclients")?,
    );
    let found = format!("{} of {} in use", show::number(used), show::number(most));
    Some(match used * 10 > most * 8 {
        true => group.warning(
            "connections",
            found,
            "raise maxclients (CONFIG SET maxclients, redis.conf, and its own limit of open files)",
        ),
        false => group.ok("connections", found),
    })
}

/// Whether it takes all that we send.
fn commands(group: Group, examined: &Examined, keys: &str) -> Finding {
    const CHECK: &str = "commands";
    let user = examined.user.as_deref().unwrap_or("USER");
    let Some(refused) = &examined.refused else {
        return group.hint(
            CHECK,
            format!("not known whether {user} may send them: it may not use MULTI"),
            format!("as an administrator: ACL SETUSER {user} +multi +discard"),
        );
    };
    let Some(first) = refused.first() else {
        return group.ok(CHECK, format!("all that are sent are taken from {user}"));
    };
    let named = |refused: &[RefusedCommand]| {
        let names: Vec<_> = refused.iter().map(|it| it.command.as_str()).collect();
        names.join(", ")
    };
    // One without permission says so whatever else is the case.
    let forbidden: Vec<_> = refused
        .iter()
        .filter(|it| it.code == "NOPERM")
        .cloned()
        .collect();
    if !forbidden.is_empty() {
        let rights: Vec<_> = forbidden
            .iter()
            .map(|it| format!("+{}", it.command))
            .collect();
        return group.error(
            CHECK,
            format!(
                "{user} may not send {}, or not with our keys",
                named(&forbidden)
            ),
            format!(
                "as an administrator: ACL SETUSER {user} '~{keys}' {}",
                rights.join(" ")
            ),
        );
    }
    let (why, fix) = match first.code.as_str() {
        "OOM" => (
            "it is full",
            "raise maxmemory, or find who else fills it: `redis-cli --bigkeys`",
        ),
        "MISCONF" => (
            "it can't save, and takes no writes until it can",
            "make room on its disk; or let it not save: CONFIG SET save \"\", which a queue or a cache does not need",
        ),
        "READONLY" => ("it is a replica", "lead our address to the primary"),
        "LOADING" => ("it still reads its data from disk", "wait"),
        "NOREPLICAS" => (
            "fewer replicas follow it than min-replicas-to-write",
            "start them, or CONFIG SET min-replicas-to-write 0",
        ),
        "CROSSSLOT" | "MOVED" | "CLUSTERDOWN" => (
            "it is part of a cluster",
            "use a single Redis, with a replica if it must stay available",
        ),
        _ => (
            "it refuses them",
            "see its log and its documentation for that error",
        ),
    };
    group.error(
        CHECK,
        format!(
            "{why} ({}): it does not take {}",
            first.code,
            named(refused)
        ),
        fix,
    )
}

/// Memory in use, and how much there may be.
pub(super) fn memory(examined: &Examined) -> (u64, u64, String) {
    let used = number(examined, "used_memory").unwrap_or(0);
    let most = number(examined, "maxmemory").unwrap_or(0);
    let told = match most {
        0 => format!("{} in use, and no limit", limits::bytes(used)),
        most => format!("{} of {} in use", limits::bytes(used), limits::bytes(most)),
    };
    (used, most, told)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::command::doctor::finding::{State, told};

    /// A good server that tells this besides.
    pub(crate) fn examined(info: &[(&str, &str)]) -> Examined {
        let asked_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let good = [
            ("redis_version", "7.0.15"),
            ("run_id", "a"),
            ("role", "master"),
            ("loading", "0"),
            ("connected_clients", "8"),
            ("maxclients", "10"),
            ("used_memory", "1048576"),
            ("maxmemory", "0"),
            ("maxmemory_policy", "noeviction"),
            ("aof_enabled", "0"),
            ("evicted_keys", "0"),
            ("server_time_usec", "1800000000000000"),
        ];
        let info = good.iter().chain(info);
        let info = info.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Examined {
            info: info.collect(),
            round_trip: Duration::from_millis(1),
            user: Some("fanfare".to_owned()),
            refused: Some(Vec::new()),
            saves: Some(false),
            asked_at,
            asked_within: Duration::from_millis(1),
        }
    }

    fn judged(examined: &Examined) -> Vec<Finding> {
        judge(Group::Queue, examined, "{fanfare}:*")
    }

    #[test]
    fn a_good_server_has_nothing_to_fix_and_each_fault_is_found() {
        let good = judged(&examined(&[]));
        assert!(good.iter().all(|it| it.state == State::Ok), "{good:#?}");
        for (info, check, state) in [
            (("loading", "1"), "loading", State::Warning),
            (("role", "slave"), "role", State::Error),
            (("connected_clients", "9"), "connections", State::Warning),
            (
                ("server_time_usec", "1800000002000000"),
                "clock",
                State::Warning,
            ),
        ] {
            let found = judged(&examined(&[info]));
            assert_eq!(told::of(&found, check).state, state, "{check}");
        }
    }

    #[test]
    fn commands_that_are_not_taken_are_told_with_the_reason() {
        let refused = |commands: &[(&str, &str)]| {
            let refused = commands.iter().map(|(command, code)| RefusedCommand {
                command: (*command).to_owned(),
                code: (*code).to_owned(),
            });
            let examined = Examined {
                refused: Some(refused.collect()),
                ..examined(&[])
            };
            told::of(&judged(&examined), "commands").clone()
        };
        let forbidden = refused(&[("rpush", "OOM"), ("hset", "NOPERM"), ("zadd", "NOPERM")]);
        assert_eq!(forbidden.state, State::Error);
        let fix = forbidden.fix.unwrap();
        assert!(
            fix.ends_with("ACL SETUSER fanfare '~{fanfare}:*' +hset +zadd"),
            "{fix}"
        );
        for (code, word) in [
            ("OOM", "full"),
            ("MISCONF", "can't save"),
            ("READONLY", "replica"),
            ("LOADING", "reads its data"),
            ("NOREPLICAS", "min-replicas"),
            ("CROSSSLOT", "cluster"),
            ("ERR", "refuses"),
        ] {
            let found = refused(&[("rpush", code)]);
            assert_eq!(found.state, State::Error);
            assert!(found.found.contains(word), "{found:?}");
        }
        let unknown = Examined {
            refused: None,
            ..examined(&[])
        };
        assert_eq!(told::of(&judged(&unknown), "commands").state, State::Note);
    }
}

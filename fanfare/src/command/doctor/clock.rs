//! Whether a server's clock and ours agree.

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::{Finding, Group};

/// What NTP keeps easily.
const MOST: TimeDelta = TimeDelta::seconds(1);

/// Compares a server's clock with ours, which showed `here` in the middle of the question's way.
pub(super) fn judge(group: Group, server: DateTime<Utc>, here: DateTime<Utc>) -> Finding {
    let skew = here - server;
    if skew.abs() <= MOST {
        return group.ok(
            "clock",
            format!("{} ms from this machine's", skew.num_milliseconds().abs()),
        );
    }
    let seconds = skew.num_milliseconds() as f64 / 1000.0;
    let which = if seconds > 0.0 { "behind" } else { "ahead of" };
    group.warning(
        "clock",
        format!(
            "{:.1} s {which} this machine's: syncs do not suffer, whose time is the database's alone, but logs \
             and traces tell the wrong order, and TLS may refuse certificates",
            seconds.abs()
        ),
        "let both machines follow a time server: `timedatectl set-ntp true`, or chrony; a container has \
         its host's clock",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::State;

    #[test]
    fn clocks_a_second_apart_are_warned_of() {
        let here = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (ms, state, word) in [
            (0, State::Ok, "0 ms"),
            (1000, State::Ok, "1000 ms"),
            (-1000, State::Ok, "1000 ms"),
            (1001, State::Warning, "1.0 s ahead of this"),
            (-90_000, State::Warning, "90.0 s behind this"),
        ] {
            let finding = judge(Group::Database, here + TimeDelta::milliseconds(ms), here);
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.found.contains(word), "{finding:?}");
        }
    }
}

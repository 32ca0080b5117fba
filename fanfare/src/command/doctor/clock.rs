//! Whether a server's clock and ours agree.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::{Finding, Group};

/// What NTP keeps easily.
const MOST: TimeDelta = TimeDelta::seconds(1);

/// Compares a server's clock with ours, which showed `here` in the middle of the way there and back, which
/// took as long as it `took`: the server looked at its clock at any moment of it.
pub(super) fn judge(
    group: Group,
    server: DateTime<Utc>,
    here: DateTime<Utc>,
    took: Duration,
) -> Finding {
    let skew = here - server;
    if skew.abs() <= MOST {
        return group.ok(
            "clock",
            format!("{} ms from this machine's", skew.num_milliseconds().abs()),
        );
    }
    let unsure = TimeDelta::from_std(took / 2).unwrap_or(TimeDelta::MAX);
    if skew
        .abs()
        .checked_sub(&unsure)
        .is_none_or(|least| least <= MOST)
    {
        return group.note(
            "clock",
            format!(
                "not known to a second: its answer took {:.1} s",
                took.as_secs_f64()
            ),
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
        for (ms, took_ms, state, word) in [
            (0, 2, State::Ok, "0 ms"),
            (1000, 0, State::Ok, "1000 ms"),
            (-1000, 0, State::Ok, "1000 ms"),
            (1001, 0, State::Warning, "1.0 s ahead of this"),
            (-90_000, 0, State::Warning, "90.0 s behind this"),
            // A server that was slow to answer may have looked at its clock at once, or late.
            (2000, 2000, State::Note, "took 2.0 s"),
            (-2000, 2000, State::Note, "took 2.0 s"),
            (2001, 2000, State::Warning, "2.0 s ahead of this"),
            (0, 2000, State::Ok, "0 ms"),
        ] {
            let took = Duration::from_millis(took_ms);
            let server = here + TimeDelta::milliseconds(ms);
            let finding = judge(Group::Database, server, here, took);
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.found.contains(word), "{finding:?}");
        }
    }
}

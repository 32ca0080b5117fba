//! How full the server is, how far away, and what is left undone there.

use std::time::Duration;

use entity::server::{Sessions, Slot, Upkeep};

use super::{Finding, GROUP};
use crate::command::doctor::limits;
use crate::show;

/// Connections of a process beside its pool: one looks at the dataset's version, one listens.
pub(super) const BESIDES_POOL: i64 = 2;

/// Judges whether one more process finds room, which needs so many connections.
pub(super) fn judge_sessions(sessions: &Sessions, needed: i64) -> Finding {
    const CHECK: &str = "connections";
    let bounds = [
        (
            "max_connections",
            sessions.used,
            sessions.most - sessions.reserved,
        ),
        (
            "the role's CONNECTION LIMIT",
            sessions.of_user,
            sessions.of_user_most,
        ),
        (
            "the database's CONNECTION LIMIT",
            sessions.of_database,
            sessions.of_database_most,
        ),
    ];
    let tightest = bounds
        .iter()
        .filter(|(_, _, most)| *most >= 0)
        .min_by_key(|(_, used, most)| most - used);
    let Some((bound, used, most)) = tightest else {
        return GROUP.ok(CHECK, format!("{} in use", sessions.used));
    };
    let free = (most - used).max(0);
    let found = format!("{used} of {most} in use, by {bound}");
    if free >= needed {
        return GROUP.ok(CHECK, found);
    }
    GROUP.warning(
        CHECK,
        format!("{found}: {free} are left, and one more process of ours may open {needed}"),
        format!(
            "raise {bound}, or lower FANFARE_DATABASE_CONNECTIONS so that the sum over all processes stays below"
        ),
    )
}

/// Judges what is left undone.
pub(super) fn judge_upkeep(upkeep: &Upkeep) -> Vec<Finding> {
    /// Five times what makes autovacuum freeze a table, and half of what stops all writes.
    const OLD: i64 = 1_000_000_000;
    const LONG: Duration = Duration::from_secs(3600);
    let mut found = Vec::new();
    let age = show::number(upkeep.transaction_age.unsigned_abs());
    if upkeep.transaction_age > OLD {
        found.push(GROUP.warning(
            "freezing",
            format!("{age} transactions were not frozen: at two thousand million all writes stop"),
            "VACUUM (FREEZE, VERBOSE) each large table; look for old transactions, prepared transactions and \
             replication slots that hold vacuum back",
        ));
    }
    let oldest = upkeep.oldest_transaction_ms.unwrap_or(0).unsigned_abs();
    if Duration::from_millis(oldest) > LONG {
        found.push(GROUP.warning(
            "old transaction",
            format!(
                "one has been open for {}: vacuum removes nothing that has changed since",
                show::rough(i64::try_from(oldest).unwrap_or(i64::MAX))
            ),
            "find it: SELECT pid, application_name, xact_start, query FROM pg_stat_activity ORDER BY xact_start \
             LIMIT 1; and end it: SELECT pg_terminate_backend(PID);",
        ));
    }
    found
}

/// Judges indexes that were not finished.
pub(super) fn judge_indexes(indexes: &[String]) -> Option<Finding> {
    let rebuild = |index: &String| format!("REINDEX INDEX CONCURRENTLY {index};");
    let rebuild: Vec<_> = indexes.iter().map(rebuild).collect();
    (!indexes.is_empty()).then(|| {
        GROUP.warning(
            "indexes",
            format!("{} not used, for it was not finished", indexes.join(", ")),
            rebuild.join(" "),
        )
    })
}

/// Judges slots for which the log is kept that nobody fetches.
pub(super) fn judge_slots(slots: &[Slot]) -> Vec<Finding> {
    const MUCH: i64 = 1 << 30;
    slots
        .iter()
        .filter(|slot| !slot.active && slot.kept_bytes > MUCH)
        .map(|slot| {
            GROUP.warning(
                "replication slot",
                format!(
                    "nobody reads from {}, for which {} of the log are kept: the disk fills up",
                    slot.name,
                    limits::bytes(slot.kept_bytes.unsigned_abs())
                ),
                format!(
                    "start its replica again, or SELECT pg_drop_replication_slot('{}'); and see \
                     max_slot_wal_keep_size",
                    slot.name.replace('\'', "''")
                ),
            )
        })
        .collect()
}

/// Judges how far away the server is.
pub(super) fn judge_round_trip(took: Duration) -> Finding {
    const FAR: Duration = Duration::from_millis(20);
    let found = format!("{:.1} ms there and back", took.as_secs_f64() * 1000.0);
    if took <= FAR {
        return GROUP.ok("round trip", found);
    }
    GROUP.warning(
        "round trip",
        format!(
            "{found}: a sync waits for it a dozen times, and all workers together commit changes at most {} times a \
             second",
            (1.0 / took.as_secs_f64()).floor()
        ),
        "run Fanfare in the database's own network or zone",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::{State, told};

    #[test]
    fn room_for_one_more_process_is_told_by_the_tightest_bound() {
        let sessions = Sessions {
            used: 85,
            most: 100,
            reserved: 3,
            of_user: 20,
            of_user_most: -1,
            of_database: 30,
            of_database_most: -1,
        };
        assert_eq!(judge_sessions(&sessions, 12).state, State::Ok);
        let little = judge_sessions(&sessions, 13);
        assert_eq!(little.state, State::Warning);
        assert!(little.fix.unwrap().contains("max_connections"));
        let role = Sessions {
            of_user_most: 25,
            ..sessions
        };
        let little = judge_sessions(&role, 12);
        assert!(
            little.found.contains("20 of 25 in use, by the role's"),
            "{little:?}"
        );
        let database = Sessions {
            of_database_most: 30,
            ..sessions
        };
        assert!(judge_sessions(&database, 12).found.contains("0 are left"));
    }

    #[test]
    fn what_is_left_undone_is_warned_of() {
        let upkeep = |transaction_age, oldest_transaction_ms| {
            let upkeep = Upkeep {
                transaction_age,
                oldest_transaction_ms,
            };
            told::states(&judge_upkeep(&upkeep))
        };
        assert_eq!(upkeep(1_000_000_000, Some(3_600_000)), []);
        assert_eq!(upkeep(0, None), []);
        assert_eq!(upkeep(1_000_000_001, None), [("freezing", State::Warning)]);
        assert_eq!(
            upkeep(0, Some(3_600_001)),
            [("old transaction", State::Warning)]
        );
        assert_eq!(judge_indexes(&[]), None);
        let index = judge_indexes(&["event_long".to_owned()]).unwrap();
        assert_eq!(index.fix.unwrap(), "REINDEX INDEX CONCURRENTLY event_long;");
    }

    #[test]
    fn a_slot_that_nobody_reads_from_is_warned_of_once_it_costs() {
        let slot = |active, kept_bytes| Slot {
            name: "standby".to_owned(),
            active,
            kept_bytes,
        };
        assert!(judge_slots(&[slot(true, 2 << 30), slot(false, 1 << 30)]).is_empty());
        let found = judge_slots(&[slot(false, 2 << 30)]);
        assert!(told::of(&found, "replication slot").found.contains("2 GiB"));
    }

    #[test]
    fn a_server_far_away_is_warned_of() {
        assert_eq!(judge_round_trip(Duration::from_millis(20)).state, State::Ok);
        let far = judge_round_trip(Duration::from_millis(50));
        assert_eq!(far.state, State::Warning);
        assert!(far.found.contains("at most 20 times"), "{far:?}");
    }
}

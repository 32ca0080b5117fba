//! Settings of PostgreSQL, as our session has them.

use std::collections::BTreeMap;
use std::time::Duration;

use entity::server::Identity;

use super::rights::quoted;
use super::{Finding, GROUP};

/// What is asked for.
pub(super) const NAMES: [&str; 11] = [
    "autovacuum",
    "client_connection_check_interval",
    "default_transaction_isolation",
    "fsync",
    "full_page_writes",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "synchronous_commit",
    "track_counts",
    "transaction_timeout",
];

/// Settings that a crash of the server's machine makes costly, with what it costs.
const DURABLE: [(&str, &str); 3] = [
    ("fsync", "a crash of its machine may destroy the database"),
    (
        "full_page_writes",
        "a crash of its machine may leave torn pages",
    ),
    (
        "synchronous_commit",
        "a crash loses the last commits, and versions that clients have seen come again with other events",
    ),
];

/// Judges the settings of a session that was opened with the limits of a role with that lease.
pub(super) fn judge(
    settings: &BTreeMap<String, String>,
    identity: &Identity,
    lease: Duration,
) -> Vec<Finding> {
    let value = |name: &str| settings.get(name).map(String::as_str);
    let mut found: Vec<_> = DURABLE
        .iter()
        .filter(|(name, _)| value(name) == Some("off"))
        .map(|(name, costs)| {
            GROUP.warning(
                "durability",
                format!("{name} is off: {costs}"),
                format!("ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();"),
            )
        })
        .collect();
    if found.is_empty() {
        found.push(GROUP.ok("durability", "what is committed survives a crash"));
    }
    for name in ["autovacuum", "track_counts"] {
        if value(name) == Some("off") {
            found.push(GROUP.warning(
                "autovacuum",
                format!(
                    "{name} is off: tables that change with every run grow without end, and slow"
                ),
                format!("ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();"),
            ));
        }
    }
    found.push(limits(settings, identity, lease));
    let user = quoted(&identity.user);
    if value("default_transaction_isolation").is_some_and(|it| it != "read committed") {
        found.push(GROUP.warning(
            "isolation",
            "transactions are not `read committed` by themselves: claims and commits would fail at random",
            format!("ALTER ROLE {user} SET default_transaction_isolation = 'read committed';"),
        ));
    }
    if value("transaction_timeout").is_some_and(|it| it != "0") {
        found.push(GROUP.warning(
            "transaction_timeout",
            format!(
                "ends transactions after {}: the commit of a very large feed takes longer",
                value("transaction_timeout").unwrap_or_default()
            ),
            format!("ALTER ROLE {user} SET transaction_timeout = 0;"),
        ));
    }
    found
}

/// Whether the limits have arrived with which we opened the session.
fn limits(settings: &BTreeMap<String, String>, identity: &Identity, lease: Duration) -> Finding {
    let ours = lease * 3 / 4;
    let wanted = [
        ("idle_in_transaction_session_timeout", ours),
        ("statement_timeout", ours),
        ("lock_timeout", ours),
        (
            "client_connection_check_interval",
            Duration::from_millis(250),
        ),
    ];
    let lost: Vec<_> = wanted
        .into_iter()
        .filter(|(name, limit)| {
            let told = settings.get(*name).and_then(|told| duration(told));
            // As short is as good; none is none.
            !told.is_some_and(|told| !told.is_zero() && told <= *limit)
        })
        .collect();
    if lost.is_empty() {
        return GROUP.ok("session limits", "arrive with each session");
    }
    let names: Vec<_> = lost.iter().map(|(name, _)| *name).collect();
    let user = quoted(&identity.user);
    let sets: Vec<_> = lost
        .iter()
        .map(|(name, limit)| format!("ALTER ROLE {user} SET {name} = '{}ms';", limit.as_millis()))
        .collect();
    GROUP.warning(
        "session limits",
        format!(
            "{} did not arrive with the session, as where a pooler drops start-up options: a worker that stands \
             still may hold its locks for longer than a lease",
            names.join(", ")
        ),
        sets.join(" "),
    )
}

/// As `SHOW` has it: `250ms`, `15s`, `1min`, `0`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let ms = match &text[digits..] {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(ms)?))
}

#[cfg(test)]
mod tests {
    use super::super::server::tests::identity;
    use super::*;
    use crate::command::doctor::finding::{State, told};

    const LEASE: Duration = Duration::from_secs(20);

    fn judged(changes: &[(&str, &str)]) -> Vec<Finding> {
        let good = [
            ("autovacuum", "on"),
            ("client_connection_check_interval", "250ms"),
            ("default_transaction_isolation", "read committed"),
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("idle_in_transaction_session_timeout", "15s"),
            ("lock_timeout", "15s"),
            ("statement_timeout", "15s"),
            ("synchronous_commit", "on"),
            ("track_counts", "on"),
        ];
        let settings = good.iter().chain(changes);
        let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        judge(&settings.collect(), &identity(), LEASE)
    }

    #[test]
    fn good_settings_are_not_complained_of() {
        let found = judged(&[]);
        let states = told::states(&found);
        assert_eq!(
            states,
            [("durability", State::Ok), ("session limits", State::Ok)]
        );
        for as_good in [
            ("synchronous_commit", "remote_apply"),
            ("statement_timeout", "5s"),
            ("transaction_timeout", "0"),
        ] {
            assert_eq!(told::states(&judged(&[as_good])), states, "{as_good:?}");
        }
    }

    #[test]
    fn each_bad_setting_is_warned_of_with_the_statement_that_mends_it() {
        for (name, value, check) in [
            ("fsync", "off", "durability"),
            ("full_page_writes", "off", "durability"),
            ("synchronous_commit", "off", "durability"),
            ("autovacuum", "off", "autovacuum"),
            ("track_counts", "off", "autovacuum"),
            ("default_transaction_isolation", "serializable", "isolation"),
            ("transaction_timeout", "30s", "transaction_timeout"),
            ("idle_in_transaction_session_timeout", "0", "session limits"),
            ("lock_timeout", "1min", "session limits"),
            ("statement_timeout", "16s", "session limits"),
            ("client_connection_check_interval", "0", "session limits"),
        ] {
            let found = judged(&[(name, value)]);
            let finding = told::of(&found, check);
            assert_eq!(finding.state, State::Warning, "{name}");
            let fix = finding.fix.as_deref().unwrap();
            assert!(fix.contains(&format!("SET {name} = ")), "{name}: {fix}");
        }
    }

    #[test]
    fn durations_are_read_as_the_server_tells_them() {
        for (text, ms) in [
            ("0", Some(0)),
            ("250ms", Some(250)),
            ("15s", Some(15_000)),
            ("2min", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(duration(text), ms.map(Duration::from_millis), "{text}");
        }
    }
}

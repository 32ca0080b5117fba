//! What runs on the database, as `fanfare worker list` and a scheduler's metrics have it.

use std::time::Duration;

use entity::Database;
use entity::overview::{Overview, overview};
use entity::provider::Model as Provider;
use entity::server::{Overdue, overdue};
use entity::worker::Summary;

use super::finding::{Finding, Group};
use super::{blocking, providers};
use crate::cli::All;
use crate::show;

const GROUP: Group = Group::Running;
/// A scheduler that ticks has claimed what is due long before.
const CLAIMED_WITHIN: Duration = Duration::from_secs(30);
/// A worker with room begins what waits within moments.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);

/// Looks at what is running. Gives up where the database does.
pub(super) async fn look(options: &All, db: &Database, found: &mut Vec<Finding>) {
    let lease = options.lease.lease;
    let asked = async {
        let overview = overview(db, lease).await?;
        let overdue = overdue(db, CLAIMED_WITHIN).await?;
        let workers = entity::worker::list(&db.write).await?;
        let providers = entity::provider::active(&db.write).await?;
        Ok::<_, entity::DbErr>((overview, overdue, workers, providers))
    };
    let (overview, overdue, workers, known) = match asked.await {
        Ok(asked) => asked,
        Err(error) => {
            return found.push(GROUP.error(
                "database",
                format!("does not answer what runs: {error}"),
                "see what was found of the database",
            ));
        }
    };
    found.extend(judge_providers(&overview));
    found.extend(judge_schedulers(
        &overview,
        &overdue,
        options.scheduler.max_outstanding,
    ));
    found.extend(judge_workers(&overview, &workers, lease));
    found.extend(judge_queue(&overview));
    if options.scheduler.providers.is_none() {
        found.push(secrets(known).await);
    }
}

async fn secrets(known: Vec<Provider>) -> Finding {
    let look = move || {
        let accesses = known.iter().map(|it| (it.name.as_str(), &it.access));
        providers::secrets(GROUP, accesses)
    };
    match blocking::look(GROUP, "secrets", "files that providers refer to", look).await {
        Ok(finding) | Err(finding) => finding,
    }
}

fn count(number: i64, noun: &str) -> String {
    show::count(number.unsigned_abs(), noun)
}

fn judge_providers(overview: &Overview) -> Vec<Finding> {
    let all = overview.staleness.providers();
    if all == 0 {
        return vec![GROUP.hint(
            "providers",
            "none yet",
            "add yours: `fanfare provider apply FILE`, see deploy/providers.toml",
        )];
    }
    let staleness = overview.staleness;
    let mut found = vec![GROUP.ok(
        "providers",
        format!(
            "{}: {} fresh, {} late, {} stale, {} never synced, {} paused; dataset at version {}",
            show::number(all.unsigned_abs()),
            staleness.fresh,
            staleness.late,
            staleness.stale,
            staleness.never,
            staleness.paused,
            overview.version
        ),
    )];
    let failing = overview.breakers.open + overview.breakers.half_open;
    if failing > 0 {
        found.push(GROUP.warning(
            "failing",
            format!("{} had five failures in a row or more", count(failing, "provider")),
            "`fanfare provider list` names them, `fanfare check NAME` tells what a sync would meet now",
        ));
    }
    if overview.holding > 0 {
        found.push(GROUP.hint(
            "held",
            format!(
                "events of {} are missing from the feed, and held",
                count(overview.holding, "provider")
            ),
            "ask the provider; if it is meant: `fanfare sync NAME --accept-gone`",
        ));
    }
    found
}

fn judge_schedulers(overview: &Overview, overdue: &Overdue, most: u64) -> Option<Finding> {
    const CHECK: &str = "schedulers";
    if overview.staleness.providers() == 0 {
        return None;
    }
    let open = (overview.queued + overview.running).unsigned_abs();
    if open >= most {
        return Some(GROUP.warning(
            "open runs",
            format!(
                "{}, as many as FANFARE_MAX_OUTSTANDING allows: nothing more is claimed",
                show::count(open, "run")
            ),
            "start more workers, or raise FANFARE_MAX_OUTSTANDING",
        ));
    }
    if overdue.providers == 0 {
        return Some(GROUP.ok(CHECK, "every provider that is due is claimed"));
    }
    Some(GROUP.warning(
        CHECK,
        format!(
            "{} due and not claimed, the first for {}: no scheduler works on this database",
            match overdue.providers {
                1 => "1 provider is".to_owned(),
                many => format!("{} are", count(many, "provider")),
            },
            show::rough(overdue.longest_ms.unwrap_or(0))
        ),
        "start one (`fanfare scheduler`, or `fanfare all`); if one runs, its log says what it fails at",
    ))
}

fn judge_workers(overview: &Overview, workers: &[Summary], lease: Duration) -> Vec<Finding> {
    const CHECK: &str = "workers";
    let lives = |worker: &&Summary| i128::from(worker.silent_ms) <= lease.as_millis().cast_signed();
    let alive: Vec<_> = workers.iter().filter(lives).collect();
    if alive.is_empty() {
        return match overview.staleness.providers() {
            0 => vec![GROUP.note(CHECK, "none gives a sign of life")],
            _ => vec![GROUP.warning(
                CHECK,
                "none has given a sign of life within a lease: nothing is synced",
                "start one (`fanfare worker`, or `fanfare all`); if one runs, its log says what it fails at",
            )],
        };
    }
    let slots: i64 = alive.iter().map(|worker| worker.concurrency).sum();
    let mut found = vec![GROUP.ok(
        CHECK,
        format!(
            "{} with {}, {} in use",
            show::count(alive.len() as u64, "worker"),
            count(slots, "slot"),
            show::number(overview.running.unsigned_abs())
        ),
    )];
    let mut others: Vec<_> = alive
        .iter()
        .map(|worker| worker.version.as_str())
        .filter(|version| *version != env!("CARGO_PKG_VERSION"))
        .collect();
    others.sort_unstable();
    others.dedup();
    if !others.is_empty() {
        found.push(GROUP.note(
            "versions",
            format!(
                "workers of {} run, and this is {}",
                others.join(", "),
                env!("CARGO_PKG_VERSION")
            ),
        ));
    }
    found
}

fn judge_queue(overview: &Overview) -> Option<Finding> {
    let oldest = overview.oldest_queued_ms?;
    let found = format!(
        "{} queued, the oldest for {}",
        match overview.queued {
            1 => "1 run is".to_owned(),
            many => format!("{} are", count(many, "run")),
        },
        show::rough(oldest)
    );
    if u128::from(oldest.unsigned_abs()) <= BEGUN_WITHIN.as_millis() {
        return Some(GROUP.ok("waiting", found));
    }
    Some(GROUP.warning(
        "waiting",
        found,
        "if all slots are in use, start more workers; if not, see what was found of the queue, and \
         `fanfare why NAME` of a late provider",
    ))
}

#[cfg(test)]
mod tests {
    use entity::overview::{Breakers, Staleness};

    use super::*;
    use crate::command::doctor::finding::{State, told};

    fn counted(providers: i64) -> Overview {
        Overview {
            version: 7,
            queued: 0,
            oldest_queued_ms: None,
            running: 2,
            begun_lately: 0,
            workers: 1,
            staleness: Staleness {
                fresh: providers,
                late: 0,
                stale: 0,
                never: 0,
                paused: 0,
            },
            breakers: Breakers {
                closed: providers,
                half_open: 0,
                open: 0,
                longest_ms: None,
            },
            holding: 0,
        }
    }

    fn worker(version: &str, silent_ms: i64) -> Summary {
        let at = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Summary {
            name: "host-1".to_owned(),
            version: version.to_owned(),
            concurrency: 16,
            running: 2,
            started_at: at,
            seen_at: at,
            silent_ms,
        }
    }

    const LEASE: Duration = Duration::from_secs(20);
    const OURS: &str = env!("CARGO_PKG_VERSION");

    #[test]
    fn providers_that_fail_or_hold_are_told() {
        assert_eq!(
            told::states(&judge_providers(&counted(0))),
            [("providers", State::Note)]
        );
        assert_eq!(
            told::states(&judge_providers(&counted(3))),
            [("providers", State::Ok)]
        );
        let mut overview = counted(3);
        (
            overview.breakers.open,
            overview.breakers.half_open,
            overview.holding,
        ) = (1, 1, 1);
        let found = judge_providers(&overview);
        assert!(
            told::of(&found, "failing")
                .found
                .starts_with("2 providers ")
        );
        assert_eq!(told::of(&found, "failing").state, State::Warning);
        assert_eq!(told::of(&found, "held").state, State::Note);
    }

    #[test]
    fn a_scheduler_is_missed_when_what_is_due_is_not_claimed() {
        let due = |providers| Overdue {
            providers,
            longest_ms: Some(45_000),
        };
        assert_eq!(judge_schedulers(&counted(0), &due(0), 10), None);
        for (overdue, most, check, state) in [
            (due(0), 10, "schedulers", State::Ok),
            (due(1), 10, "schedulers", State::Warning),
            (due(1), 3, "schedulers", State::Warning),
            (due(1), 2, "open runs", State::Warning),
        ] {
            let found = judge_schedulers(&counted(3), &overdue, most).unwrap();
            assert_eq!((found.check, found.state), (check, state), "{found:?}");
        }
    }

    #[test]
    fn workers_that_are_silent_for_a_lease_do_not_count() {
        let judged = |providers, workers: &[Summary]| {
            told::states(&judge_workers(&counted(providers), workers, LEASE))
        };
        assert_eq!(judged(0, &[]), [("workers", State::Note)]);
        assert_eq!(judged(1, &[]), [("workers", State::Warning)]);
        assert_eq!(
            judged(1, &[worker(OURS, 20_001)]),
            [("workers", State::Warning)]
        );
        assert_eq!(judged(1, &[worker(OURS, 20_000)]), [("workers", State::Ok)]);
        let other = judged(1, &[worker(OURS, 0), worker("0.0.9", 0)]);
        assert_eq!(other, [("workers", State::Ok), ("versions", State::Note)]);
    }

    #[test]
    fn runs_that_wait_for_long_are_warned_of() {
        assert_eq!(judge_queue(&counted(1)), None);
        for (oldest, state) in [(60_000, State::Ok), (60_001, State::Warning)] {
            let overview = Overview {
                queued: 1,
                oldest_queued_ms: Some(oldest),
                ..counted(1)
            };
            assert_eq!(judge_queue(&overview).unwrap().state, state);
        }
    }
}

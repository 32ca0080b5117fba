//! The queue's Redis.

use std::time::Duration;

use ::queue::{Examined, Part, QueueConfig};
use entity::Kind;

use super::server::{self, memory, number, word};
use super::{Finding, Group, Subject, enter};
use crate::cli::All;
use crate::show;

const GROUP: Group = Group::Queue;
const SETTING: &str = "FANFARE_REDIS_URL";

/// Looks at it, and whether it is on this machine.
pub(super) async fn look(options: &All, found: &mut Vec<Finding>) -> Option<(Examined, bool)> {
    let Some(url) = &options.queue.redis_url else {
        found.push(absent(options.database.database_url.kind()));
        return None;
    };
    let namespace = options.queue.queue.as_str();
    let subject = Subject {
        group: GROUP,
        setting: SETTING,
        url,
        part: Part::Queue(namespace),
    };
    let (examined, here) = enter(&subject, found).await?;
    // What a role would say before it starts, in its own words.
    let opened = ::queue::open(QueueConfig {
        redis_url: Some(url.clone()),
        namespace: namespace.to_owned(),
        connect_timeout: super::WITHIN,
        response_timeout: super::WITHIN,
        ..QueueConfig::default()
    })
    .await;
    found.push(match opened {
        Ok(_) => GROUP.ok(
            "server",
            format!(
                "Redis {}, queue {namespace}",
                word(&examined, "redis_version")
            ),
        ),
        Err(error) => {
            let error = anyhow::Error::new(error);
            let told = show::told(&error);
            // It ends with what to do.
            let fix = told.split_once(": ").map_or(told.as_str(), |(_, fix)| fix);
            GROUP.error("server", &told, fix)
        }
    });
    found.extend(judge(&examined, namespace));
    Some((examined, here))
}

fn absent(database: Kind) -> Finding {
    match database {
        Kind::Sqlite => GROUP.note("address", "the queue is in the process of `fanfare all`"),
        Kind::Postgres => GROUP.hint(
            "address",
            "there is none: only `fanfare all` runs without, and the API",
            format!("set {SETTING} for schedulers and workers of their own, such as redis://127.0.0.1:6379"),
        ),
    }
}

fn judge(examined: &Examined, namespace: &str) -> Vec<Finding> {
    let mut found = server::judge(GROUP, examined, &format!("{{{namespace}}}:*"));
    found.push(eviction(examined));
    found.push(room(examined));
    found.extend(persistence(examined));
    found.push(distance(examined.round_trip));
    found
}

fn eviction(examined: &Examined) -> Finding {
    let policy = word(examined, "maxmemory_policy");
    let fix = "CONFIG SET maxmemory-policy noeviction, and `maxmemory-policy noeviction` in redis.conf; a cache \
               needs a Redis of its own";
    let evicted = number(examined, "evicted_keys").unwrap_or(0);
    if evicted > 0 {
        return GROUP.warning(
            "eviction",
            format!(
                "{} since its start, by {policy}: jobs among them are found again, but later",
                show::count(evicted, "key")
            ),
            fix,
        );
    }
    // Of ours, only what a trace needs has a time to live.
    match policy.starts_with("allkeys-") {
        true => GROUP.warning(
            "eviction",
            format!("{policy}: a full Redis drops jobs, which are found again, but later"),
            fix,
        ),
        false => GROUP.ok("eviction", policy),
    }
}

fn room(examined: &Examined) -> Finding {
    let (used, most, told) = memory(examined);
    if most > 0 && used.saturating_mul(10) > most.saturating_mul(8) {
        return GROUP.warning(
            "memory",
            format!("{told}: a full Redis takes no jobs"),
            "raise maxmemory; a queued run takes some 500 bytes",
        );
    }
    GROUP.ok("memory", told)
}

fn persistence(examined: &Examined) -> Option<Finding> {
    let saves = examined.saves == Some(true);
    let appends = word(examined, "aof_enabled") == "1";
    (saves || appends).then(|| {
        GROUP.hint(
            "persistence",
            "on, and not needed: whatever is lost here is pushed again",
            "CONFIG SET save \"\", CONFIG SET appendonly no, unless something else there needs it",
        )
    })
}

fn distance(took: Duration) -> Finding {
    const FAR: Duration = Duration::from_millis(20);
    let found = format!("{:.1} ms there and back", took.as_secs_f64() * 1000.0);
    match took <= FAR {
        true => GROUP.ok("round trip", found),
        false => GROUP.warning(
            "round trip",
            format!("{found}: a worker waits for it each time before it begins a run"),
            "run it in the workers' own network or zone; if it is there, see SLOWLOG GET and its CPU",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::server::tests::examined;
    use super::*;
    use crate::command::doctor::finding::{State, told};

    #[test]
    fn a_queue_that_may_lose_jobs_or_be_full_is_warned_of() {
        let good = judge(&examined(&[]), "fanfare");
        assert!(good.iter().all(|it| it.state == State::Ok), "{good:#?}");
        for (info, check, state) in [
            (
                &[("maxmemory_policy", "allkeys-lru")][..],
                "eviction",
                State::Warning,
            ),
            (
                &[("maxmemory_policy", "volatile-ttl")],
                "eviction",
                State::Ok,
            ),
            (&[("evicted_keys", "1")], "eviction", State::Warning),
            (&[("maxmemory", "1310720")], "memory", State::Ok),
            (&[("maxmemory", "1310719")], "memory", State::Warning),
            (&[("aof_enabled", "1")], "persistence", State::Note),
        ] {
            let found = judge(&examined(info), "fanfare");
            assert_eq!(told::of(&found, check).state, state, "{info:?}");
        }
        let saving = Examined {
            saves: Some(true),
            ..examined(&[])
        };
        let found = judge(&saving, "fanfare");
        assert_eq!(told::of(&found, "persistence").state, State::Note);
    }

    #[test]
    fn a_queue_far_away_is_warned_of() {
        assert_eq!(distance(Duration::from_millis(20)).state, State::Ok);
        assert_eq!(distance(Duration::from_millis(21)).state, State::Warning);
    }

    #[test]
    fn a_queue_in_the_process_is_no_fault() {
        assert_eq!(absent(Kind::Sqlite).state, State::Note);
        assert!(absent(Kind::Postgres).fix.unwrap().contains(SETTING));
    }
}

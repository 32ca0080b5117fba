//! The Redis in which the API's processes share their answers.

use std::time::Duration;

use ::queue::{Examined, Part};

use super::server::{self, memory, word};
use super::{Finding, Group, Subject, enter};
use crate::cli::All;

const GROUP: Group = Group::Cache;
const SETTING: &str = "FANFARE_CACHE_URL";
/// The oldest that has what the API sends.
const LEAST: u32 = 6;
/// Nobody waits longer for a shared answer.
const WAITED: Duration = Duration::from_millis(5);

/// Looks at it, if there is one.
pub(super) async fn look(options: &All, found: &mut Vec<Finding>) -> Option<Examined> {
    let subject = Subject {
        group: GROUP,
        setting: SETTING,
        url: options.api.cache_url()?,
        part: Part::Cache,
    };
    let (examined, _) = enter(&subject, found).await?;
    found.extend(judge(&examined));
    Some(examined)
}

fn judge(examined: &Examined) -> Vec<Finding> {
    let mut found = vec![version(examined)];
    found.extend(server::judge(GROUP, examined, "fanfare:cache:*"));
    found.push(eviction(examined));
    found.push(distance(examined.round_trip));
    found
}

fn version(examined: &Examined) -> Finding {
    let version = word(examined, "redis_version");
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if word(examined, "cluster_enabled") == "1" {
        return GROUP.error(
            "server",
            format!("Redis {version} in cluster mode: most answers would be on another server"),
            "use a single Redis",
        );
    }
    match major.is_some_and(|major: u32| major >= LEAST) {
        true => GROUP.ok("server", format!("Redis {version}")),
        false => GROUP.warning(
            "server",
            format!("Redis {version} is old"),
            "upgrade it to 7 or later",
        ),
    }
}

/// Answers have ten minutes to live, and there may be more than it can hold.
fn eviction(examined: &Examined) -> Finding {
    let policy = word(examined, "maxmemory_policy");
    let (_, most, told) = memory(examined);
    let fix = "CONFIG SET maxmemory 256mb, CONFIG SET maxmemory-policy allkeys-lru, and the same in redis.conf";
    if most == 0 {
        return GROUP.warning(
            "eviction",
            format!("{told}: it grows until its machine has no memory left"),
            fix,
        );
    }
    match policy == "noeviction" {
        true => GROUP.warning(
            "eviction",
            format!("noeviction, {told}: once it is full it takes no new answers"),
            fix,
        ),
        false => GROUP.ok("eviction", format!("{policy}, {told}")),
    }
}

fn distance(took: Duration) -> Finding {
    let found = format!("{:.1} ms there and back", took.as_secs_f64() * 1000.0);
    match took <= WAITED {
        true => GROUP.ok("round trip", found),
        false => GROUP.warning(
            "round trip",
            format!(
                "{found}, and the API waits {} ms: its answers are rarely used",
                WAITED.as_millis()
            ),
            format!("run it in the API's own network or zone, or unset {SETTING}"),
        ),
    }
}

/// What one server can't be: a queue that keeps everything, and a cache that does not.
pub(super) fn judge_both(queue: &Examined, cache: &Examined) -> Option<Finding> {
    // Random, and another one for each start of each server.
    let (queue, cache) = (word(queue, "run_id"), word(cache, "run_id"));
    let same = !queue.is_empty() && queue == cache;
    same.then(|| {
        GROUP.error(
            "own server",
            "it is the queue's as well: answers fill it up until it takes no jobs, or it drops jobs for them",
            format!("give the cache a Redis process of its own, another database number is not enough, and set {SETTING}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::server::tests::examined;
    use super::*;
    use crate::command::doctor::finding::{State, told};

    fn cache(info: &[(&str, &str)]) -> Examined {
        let good = [
            ("maxmemory", "1073741824"),
            ("maxmemory_policy", "allkeys-lru"),
        ];
        examined(&[&good[..], info].concat())
    }

    #[test]
    fn a_cache_has_to_evict_and_to_be_near() {
        let good = judge(&cache(&[]));
        assert!(good.iter().all(|it| it.state == State::Ok), "{good:#?}");
        for (info, check, state) in [
            (("maxmemory", "0"), "eviction", State::Warning),
            (
                ("maxmemory_policy", "noeviction"),
                "eviction",
                State::Warning,
            ),
            (("maxmemory_policy", "volatile-lfu"), "eviction", State::Ok),
            (("redis_version", "5.0.14"), "server", State::Warning),
            (("cluster_enabled", "1"), "server", State::Error),
        ] {
            let found = judge(&cache(&[info]));
            assert_eq!(told::of(&found, check).state, state, "{info:?}");
        }
        assert_eq!(distance(WAITED).state, State::Ok);
        assert_eq!(distance(WAITED * 2).state, State::Warning);
    }

    #[test]
    fn one_server_for_both_is_an_error() {
        assert_eq!(
            judge_both(&examined(&[]), &cache(&[])).unwrap().state,
            State::Error
        );
        assert_eq!(judge_both(&examined(&[]), &cache(&[("run_id", "b")])), None);
        let silent = examined(&[("run_id", "")]);
        assert_eq!(judge_both(&silent, &silent), None);
    }
}

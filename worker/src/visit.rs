//! When a provider is visited next: the one place that turns how a run ended into a date.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Waits before the first attempts after a connection failure, which are not counted against the
/// provider yet.
const TRANSIENT: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(45),
];
/// The first wait after a counted failure, for intervals that are longer.
const FIRST_BACK_OFF: Duration = Duration::from_secs(60);
/// The longest wait after failures, in intervals.
const MOST_INTERVALS: u32 = 4;
/// The longest wait that a provider can ask for.
pub(crate) const MOST_RETRY_AFTER: Duration = Duration::from_secs(86_400);
/// How far jitter moves a wait, as a share of it, to either side.
const JITTER: f64 = 0.1;

/// How a run ended, as far as the next visit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With a feed, changed or not.
    Well {
        /// For how long the provider says that nothing else is to be had: by its caching headers,
        /// or because it wants to be left alone.
        wait: Option<Duration>,
    },
    /// Without a connection, or by a fault of this machine: both often heal by themselves.
    Passing,
    /// With something that will likely be the same for a while.
    Badly,
    /// With a wish to be left alone for so long.
    AskedToWait(Duration),
}

/// What is known of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provider<'a> {
    /// Its stable key, from which its place in the interval follows.
    pub name: &'a str,
    /// From one visit to the next.
    pub interval: Duration,
    /// The longest that its own wishes can make of it.
    pub max_interval: Duration,
    /// Connection failures in a row that are not counted.
    pub transient_failures: i64,
    /// Failures in a row.
    pub consecutive_failures: i64,
}

/// The next visit and the provider's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// When.
    pub at: DateTime<Utc>,
    /// Connection failures in a row that are not counted.
    pub transient_failures: i64,
    /// Failures in a row.
    pub consecutive_failures: i64,
}

/// Decides the next visit. `jitter` is a random number from 0 to 1.
///
/// After a good run it is the provider's next slot: slots lie one interval apart, at an offset that
/// follows from the name, so that a thousand providers with one interval spread over it. A slot
/// less than half an interval away is skipped, and so are those before the end of the time that the
/// provider gave its answer, unless this leads past the longest interval.
pub fn next(now: DateTime<Utc>, provider: &Provider<'_>, ended: Ended, jitter: f64) -> Visit {
    let interval = provider.interval.max(Duration::from_secs(1));
    let failures = provider.consecutive_failures + 1;
    let transient = usize::try_from(provider.transient_failures).unwrap_or(0);
    let wait = |wait, transient_failures, consecutive_failures| Visit {
        at: now + wait,
        transient_failures,
        consecutive_failures,
    };
    match ended {
        Ended::Well { wait } => Visit {
            at: after_well(now, provider, wait),
            transient_failures: 0,
            consecutive_failures: 0,
        },
        Ended::Passing if transient < TRANSIENT.len() => wait(
            TRANSIENT[transient].min(interval),
            provider.transient_failures + 1,
            provider.consecutive_failures,
        ),
        Ended::Passing | Ended::Badly => wait(back_off(interval, failures, jitter), 0, failures),
        Ended::AskedToWait(asked) => {
            let asked = asked.clamp(Duration::from_secs(1), MOST_RETRY_AFTER);
            wait(asked, 0, failures)
        }
    }
}

fn after_well(
    now: DateTime<Utc>,
    provider: &Provider<'_>,
    wait: Option<Duration>,
) -> DateTime<Utc> {
    let interval = provider.interval.max(Duration::from_secs(1));
    let usual = slot(now + interval / 2, interval, provider.name);
    let most = provider.max_interval.max(interval);
    let waited = wait.map(|wait| slot(now + wait.min(most), interval, provider.name));
    waited.map_or(usual, |waited| waited.min(now + most).max(usual))
}

/// The provider's first slot that is not before `earliest`.
fn slot(earliest: DateTime<Utc>, interval: Duration, name: &str) -> DateTime<Utc> {
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 4);
    let offset = offset(name, interval);
    let earliest_ms = earliest.timestamp_millis();
    let at = earliest_ms + (offset - earliest_ms).rem_euclid(interval);
    DateTime::from_timestamp_millis(at).unwrap_or(earliest)
}

/// The provider's place within its interval, in milliseconds.
fn offset(name: &str, interval: i64) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..8]);
    i64::from_le_bytes(bytes).rem_euclid(interval)
}

fn back_off(interval: Duration, failures: i64, jitter: f64) -> Duration {
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(20);
    let wait = interval.min(FIRST_BACK_OFF) * 2_u32.pow(doublings);
    let wait = wait.min(interval * MOST_INTERVALS);
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;
    const WELL: Ended = Ended::Well { wait: None };

    fn provider(interval: u64) -> Provider<'static> {
        Provider {
            name: "primary",
            interval: Duration::from_secs(interval),
            max_interval: Duration::from_secs(4 * interval),
            transient_failures: 0,
            consecutive_failures: 0,
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn seconds(visit: Visit) -> i64 {
        (visit.at - now()).num_seconds()
    }

    #[test]
    fn a_good_run_is_followed_by_the_next_slot_and_clears_failures() {
        let mut provider = provider(900);
        provider.consecutive_failures = 7;
        let first = next(now(), &provider, WELL, MIDDLE);
        assert!((450..1350).contains(&seconds(first)), "{first:?}");
        assert_eq!(
            (first.transient_failures, first.consecutive_failures),
            (0, 0)
        );
        let second = next(first.at, &provider, WELL, MIDDLE);
        assert_eq!((second.at - first.at).num_seconds(), 900);
    }

    #[test]
    fn a_feed_that_stays_fresh_is_visited_when_it_no_longer_is_within_bounds() {
        // Interval, longest interval, wait, and the bounds of the visit, all in seconds.
        for (interval, most, wait, least, latest) in [
            (900, 3600, None, 450, 1350),
            (900, 3600, Some(0), 450, 1350),
            (900, 3600, Some(60), 450, 1350),
            (900, 3600, Some(900), 900, 1800),
            (900, 3600, Some(1800), 1800, 2700),
            (900, 3600, Some(3500), 3500, 3600),
            (900, 3600, Some(86_400), 3600, 3600),
            (900, 3600, Some(u64::MAX / 4), 3600, 3600),
            (900, 900, Some(86_400), 450, 1350),
            // A longest interval below the interval is none.
            (900, 1, Some(86_400), 450, 1350),
            (1, 4, Some(3), 3, 4),
        ] {
            for name in ["primary", "a", "b", "c", "d"] {
                let provider = Provider {
                    name,
                    max_interval: Duration::from_secs(most),
                    ..provider(interval)
                };
                let wait = wait.map(Duration::from_secs);
                let visit = next(now(), &provider, Ended::Well { wait }, MIDDLE);
                let case = (name, interval, most, wait);
                let millis = (visit.at - now()).num_milliseconds();
                assert!(
                    (least * 1000..=latest * 1000).contains(&millis),
                    "{case:?}: {visit:?}"
                );
                assert_eq!(visit.consecutive_failures, 0, "{case:?}");
            }
        }
    }

    #[test]
    fn a_slow_run_does_not_move_the_slot() {
        let provider = provider(900);
        let first = next(now(), &provider, WELL, MIDDLE);
        let late = first.at + Duration::from_secs(200);
        let second = next(late, &provider, WELL, MIDDLE);
        assert_eq!((second.at - first.at).num_seconds(), 900);
    }

    #[test]
    fn a_thousand_providers_with_one_interval_are_spread_over_it() {
        let mut minutes = [0; 15];
        for number in 0..1000 {
            let name = format!("provider-{number}");
            let provider = Provider {
                name: &name,
                ..provider(900)
            };
            let visit = next(now(), &provider, WELL, MIDDLE);
            let minute = visit.at.timestamp().rem_euclid(900) / 60;
            minutes[usize::try_from(minute).unwrap()] += 1;
        }
        assert!(
            minutes.iter().all(|count| (35..=105).contains(count)),
            "{minutes:?}"
        );
    }

    #[test]
    fn connection_failures_come_again_soon_and_are_not_counted_at_first() {
        let mut provider = provider(900);
        for expected in [5, 15, 45] {
            let visit = next(now(), &provider, Ended::Passing, MIDDLE);
            assert_eq!(seconds(visit), expected);
            assert_eq!(visit.consecutive_failures, 0);
            provider.transient_failures = visit.transient_failures;
        }
        let visit = next(now(), &provider, Ended::Passing, MIDDLE);
        assert_eq!(
            (visit.transient_failures, visit.consecutive_failures),
            (0, 1)
        );
        assert_eq!(seconds(visit), 60);
    }

    #[test]
    fn other_failures_back_off_up_to_a_multiple_of_the_interval() {
        let waits = |interval| {
            let mut provider = provider(interval);
            [(); 7].map(|()| {
                let visit = next(now(), &provider, Ended::Badly, MIDDLE);
                provider.consecutive_failures = visit.consecutive_failures;
                seconds(visit)
            })
        };
        assert_eq!(waits(900), [60, 120, 240, 480, 960, 1920, 3600]);
        assert_eq!(waits(10), [10, 20, 40, 40, 40, 40, 40]);
    }

    #[test]
    fn jitter_moves_a_wait_by_a_tenth_at_most() {
        let at = |jitter| seconds(next(now(), &provider(900), Ended::Badly, jitter));
        assert_eq!((at(0.0), at(1.0)), (54, 66));
    }

    #[test]
    fn a_wish_to_wait_is_granted_within_a_day() {
        let asked = |seconds| Ended::AskedToWait(Duration::from_secs(seconds));
        assert_eq!(seconds(next(now(), &provider(10), asked(300), MIDDLE)), 300);
        assert_eq!(seconds(next(now(), &provider(10), asked(0), MIDDLE)), 1);
        assert_eq!(
            seconds(next(now(), &provider(10), asked(u64::MAX), MIDDLE)),
            86_400
        );
        let counted = next(now(), &provider(10), asked(300), MIDDLE);
        assert_eq!(counted.consecutive_failures, 1);
    }
}

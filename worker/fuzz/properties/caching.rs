//! What holds of a provider's word on when to ask again, whatever it says: it can be read, and it
//! moves the next visit only within bounds.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{
    AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use worker::fetch::{fresh_for, retry_after};
use worker::visit::{Ended, Provider, next};

const NAMES: [HeaderName; 5] = [CACHE_CONTROL, EXPIRES, DATE, AGE, RETRY_AFTER];
const DAY: Duration = Duration::from_secs(86_400);
const PROVIDER: Provider<'static> = Provider {
    name: "acme",
    interval: Duration::from_secs(900),
    max_interval: DAY,
    transient_failures: 0,
    consecutive_failures: 0,
};

/// Panics if anything does not hold for these headers. Each line is a header's value after a byte
/// that says whose. Tells whether they say anything.
pub(crate) fn holds(head: &[u8]) -> bool {
    let mut headers = headers(head);
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("it is an instant");
    let (fresh_for_it, left_alone) = (fresh_for(&headers, now), retry_after(&headers, now));
    for wait in [fresh_for_it, left_alone, fresh_for_it.max(left_alone)] {
        let after = visit(now, Ended::Well { wait });
        assert!(!after.is_zero() && after <= DAY, "{wait:?}: {after:?}");
        let least = wait.map_or(DAY, |wait| wait.min(DAY));
        assert!(
            wait.is_none() || after >= least.min(DAY),
            "{wait:?}: {after:?}"
        );
    }
    if let Some(wait) = left_alone {
        let after = visit(now, Ended::AskedToWait(wait));
        let bounds = Duration::from_secs(1)..=DAY;
        assert!(bounds.contains(&after), "{wait:?}: {after:?}");
    }
    headers.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    assert_eq!(fresh_for(&headers, now), None, "{headers:?}");
    fresh_for_it.is_some() || left_alone.is_some()
}

fn headers(head: &[u8]) -> HeaderMap {
    head.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let (name, value) = line.split_first()?;
            let name = NAMES[usize::from(*name) % NAMES.len()].clone();
            Some((name, HeaderValue::from_bytes(value).ok()?))
        })
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

fn visit(now: DateTime<Utc>, ended: Ended) -> Duration {
    let visit = next(now, &PROVIDER, ended, 0.5);
    (visit.at - now).to_std().expect("it is not in the past")
}

//! How long an answer stays fresh by its own word (RFC 9111, section 4.2), for one who keeps it for
//! himself.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap};

use super::date;

/// For how long asking again would be for nothing; `None` if the answer does not say, or forbids to
/// rely on it. Nothing of it is left for what is stale already. `now` stands in for a missing `Date`.
pub fn fresh_for(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let lifetime = match max_age(headers) {
        Told::Seconds(seconds) => Duration::from_secs(seconds),
        Told::Nothing => expires(headers, now)?,
        Told::Never => return None,
    };
    Some(lifetime.saturating_sub(age(headers)))
}

enum Told {
    Seconds(u64),
    Nothing,
    /// It must not be relied on, or can't be understood.
    Never,
}

fn max_age(headers: &HeaderMap) -> Told {
    let mut told = Told::Nothing;
    for line in headers.get_all(CACHE_CONTROL) {
        let Some(directives) = line.to_str().ok().and_then(directives) else {
            return Told::Never;
        };
        for directive in directives {
            let (name, value) = match directive.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (directive, None),
            };
            match name.to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Told::Never,
                "max-age" => match (value.and_then(seconds), &told) {
                    (None, _) => return Told::Never,
                    // Of several the first counts.
                    (Some(seconds), Told::Nothing) => told = Told::Seconds(seconds),
                    _ => {}
                },
                _ => {}
            }
        }
    }
    told
}

/// What stands between the commas that are not quoted; `None` if a quote is left open.
fn directives(line: &str) -> Option<Vec<&str>> {
    let mut quoted = false;
    let mut escaped = false;
    let found = line
        .split(|c| {
            let separates = c == ',' && !quoted;
            quoted ^= c == '"' && !escaped;
            escaped = c == '\\' && quoted && !escaped;
            separates
        })
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
        .collect();
    (!quoted).then_some(found)
}

/// Section 1.2.2; more than fits is as good as for ever.
fn seconds(value: &str) -> Option<u64> {
    const FOR_EVER: u64 = 1 << 31;
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(
        value
            .parse()
            .map_or(FOR_EVER, |value: u64| value.min(FOR_EVER)),
    )
}

fn expires(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    headers.get(EXPIRES)?;
    let sent = date::date(headers, DATE).unwrap_or(now);
    // What can't be read, such as the common `0`, has expired (section 5.3).
    let lifetime = date::date(headers, EXPIRES).and_then(|at| (at - sent).to_std().ok());
    Some(lifetime.unwrap_or_default())
}

/// How long the answer has lain in caches on the way; one that can't be read is ignored
/// (section 5.1).
fn age(headers: &HeaderMap) -> Duration {
    let age = headers.get(AGE).and_then(|age| age.to_str().ok());
    Duration::from_secs(age.and_then(|age| seconds(age.trim())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "Thu, 01 Jan 2026";

    fn parse(headers: &[(&'static str, &str)]) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        fresh_for(&map, "2026-01-01T00:00:00Z".parse().unwrap()).map(|fresh| fresh.as_secs())
    }

    #[test]
    fn max_age_is_read_as_the_standard_has_it() {
        for (value, expected) in [
            ("max-age=60", Some(60)),
            ("public, MAX-AGE=60, must-revalidate", Some(60)),
            ("max-age=\"60\"", Some(60)),
            (",, max-age = 60 ,", Some(60)),
            ("max-age=0", Some(0)),
            ("max-age=99999999999999999999", Some(1 << 31)),
            ("max-age=4294967296", Some(1 << 31)),
            ("max-age=60, max-age=10", Some(60)),
            ("s-maxage=60", None),
            ("x=\", max-age=10\", max-age=60", Some(60)),
            ("x=\"\\\", max-age=10\", max-age=60", Some(60)),
            ("private", None),
            ("max-age", None),
            ("max-age=", None),
            ("max-age=-1", None),
            ("max-age=+1", None),
            ("max-age=1.5", None),
            ("max-age=60s", None),
            ("max-age=60, x=\"open", None),
            ("max-age=60, no-store", None),
            ("no-cache, max-age=60", None),
            ("no-cache=\"set-cookie\", max-age=60", None),
        ] {
            assert_eq!(parse(&[("cache-control", value)]), expected, "{value}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = [("cache-control", "public"), ("cache-control", "max-age=60")];
        assert_eq!(parse(&lines), Some(60));
        let lines = [
            ("cache-control", "max-age=60"),
            ("cache-control", "no-store"),
        ];
        assert_eq!(parse(&lines), None);
    }

    #[test]
    fn age_is_taken_off() {
        let aged = |age| parse(&[("cache-control", "max-age=60"), ("age", age)]);
        assert_eq!(aged("20"), Some(40));
        assert_eq!(aged("60"), Some(0));
        assert_eq!(aged("99999999999999999999"), Some(0));
        assert_eq!(aged("old"), Some(60));
    }

    #[test]
    fn expires_counts_from_date_and_only_without_max_age() {
        let expires = format!("{DAY} 00:10:00 GMT");
        let date = format!("{DAY} 00:09:00 GMT");
        assert_eq!(parse(&[("expires", &expires)]), Some(600));
        assert_eq!(parse(&[("expires", &expires), ("date", &date)]), Some(60));
        let aged = [("expires", &*expires), ("date", &*date), ("age", "10")];
        assert_eq!(parse(&aged), Some(50));
        assert_eq!(parse(&[("expires", &date), ("date", &expires)]), Some(0));
        assert_eq!(parse(&[("expires", "0")]), Some(0));
        for (control, expected) in [
            ("max-age=5", Some(5)),
            ("max-age=x", None),
            ("no-cache", None),
            ("public", Some(600)),
        ] {
            let both = [("cache-control", control), ("expires", &*expires)];
            assert_eq!(parse(&both), expected, "{control}");
        }
        assert_eq!(parse(&[]), None);
    }
}

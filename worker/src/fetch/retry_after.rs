//! `Retry-After` in both its forms (RFC 9110, section 10.2.3).

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::date;

/// How long the server asks to be left alone. A date is taken against the server's own `Date`
/// where it sends one, so that neither clock matters, and against `now` otherwise.
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = date::parse(value)?;
    let sent = date::date(headers, DATE).unwrap_or(now);
    Some((at - sent).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        retry_after(&headers, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn both_forms_give_a_wait() {
        assert_eq!(
            parse(&[("retry-after", "120")]),
            Some(Duration::from_secs(120))
        );
        let date = ("retry-after", "Thu, 01 Jan 2026 00:01:00 GMT");
        assert_eq!(parse(&[date]), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_date_is_taken_against_the_servers_clock() {
        let wait = parse(&[
            ("retry-after", "Thu, 01 Jan 2026 10:00:30 GMT"),
            ("date", "Thu, 01 Jan 2026 10:00:00 GMT"),
        ]);
        assert_eq!(wait, Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_date_that_has_passed_is_no_wait_and_nonsense_is_none() {
        let date = ("retry-after", "Wed, 31 Dec 2025 00:00:00 GMT");
        assert_eq!(parse(&[date]), Some(Duration::ZERO));
        assert_eq!(parse(&[("retry-after", "soon")]), None);
        assert_eq!(parse(&[("retry-after", "-1")]), None);
        assert_eq!(parse(&[]), None);
    }
}

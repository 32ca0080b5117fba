//! The part of HTTP that saves work (RFC 9110): validators, conditions, and which encoding a client takes.
//!
//! `If-None-Match` rules over `If-Modified-Since`. The compressed form of a document is another representation, so
//! its strong `ETag` differs: it ends in `-gzip`.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_ENCODING, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";
/// `Last-Modified` of round 0; each round is a second later.
const ROUND_ZERO: DateTime<Utc> = DateTime::from_timestamp_nanos(1_577_836_800_000_000_000);

/// The `Last-Modified` of a round.
pub(crate) fn last_modified(round: u64) -> DateTime<Utc> {
    let seconds = i64::try_from(round).ok().and_then(TimeDelta::try_seconds);
    // A year of four digits is all that the header can hold.
    let at = seconds.and_then(|since| ROUND_ZERO.checked_add_signed(since));
    at.unwrap_or(DateTime::<Utc>::MAX_UTC)
        .min(DateTime::from_timestamp_nanos(i64::MAX))
}

pub(crate) fn http_date(at: DateTime<Utc>) -> String {
    at.format(HTTP_DATE).to_string()
}

/// The `ETag` header of a document's digest.
pub(crate) fn etag(digest: &str, gzip: bool) -> String {
    if gzip {
        format!("\"{digest}-gzip\"")
    } else {
        format!("\"{digest}\"")
    }
}

/// Whether a client that sent these headers has the document already.
pub(crate) fn not_modified(
    headers: &HeaderMap,
    digest: &str,
    last_modified: Option<DateTime<Utc>>,
) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        return list(headers, IF_NONE_MATCH.as_str()).any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || tag == etag(digest, false) || tag == etag(digest, true)
        });
    }
    let since = headers
        .get(IF_MODIFIED_SINCE)
        .and_then(|value| value.to_str().ok());
    let since = since.and_then(|value| NaiveDateTime::parse_from_str(value, HTTP_DATE).ok());
    matches!((since, last_modified), (Some(since), Some(changed)) if changed.timestamp() <= since.and_utc().timestamp())
}

/// Whether a client takes gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for item in list(headers, ACCEPT_ENCODING.as_str()) {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let taken = weight
            .and_then(|weight| weight.parse::<f32>().ok())
            .is_none_or(|weight| weight > 0.0);
        if coding.eq_ignore_ascii_case("gzip") {
            return taken;
        }
        any |= coding == "*" && taken;
    }
    any
}

fn list<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(name),
            value.parse().unwrap(),
        )])
    }

    #[test]
    fn rounds_have_dates_that_http_can_write() {
        assert_eq!(http_date(last_modified(0)), "Wed, 01 Jan 2020 00:00:00 GMT");
        assert_eq!(
            http_date(last_modified(86_401)),
            "Thu, 02 Jan 2020 00:00:01 GMT"
        );
        assert_eq!(http_date(last_modified(u64::MAX)).len(), 29);
    }

    #[test]
    fn any_listed_tag_of_either_encoding_matches() {
        for (value, same) in [
            ("\"d\"", true),
            ("W/\"d\"", true),
            ("\"d-gzip\"", true),
            ("\"x\", \"d\"", true),
            ("*", true),
            ("\"x\"", false),
            ("d", false),
        ] {
            assert_eq!(
                not_modified(&headers("if-none-match", value), "d", None),
                same,
                "{value}"
            );
        }
    }

    #[test]
    fn a_tag_rules_over_a_date() {
        let date = http_date(last_modified(5));
        let mut both = headers("if-none-match", "\"x\"");
        both.insert(IF_MODIFIED_SINCE, date.parse().unwrap());
        assert!(!not_modified(&both, "d", Some(last_modified(5))));
        let dated = headers("if-modified-since", &date);
        assert!(not_modified(&dated, "d", Some(last_modified(5))));
        assert!(not_modified(&dated, "d", Some(last_modified(4))));
        assert!(!not_modified(&dated, "d", Some(last_modified(6))));
        assert!(!not_modified(&dated, "d", None));
    }

    #[test]
    fn gzip_is_taken_where_it_is_named_and_not_refused() {
        for (value, taken) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("br", false),
            ("identity", false),
        ] {
            assert_eq!(
                takes_gzip(&headers("accept-encoding", value)),
                taken,
                "{value}"
            );
        }
    }
}

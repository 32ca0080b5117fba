//! Dates as HTTP writes them (RFC 9110, section 5.6.7).

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName};

/// The form that senders use, and the two that they once did.
const FORMS: [&str; 3] = [
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %e %H:%M:%S %Y",
];

/// The instant that a header names.
pub(super) fn date(headers: &HeaderMap, name: HeaderName) -> Option<DateTime<Utc>> {
    parse(headers.get(name)?.to_str().ok()?)
}

pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    FORMS
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text.trim(), form).ok())
        .map(|at| at.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_three_forms_is_read() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            let at = parse(text).unwrap();
            assert_eq!(at.to_rfc3339(), "1994-11-06T08:49:37+00:00", "{text}");
        }
        for text in ["0", "", "Sun, 06 Nov 1994 08:49:37", "1994-11-06T08:49:37Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

//! From a query string to what it asks for.
//!
//! Instants are those of RFC 3339, with two additions: an offset may be missing, which means UTC,
//! and a date alone means its first instant in `starts_at` and its last in `ends_at`, both in UTC.
//! In a query string an unencoded `+` is a space, so a space before the offset counts as one; and
//! as the RFC allows it, a space may stand for the `T`.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, SubsecRound, Utc};
use entity::search::Window;
use url::form_urlencoded;

/// Why a query string was refused; each says what to send instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No such parameter.
    #[error("there is no parameter `{name}`: {known}")]
    UnknownParameter {
        /// As it was sent, shortened.
        name: String,
        /// Those that there are.
        known: &'static str,
    },
    /// The same parameter twice.
    #[error("the parameter `{name}` is there more than once: send it once, such as {name}={}", example(.name))]
    RepeatedParameter {
        /// Which.
        name: &'static str,
    },
    /// Neither an instant nor a date.
    #[error(
        "the parameter `{name}` is neither an RFC 3339 time nor a date: \
         send it such as {name}={} or {name}={}", example(.name), example_date(.name)
    )]
    MalformedParameter {
        /// Which.
        name: &'static str,
    },
    /// The window ends before it starts.
    #[error(
        "the window ends before it starts: send an `ends_at` at or after `starts_at`, such as \
         starts_at={}&ends_at={}",
        example(STARTS_AT),
        example(ENDS_AT)
    )]
    InvertedWindow,
}

impl Invalid {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::UnknownParameter { .. } => "unknown_parameter",
            Self::RepeatedParameter { .. } => "repeated_parameter",
            Self::MalformedParameter { .. } => "malformed_parameter",
            Self::InvertedWindow => "inverted_window",
        }
    }
}

const STARTS_AT: &str = "starts_at";
const ENDS_AT: &str = "ends_at";
const NAME_SHOWN_CHARS: usize = 40;

fn example(name: &str) -> &'static str {
    match name {
        ENDS_AT => "2021-02-28T23:59:59Z",
        _ => "2021-02-01T00:00:00Z",
    }
}

fn example_date(name: &str) -> &'static str {
    &example(name)[..10]
}

/// The window that a search asks for.
///
/// # Errors
/// See [`Invalid`].
pub(crate) fn window(query: Option<&str>) -> Result<Window, Invalid> {
    let [starts_at, ends_at] = parameters(query, [STARTS_AT, ENDS_AT])?;
    let window = Window {
        starts_at: starts_at
            .map(|text| instant(&text, first_of).map(ceil))
            .map(|at| at.ok_or(Invalid::MalformedParameter { name: STARTS_AT }))
            .transpose()?,
        ends_at: ends_at
            .map(|text| instant(&text, last_of).map(floor))
            .map(|at| at.ok_or(Invalid::MalformedParameter { name: ENDS_AT }))
            .transpose()?,
    };
    match (window.starts_at, window.ends_at) {
        (Some(starts_at), Some(ends_at)) if ends_at < starts_at => Err(Invalid::InvertedWindow),
        _ => Ok(window),
    }
}

/// Refuses every parameter, for routes that take none.
///
/// # Errors
/// [`Invalid::UnknownParameter`].
pub(crate) fn nothing(query: Option<&str>) -> Result<(), Invalid> {
    parameters(query, []).map(|[]| ())
}

/// The values of the parameters `names`, decoded, each at most once and nothing besides.
fn parameters<const N: usize>(
    query: Option<&str>,
    names: [&'static str; N],
) -> Result<[Option<String>; N], Invalid> {
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(at) = names.iter().position(|known| *known == name) else {
            return Err(Invalid::UnknownParameter {
                name: name.chars().take(NAME_SHOWN_CHARS).collect(),
                known: match N {
                    0 => "this address takes none, leave the query out",
                    _ => "send `starts_at` and `ends_at`, such as starts_at=2021-02-01T00:00:00Z",
                },
            });
        };
        if values[at].replace(value.into_owned()).is_some() {
            return Err(Invalid::RepeatedParameter { name: names[at] });
        }
    }
    Ok(values)
}

/// An instant, or what `of_date` makes of a date.
fn instant(text: &str, of_date: fn(NaiveDate) -> DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (date, rest) = text.split_at_checked(10)?;
    if !has_shape(date, "0000-00-00") {
        return None;
    }
    if rest.is_empty() {
        return date.parse().ok().map(of_date);
    }
    let (time, rest) = rest.split_at_checked(9)?;
    if !["T00:00:00", "t00:00:00", " 00:00:00"]
        .iter()
        .any(|shape| has_shape(time, shape))
    {
        return None;
    }
    let digits = rest.strip_prefix('.').map_or(0, |fraction| {
        1 + fraction.bytes().take_while(u8::is_ascii_digit).count()
    });
    let (fraction, offset) = rest.split_at(digits);
    let offset = match offset {
        "" | "z" => "Z".to_owned(),
        lost if has_shape(lost, " 00:00") => lost.replacen(' ', "+", 1),
        given => given.to_owned(),
    };
    let time = &time[1..];
    let instant = DateTime::parse_from_rfc3339(&format!("{date}T{time}{fraction}{offset}")).ok()?;
    Some(within_rfc_3339(without_leap_second(instant.to_utc())))
}

/// Whether `text` has a digit wherever `shape` has a 0, and else the same characters.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, expected)| {
            if expected == b'0' {
                byte.is_ascii_digit()
            } else {
                byte == expected
            }
        })
}

fn first_of(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

fn last_of(date: NaiveDate) -> DateTime<Utc> {
    first_of(date) + Duration::days(1) - Duration::microseconds(1)
}

/// Neither database has leap seconds: 23:59:60 is the next day's first second to them.
fn without_leap_second(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(instant.timestamp(), 0).map_or(instant, |second| {
        second + Duration::nanoseconds(instant.timestamp_subsec_nanos().into())
    })
}

/// An offset can lead out of the years 0 to 9999, and there SQLite's order of instants as text ends.
fn within_rfc_3339(instant: DateTime<Utc>) -> DateTime<Utc> {
    let year = |year| NaiveDate::from_ymd_opt(year, 1, 1).map(first_of);
    match (year(0), year(10_000)) {
        (Some(first), Some(end)) => instant.clamp(first, end - Duration::microseconds(1)),
        _ => instant,
    }
}

/// Databases keep microseconds, and drop what is finer from a parameter.
fn floor(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant.trunc_subsecs(6)
}

fn ceil(instant: DateTime<Utc>) -> DateTime<Utc> {
    match floor(instant) {
        exact if exact == instant => exact,
        before => before + Duration::microseconds(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts_at(value: &str) -> Result<String, Invalid> {
        let window = window(Some(&format!("starts_at={value}")))?;
        Ok(window.starts_at.unwrap().to_rfc3339())
    }

    fn ends_at(value: &str) -> Result<String, Invalid> {
        let window = window(Some(&format!("ends_at={value}")))?;
        Ok(window.ends_at.unwrap().to_rfc3339())
    }

    #[test]
    fn both_ends_of_the_window_are_optional() {
        assert_eq!(window(None), Ok(Window::default()));
        assert_eq!(window(Some("")), Ok(Window::default()));
        assert_eq!(window(Some("&")), Ok(Window::default()));
    }

    #[test]
    fn an_instant_may_come_in_every_form_of_rfc_3339() {
        for (value, instant) in [
            ("2021-02-01T00:00:00Z", "2021-02-01T00:00:00+00:00"),
            ("2021-02-01t00:00:00z", "2021-02-01T00:00:00+00:00"),
            ("2021-02-01T00:00:00", "2021-02-01T00:00:00+00:00"),
            ("2021-02-01%2000:00:00", "2021-02-01T00:00:00+00:00"),
            ("2021-02-01T00:00:00.25Z", "2021-02-01T00:00:00.250+00:00"),
            ("2021-02-01T00:00:00.5", "2021-02-01T00:00:00.500+00:00"),
            ("2021-02-01T00:00:00%2B02:00", "2021-01-31T22:00:00+00:00"),
            ("2021-02-01T00:00:00-02:00", "2021-02-01T02:00:00+00:00"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(starts_at(value).as_deref(), Ok(instant), "{value}");
            assert_eq!(ends_at(value).as_deref(), Ok(instant), "{value}");
        }
    }

    #[test]
    fn a_plus_that_was_not_encoded_is_still_an_offset() {
        for value in [
            "2021-02-01T00:00:00+02:00",
            "2021-02-01T00:00:00%2002:00",
            "2021-02-01T00:00:00.000+02:00",
        ] {
            let instant = starts_at(value);
            assert_eq!(instant.as_deref(), Ok("2021-01-31T22:00:00+00:00"));
        }
    }

    #[test]
    fn a_date_means_the_whole_day() {
        assert_eq!(
            starts_at("2021-02-01").as_deref(),
            Ok("2021-02-01T00:00:00+00:00")
        );
        assert_eq!(
            ends_at("2021-02-01").as_deref(),
            Ok("2021-02-01T23:59:59.999999+00:00")
        );
        assert!(window(Some("starts_at=2021-02-01&ends_at=2021-02-01")).is_ok());
    }

    #[test]
    fn what_a_database_cannot_hold_is_rounded_into_the_window() {
        let finer = "2021-02-01T00:00:00.0000005Z";
        assert_eq!(
            starts_at(finer).as_deref(),
            Ok("2021-02-01T00:00:00.000001+00:00")
        );
        assert_eq!(ends_at(finer).as_deref(), Ok("2021-02-01T00:00:00+00:00"));
    }

    #[test]
    fn an_offset_does_not_lead_out_of_the_years_that_rfc_3339_has() {
        let value = "9999-12-31T23:59:59-12:00";
        let last = "9999-12-31T23:59:59.999999+00:00";
        assert_eq!(starts_at(value).as_deref(), Ok(last));
        let value = "0000-01-01T00:00:00%2B12:00";
        assert_eq!(starts_at(value).as_deref(), Ok("0000-01-01T00:00:00+00:00"));
        assert!(ends_at("9999-12-31").is_ok());
    }

    #[test]
    fn what_is_no_instant_is_refused_with_an_example() {
        for value in [
            "",
            "now",
            "2021",
            "2021-02",
            "2021-2-1",
            "2021-02-30",
            "2021-13-01",
            "20210201",
            "2021-02-01T",
            "2021-02-01T00:00",
            "2021-02-01T24:00:00Z",
            "2021-02-01T00:60:00Z",
            "2021-02-01T00:00:00.Z",
            "2021-02-01T00:00:00,5Z",
            "2021-02-01T00:00:00Z%20",
            "%202021-02-01",
            "2021-02-01T00:00:00%2B0200",
            "2021-02-01T00:00:00%2B02",
            "2021-02-01T00:00:00%2B24:00",
            "2021-02-01T00:00:00+Z",
            "2021-02-01T00:00:00Europe/Madrid",
            "2021-02-01X00:00:00Z",
            "+2021-02-01",
            "1612137600",
            "%FF",
            "２０２１-02-01",
            "20210201é",
        ] {
            let refused = starts_at(value).unwrap_err();
            let name = STARTS_AT;
            assert_eq!(refused, Invalid::MalformedParameter { name }, "{value}");
            let message = refused.to_string();
            assert!(
                message.contains("starts_at=2021-02-01T00:00:00Z"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_parameter_that_is_unknown_or_doubled_is_refused() {
        let unknown = window(Some("start=2021-02-01")).unwrap_err();
        assert_eq!(unknown.code(), "unknown_parameter");
        assert!(unknown.to_string().contains("`start`"), "{unknown}");
        assert!(unknown.to_string().contains("`starts_at`"), "{unknown}");
        let doubled = window(Some("ends_at=2021-02-01&ends_at=2021-02-01")).unwrap_err();
        assert_eq!(doubled, Invalid::RepeatedParameter { name: ENDS_AT });
        assert!(nothing(Some("starts_at=2021-02-01")).is_err());
        assert_eq!(nothing(None), Ok(()));
    }

    #[test]
    fn a_long_name_is_not_repeated_in_full() {
        let refused = window(Some(&"x".repeat(5000))).unwrap_err().to_string();
        assert!(refused.len() < 200, "{refused}");
    }

    #[test]
    fn an_inverted_window_is_refused() {
        let query = "starts_at=2021-02-02T00:00:00Z&ends_at=2021-02-01T23:59:59Z";
        assert_eq!(window(Some(query)), Err(Invalid::InvertedWindow));
        let instant = "starts_at=2021-02-02T00:00:00Z&ends_at=2021-02-02T00:00:00Z";
        assert!(window(Some(instant)).is_ok());
    }
}

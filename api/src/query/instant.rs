//! Instants and dates as people send them.
//!
//! Instants are those of RFC 3339, with two additions: an offset may be missing, which means UTC,
//! and a date alone means its first instant as a beginning and its last as an end, both in UTC. In a
//! query string an unencoded `+` is a space, so a space before the offset counts as one; and as the
//! RFC allows it, a space may stand for the `T`.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, SubsecRound, Utc};

/// The beginning that `text` means, not before it where a database can't hold it exactly.
pub(crate) fn beginning(text: &str) -> Option<DateTime<Utc>> {
    instant(text, first_of).map(ceil)
}

/// The end that `text` means, not after it where a database can't hold it exactly.
pub(crate) fn end(text: &str) -> Option<DateTime<Utc>> {
    instant(text, last_of).map(floor)
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

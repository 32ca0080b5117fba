//! Times as instants, by the calendar and the provider's time zone.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// An instant, and what a clock in the provider's time zone shows then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: DateTime<Utc>,
    pub(super) local: NaiveDateTime,
}

/// Why a text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMoment {
    /// It reads like one, but the calendar has no such day. It is never taken for a day nearby.
    NoSuchDay,
    /// Anything else.
    Unreadable,
}

/// Reads `2021-06-30T21:00:00`, with a fraction of a second and with `Z` or an offset if it has them.
///
/// A time without an offset is local to `zone`. One that the clocks skip is counted with the offset
/// before the gap, one that they repeat is its first occurrence (RFC 5545, section 3.3.5). Fractions
/// are kept to the microsecond; years are those of four digits from 0001, in UTC too.
pub(super) fn moment(text: &str, zone: &TimeZone) -> Result<Moment, NoMoment> {
    let (written, rest) = written(text.trim_ascii())?;
    let moment = match rest {
        b"" => in_zone(written, zone)?,
        offset => {
            let offset = offset_seconds(offset).ok_or(NoMoment::Unreadable)?;
            let at = (written - TimeDelta::seconds(offset)).and_utc();
            Moment {
                at,
                local: local(at, zone)?,
            }
        }
    };
    if is_storable(moment.at.naive_utc()) && is_storable(moment.local) {
        Ok(moment)
    } else {
        Err(NoMoment::Unreadable)
    }
}

/// The date and time as written, and what follows them.
fn written(text: &str) -> Result<(NaiveDateTime, &[u8]), NoMoment> {
    let bytes = text.as_bytes();
    let Some((head, mut rest)) = bytes.split_first_chunk::<19>() else {
        return Err(NoMoment::Unreadable);
    };
    let shaped = matches!(
        (head[4], head[7], head[10], head[13], head[16]),
        (b'-', b'-', b'T' | b't' | b' ', b':', b':')
    );
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second), true) = (
        digits(&head[..4]),
        digits(&head[5..7]),
        digits(&head[8..10]),
        digits(&head[11..13]),
        digits(&head[14..16]),
        digits(&head[17..]),
        shaped,
    ) else {
        return Err(NoMoment::Unreadable);
    };
    let mut micros = 0;
    if let [b'.', fraction @ ..] = rest {
        let length = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if length == 0 {
            return Err(NoMoment::Unreadable);
        }
        for digit in fraction[..length].iter().chain(b"000000").take(6) {
            micros = micros * 10 + u32::from(digit - b'0');
        }
        rest = &fraction[length..];
    }
    // The year 0 is how databases write "no date", so it is no missing day.
    if year == 0 {
        return Err(NoMoment::Unreadable);
    }
    let date =
        NaiveDate::from_ymd_opt(year.cast_signed(), month, day).ok_or(NoMoment::NoSuchDay)?;
    let time = date.and_hms_micro_opt(hour, minute, second, micros);
    Ok((time.ok_or(NoMoment::Unreadable)?, rest))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    })
}

/// `Z`, `+02:00` or `+0200`, in seconds east of UTC.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match text {
        b"Z" | b"z" => return Some(0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let (hours, minutes) = (digits(&hours)?, digits(&minutes)?);
    let seconds = i64::from(hours * 3600 + minutes * 60);
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

fn in_zone(written: NaiveDateTime, zone: &TimeZone) -> Result<Moment, NoMoment> {
    let ambiguous = zone.to_ambiguous_timestamp(civil_of(written)?);
    let (offset, shown) = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } => (offset, offset),
        AmbiguousOffset::Gap { before, after } => (before, after),
        AmbiguousOffset::Fold { before, .. } => (before, before),
    };
    let at = written - TimeDelta::seconds(offset.seconds().into());
    Ok(Moment {
        at: at.and_utc(),
        local: at + TimeDelta::seconds(shown.seconds().into()),
    })
}

fn local(at: DateTime<Utc>, zone: &TimeZone) -> Result<NaiveDateTime, NoMoment> {
    let timestamp =
        jiff::Timestamp::from_second(at.timestamp()).map_err(|_| NoMoment::Unreadable)?;
    let offset = zone.to_offset(timestamp).seconds();
    Ok(at.naive_utc() + TimeDelta::seconds(offset.into()))
}

/// To the second, which is as fine as the clocks are changed.
fn civil_of(time: NaiveDateTime) -> Result<civil::DateTime, NoMoment> {
    use chrono::{Datelike, Timelike};
    let part = |part: u32| i8::try_from(part).map_err(|_| NoMoment::Unreadable);
    civil::DateTime::new(
        i16::try_from(time.year()).map_err(|_| NoMoment::Unreadable)?,
        part(time.month())?,
        part(time.day())?,
        part(time.hour())?,
        part(time.minute())?,
        part(time.second())?,
        0,
    )
    .map_err(|_| NoMoment::Unreadable)
}

fn is_storable(time: NaiveDateTime) -> bool {
    use chrono::Datelike;
    (1..=9999).contains(&time.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, zone: &str) -> (String, String) {
        let moment = moment(text, &TimeZone::get(zone).unwrap()).unwrap();
        (moment.at.to_rfc3339(), moment.local.to_string())
    }

    fn fails(text: &str) -> NoMoment {
        moment(text, &TimeZone::UTC).unwrap_err()
    }

    #[test]
    fn naive_times_are_in_the_providers_zone() {
        let (at, local) = read("2021-06-30T21:00:00", "Europe/Madrid");
        assert_eq!(at, "2021-06-30T19:00:00+00:00");
        assert_eq!(local, "2021-06-30 21:00:00");
        let (at, local) = read(" 2021-06-30 21:00:00 ", "UTC");
        assert_eq!(at, "2021-06-30T21:00:00+00:00");
        assert_eq!(local, "2021-06-30 21:00:00");
    }

    /// RFC 5545, section 3.3.5, with its own example.
    #[test]
    fn a_skipped_time_is_counted_with_the_offset_before_the_gap() {
        let (at, local) = read("2007-03-11T02:30:00", "America/New_York");
        assert_eq!(at, "2007-03-11T07:30:00+00:00");
        assert_eq!(local, "2007-03-11 03:30:00");
        let (at, local) = read("2021-03-28T02:00:00", "Europe/Madrid");
        assert_eq!(at, "2021-03-28T01:00:00+00:00");
        assert_eq!(local, "2021-03-28 03:00:00");
    }

    /// RFC 5545, section 3.3.5, with its own example.
    #[test]
    fn a_repeated_time_is_its_first_occurrence() {
        let (at, local) = read("2007-11-04T01:30:00", "America/New_York");
        assert_eq!(at, "2007-11-04T05:30:00+00:00");
        assert_eq!(local, "2007-11-04 01:30:00");
    }

    #[test]
    fn clock_changes_are_resolved_as_the_time_zone_library_does() {
        for zone in ["Europe/Madrid", "America/New_York", "Australia/Lord_Howe"] {
            let zone = TimeZone::get(zone).unwrap();
            for hour in 0..24 * 365 {
                let time = civil::date(2021, 1, 1)
                    .at(0, 15, 0, 0)
                    .saturating_add(jiff::Span::new().hours(hour));
                let ours = moment(&time.to_string(), &zone).unwrap();
                let theirs = time.to_zoned(zone.clone()).unwrap();
                assert_eq!(ours.at.timestamp(), theirs.timestamp().as_second());
                assert_eq!(
                    ours.local.and_utc().timestamp(),
                    theirs
                        .datetime()
                        .in_tz("UTC")
                        .unwrap()
                        .timestamp()
                        .as_second()
                );
            }
        }
    }

    #[test]
    fn offsets_are_honoured_and_local_times_stay_the_providers() {
        for text in [
            "2021-06-30T19:00:00Z",
            "2021-06-30T19:00:00z",
            "2021-06-30T14:00:00-05:00",
            "2021-07-01T00:30:00+0530",
        ] {
            let (at, local) = read(text, "Europe/Madrid");
            assert_eq!(at, "2021-06-30T19:00:00+00:00", "{text}");
            assert_eq!(local, "2021-06-30 21:00:00", "{text}");
        }
    }

    #[test]
    fn fractions_are_kept_to_the_microsecond() {
        let (at, _) = read("2025-05-18T23:30:00.1234567Z", "UTC");
        assert_eq!(at, "2025-05-18T23:30:00.123456+00:00");
        let (at, _) = read("2025-05-18T23:30:00.5", "UTC");
        assert_eq!(at, "2025-05-18T23:30:00.500+00:00");
    }

    #[test]
    fn a_day_that_does_not_exist_is_never_rolled_over() {
        for text in [
            "2021-09-31T20:00:00",
            "2021-02-29T20:00:00Z",
            "2021-13-01T00:00:00",
            "2021-00-10T00:00:00",
        ] {
            assert_eq!(fails(text), NoMoment::NoSuchDay, "{text}");
        }
        assert!(moment("2020-02-29T20:00:00", &TimeZone::UTC).is_ok());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2021-06-30",
            "2021-06-30T21:00",
            "2021-06-30T24:00:00",
            "2021-06-30T23:59:60",
            "2021-06-30T21:60:00",
            "30/06/2021 21:00:00",
            "2021-06-30T21:00:00.",
            "2021-06-30T21:00:00+2",
            "2021-06-30T21:00:00+24:00",
            "2021-06-30T21:00:00 CET",
            "2021-06-30T21:00:00[Europe/Madrid]",
            "+021-06-30T21:00:00",
            "0000-00-00T00:00:00",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "٢٠٢١-06-30T21:00:00",
            "2021-06-30T21:00:0é",
        ] {
            assert_eq!(fails(text), NoMoment::Unreadable, "{text}");
        }
        assert!(moment("0001-01-01T00:00:00Z", &TimeZone::UTC).is_ok());
        assert!(moment("9999-12-31T23:59:59", &TimeZone::UTC).is_ok());
    }
}

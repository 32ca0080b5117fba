//! Instants and durations as a person reads them.

use chrono::{DateTime, Utc};

/// An instant to the second.
pub(crate) fn instant(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "never".to_owned(),
        |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// How far an instant is from another, in one unit: `3 min ago`, `in 2 h`.
pub(crate) fn from_now(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let distance = at - now;
    let rough = rough(distance.num_milliseconds().saturating_abs());
    match distance.num_seconds() {
        0 => "now".to_owned(),
        1.. => format!("in {rough}"),
        _ => format!("{rough} ago"),
    }
}

/// Milliseconds in the largest unit of which there are two or more.
pub(crate) fn rough(ms: i64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Milliseconds, whole.
pub(crate) fn duration_ms(ms: i64) -> String {
    let duration = std::time::Duration::from_millis(ms.unsigned_abs());
    humantime::format_duration(duration).to_string()
}

/// Milliseconds, as exactly as they are of interest: `340 ms`, `12.3 s`, `2 min 5 s`, `3 h 20 min`.
pub(crate) fn took_ms(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (seconds, told) in [
            (0, "now"),
            (-1, "1 s ago"),
            (-119, "119 s ago"),
            (-120, "2 min ago"),
            (-7_199, "119 min ago"),
            (-7_200, "2 h ago"),
            (-172_800, "2 d ago"),
            (45, "in 45 s"),
            (300, "in 5 min"),
        ] {
            assert_eq!(from_now(now + TimeDelta::seconds(seconds), now), told);
        }
    }

    #[test]
    fn a_duration_is_told_as_exactly_as_it_is_of_interest() {
        for (ms, told) in [
            (-5, "0 ms"),
            (999, "999 ms"),
            (12_345, "12.3 s"),
            (125_000, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
        ] {
            assert_eq!(took_ms(ms), told);
        }
    }
}

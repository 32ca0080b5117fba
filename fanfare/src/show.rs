//! What a command prints: lines, tables and JSON on the standard output, errors in one line.

mod discreet;
mod look;
mod table;
mod time;

use std::borrow::Cow;
use std::io::Write;

use anyhow::Context;
use serde::Serialize;

pub(crate) use discreet::discreet;
pub(crate) use look::{Look, Tone};
pub(crate) use table::{Cell, Column};
pub(crate) use time::{duration_ms, from_now, instant, rough, took_ms};

/// One line on the standard output. A reader that has left is no fault.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", harmless(text));
}

/// Text of which a feed may have had a part, without what could steer a terminal. JSON stays JSON and
/// means the same.
fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// One line on the standard error, for who watches rather than for what a command gives.
pub(crate) fn aside(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", harmless(text));
}

/// A value as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value).context("can't write JSON")?);
    Ok(())
}

/// An error with its causes, in one line.
pub(crate) fn error(error: &anyhow::Error) {
    refusal(&told(error));
}

/// Why a command did not do what it was asked to. A value may have been given in the wrong place: no
/// address in it shows its keys.
pub(crate) fn refusal(reason: &str) {
    let _ = writeln!(std::io::stderr(), "error: {}", harmless(&discreet(reason)));
}

/// The causes after the error, without those whose text an error before them has in its own.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// Labels and what they stand for, one a line.
pub(crate) fn pairs<V: Clone + Into<Cell>>(pairs: &[(&str, V)]) {
    let look = Look::stdout();
    let width = pairs.iter().map(|(label, _)| label.len()).max();
    let width = width.unwrap_or(0);
    for (label, value) in pairs {
        let value = value.clone().into().styled(look);
        drawn(&format!("{label:width$}  {value}"));
    }
}

/// Rows under headings.
pub(crate) fn table<const N: usize>(columns: &[Column; N], rows: &[[Cell; N]]) {
    for line in table::lines(columns, rows, Look::stdout()) {
        drawn(&line);
    }
}

/// A line with colours of ours, of which everything else is harmless already.
pub(crate) fn drawn(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A number with its thousands apart.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number with its noun, which takes an `s` unless there is one.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", self::number(number))
}

/// Ten-thousandths as an amount: with two decimals, or as many as it takes.
pub(crate) fn amount(ten_thousandths: i64) -> String {
    let sign = if ten_thousandths < 0 { "-" } else { "" };
    let (units, parts) = (
        ten_thousandths.unsigned_abs() / 10_000,
        ten_thousandths.unsigned_abs() % 10_000,
    );
    let mut decimals = format!("{parts:04}");
    while decimals.len() > 2 && decimals.ends_with('0') {
        decimals.pop();
    }
    format!("{sign}{units}.{decimals}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_shown_and_stays_the_same_in_json() {
        assert_eq!(harmless("Café\n\tTable"), "Café\n\tTable");
        assert_eq!(harmless("a\u{1b}[2Jb\u{9b}c"), "a\\u001b[2Jb\\u009bc");
        let text = "a\u{1b}\u{7f}\u{9b}";
        let json = serde_json::to_string(text).unwrap();
        let shown = harmless(&json);
        assert!(!shown.contains(char::is_control));
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }

    #[test]
    fn an_amount_has_two_decimals_or_as_many_as_it_takes() {
        for (ten_thousandths, shown) in [
            (0, "0.00"),
            (125_000, "12.50"),
            (125_001, "12.5001"),
            (1_230, "0.123"),
            (i64::MAX, "922337203685477.5807"),
        ] {
            assert_eq!(amount(ten_thousandths), shown);
        }
    }

    #[test]
    fn an_error_says_each_thing_once() {
        let error = anyhow::anyhow!("connection refused")
            .context("no connection to redis: connection refused")
            .context("open the queue");
        let once = "open the queue: no connection to redis: connection refused";
        assert_eq!(told(&error), once);
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_000), "1,000");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "event"), "1 event");
        assert_eq!(count(2_000, "event"), "2,000 events");
    }
}

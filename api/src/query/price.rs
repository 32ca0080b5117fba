//! Amounts as people send them: decimals, exact to a ten-thousandth.

const DECIMALS: usize = 4;

/// A decimal number such as `25` or `25.50` in ten-thousandths.
pub(super) fn price(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (units, parts) = digits.split_once('.').unwrap_or((digits, "0"));
    if ![units, parts].into_iter().all(is_digits) || parts.len() > DECIMALS {
        return None;
    }
    let units: i64 = units.parse().ok()?;
    let parts: i64 = format!("{parts:0<DECIMALS$}").parse().ok()?;
    units
        .checked_mul(10_000)?
        .checked_add(parts)?
        .checked_mul(sign)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_read_exactly() {
        for (text, expected) in [
            ("0", 0),
            ("25", 250_000),
            ("25.5", 255_000),
            ("25.50", 255_000),
            ("0.0001", 1),
            ("-1.25", -12_500),
            ("007", 70_000),
            ("922337203685477.5807", i64::MAX),
        ] {
            assert_eq!(price(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_decimal_or_finer_than_a_ten_thousandth_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1,5",
            "1e3",
            "+1",
            " 1",
            "0x1",
            "1.00001",
            "--1",
            "1.-5",
            "NaN",
            "922337203685478",
            "99999999999999999999",
            "１",
        ] {
            assert_eq!(price(text), None, "{text}");
        }
    }
}

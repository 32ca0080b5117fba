//! Prices as exact whole numbers of ten-thousandths.

/// Decimals of a price.
const SCALE: usize = 4;

/// Reads `20`, `20.5`, `.5` or `20.` into ten-thousandths.
///
/// Nothing else is a price: no sign, exponent, comma or currency. Decimals past the fourth must be
/// zeros, for then the amount is still exact.
pub(super) fn ten_thousandths(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && decimals.is_empty() {
        return None;
    }
    let mut amount = 0_i64;
    for digit in whole.bytes() {
        amount = push_digit(amount, digit)?;
    }
    let decimals = decimals.as_bytes();
    for place in 0..SCALE {
        amount = push_digit(amount, decimals.get(place).copied().unwrap_or(b'0'))?;
    }
    let rest = decimals.get(SCALE..).unwrap_or_default();
    rest.iter().all(|&digit| digit == b'0').then_some(amount)
}

fn push_digit(amount: i64, digit: u8) -> Option<i64> {
    if !digit.is_ascii_digit() {
        return None;
    }
    amount.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact() {
        for (text, expected) in [
            ("20.00", 200_000),
            ("20", 200_000),
            ("0.00", 0),
            ("0.1", 1_000),
            ("0.0001", 1),
            (".5", 5_000),
            ("5.", 50_000),
            (" 15.10\n", 151_000),
            ("007.25", 72_500),
            ("20.000000", 200_000),
            ("900719925474.0993", 9_007_199_254_740_993),
            ("922337203685477.5807", i64::MAX),
        ] {
            assert_eq!(ten_thousandths(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_exact_amount_is_refused() {
        for text in [
            "",
            " ",
            ".",
            "not_a_price",
            "NaN",
            "inf",
            "-1",
            "-0.00",
            "+1",
            "1e2",
            "20,00",
            "1 000",
            "20.00 EUR",
            "0x10",
            "1.2.3",
            "0.00001",
            "20.00005",
            "٢٠",
            "922337203685477.5808",
            "99999999999999999999",
        ] {
            assert_eq!(ten_thousandths(text), None, "{text}");
        }
    }
}

//! What an operator sets.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Requests that a client may send in a second, on the long run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerSecond(f64);

/// A number that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give requests a second, from 0.001 to 1000000, such as 20 or 0.5")]
pub struct BadRate;

impl FromStr for PerSecond {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let rate = text.trim().parse().map_err(|_| BadRate)?;
        if (0.001..=1_000_000.0).contains(&rate) {
            Ok(Self(rate))
        } else {
            Err(BadRate)
        }
    }
}

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What each client may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub(super) interval: Duration,
    pub(super) burst: u32,
}

impl Rate {
    /// So many requests a second, and `burst` at once; those of one second, without it.
    pub fn new(per_second: PerSecond, burst: Option<NonZeroU32>) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is a million at most"
        )]
        let of_one_second = per_second.0.ceil() as u32;
        Self {
            interval: Duration::from_secs_f64(1.0 / per_second.0),
            burst: burst.map_or(of_one_second, NonZeroU32::get),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_burst_it_is_one_seconds_worth() {
        let burst = |rate: &str| Rate::new(rate.parse().unwrap(), None).burst;
        assert_eq!([burst("20"), burst("0.2"), burst("2.5")], [20, 1, 3]);
    }

    #[test]
    fn a_number_that_is_no_rate_is_refused_with_what_to_give() {
        for rate in ["", "0", "-1", "nan", "inf", "1e9", "0.0001", "ten", "10/s"] {
            let refused = rate.parse::<PerSecond>().unwrap_err().to_string();
            assert!(refused.contains("such as 20 or 0.5"), "{rate}: {refused}");
        }
    }
}

//! Chance without state: every fact of the simulated world is a hash of where it stands.
//!
//! The mixing function is `SplitMix64`'s finalizer (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", 2014), written out here so that no dependency's update changes a feed's bytes.

/// What a draw decides; keeps the draws about one thing independent of each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Base = 1,
    Plan,
    Zone,
    Act,
    Place,
    Suffix,
    SellMode,
    SellModeTurn,
    Organizer,
    Padded,
    SharedIds,
    PlanCount,
    Generation,
    Absence,
    Unsound,
    FlawTime,
    FlawKind,
    Details,
    Start,
    ClockChange,
    Duration,
    SoldOut,
    SaleOpens,
    SaleCloses,
    ZoneCount,
    ZoneRepeat,
    ZoneName,
    Capacity,
    Price,
    Numbered,
    Quirk,
}

/// A place in the tree of draws; cheap to copy, the same on every machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The draw of the child with this number.
    pub(crate) fn at(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number)))
    }

    /// The draw that decides `what`.
    pub(crate) fn of(self, what: What) -> Self {
        self.at(what as u64)
    }

    /// A number from 0 up to, not including, `bound`; 0 if `bound` is 0.
    pub(crate) fn below(self, bound: u64) -> u64 {
        let wide = u128::from(self.0) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// True once in `n` times.
    pub(crate) fn one_in(self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<T: Copy>(self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64);
        choices[usize::try_from(index).unwrap_or(0)]
    }

    /// How often something that changes once in `period` rounds has changed by `round`.
    pub(crate) fn version(self, round: u64, period: u64) -> u64 {
        round.saturating_add(self.below(period)) / period
    }

    /// Whether `round` lies in the window that opens once in each `period` rounds, for 1 to `longest` rounds.
    pub(crate) fn in_window(self, round: u64, period: u64, longest: u64) -> bool {
        let shifted = round.saturating_add(self.below(period));
        let cycle = self.at(shifted / period);
        let length = 1 + cycle.at(0).below(longest);
        let opens = cycle.at(1).below(period - length);
        (opens..opens + length).contains(&(shifted % period))
    }
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_is_splitmix64() {
        // The first outputs of the published generator for seed 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn a_window_opens_once_in_a_period() {
        let draw = Draw::new(5);
        let open = (0..4000).map(|round| draw.in_window(round, 400, 8));
        let edges = open
            .clone()
            .zip(open.skip(1))
            .filter(|(now, next)| !now && *next);
        assert!((9..=11).contains(&edges.count()));
    }

    #[test]
    fn a_version_rises_once_in_a_period() {
        let draw = Draw::new(9);
        assert_eq!(draw.version(1_500, 150) - draw.version(0, 150), 10);
        assert!(draw.version(u64::MAX, 150) > 0);
    }

    #[test]
    fn draws_stay_below_their_bound_and_reach_all_of_it() {
        let seen: std::collections::BTreeSet<u64> =
            (0..200).map(|n| Draw::new(1).at(n).below(7)).collect();
        assert_eq!(seen, (0..7).collect());
        assert_eq!(Draw::new(1).below(0), 0);
    }
}

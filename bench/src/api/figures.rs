//! Figures of several rounds.

use std::fmt;

/// Their middle one stands for all; shown with the least and the greatest.
#[derive(Debug, Clone)]
pub(crate) struct Figures(Vec<f64>);

impl FromIterator<f64> for Figures {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_unstable_by(f64::total_cmp);
        Self(figures)
    }
}

impl Figures {
    /// Between the two middle ones of an even number, and not a number where there are none.
    pub(crate) fn median(&self) -> f64 {
        let count = self.0.len();
        f64::midpoint(self.at(count / 2), self.at(count.saturating_sub(1) / 2))
    }

    /// The greatest.
    pub(crate) fn most(&self) -> f64 {
        self.at(self.0.len().saturating_sub(1))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn at(&self, position: usize) -> f64 {
        self.0.get(position).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.at(0), self.most());
        write!(f, "{:.2} ({least:.2} to {most:.2})", self.median())
    }
}

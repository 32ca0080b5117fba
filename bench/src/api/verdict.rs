//! Figures against their limits.

use super::wrk::Told;
use crate::show;

/// Gathers which limits held and which were missed.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    held: usize,
    missed: Vec<String>,
}

impl Verdict {
    /// The least that a figure may be, and whether it is less.
    pub(crate) fn at_least(&mut self, what: &str, figure: f64, limit: f64) -> String {
        self.hold(what, figure, figure >= limit, "at least", limit)
    }

    /// The most that a figure may be, and whether it is more.
    pub(crate) fn at_most(&mut self, what: &str, figure: f64, limit: f64) -> String {
        self.hold(what, figure, figure <= limit, "at most", limit)
    }

    fn hold(&mut self, what: &str, figure: f64, held: bool, how: &str, limit: f64) -> String {
        let limit = format!("{how} {limit:.2}");
        if held {
            self.held += 1;
            return limit;
        }
        self.missed.push(format!("{what} {figure:.3}, {limit}"));
        format!("{limit}: MISSED")
    }

    /// No request may have failed.
    pub(crate) fn clean(&mut self, what: &str, told: &Told) {
        if let Some(failures) = told.failures() {
            self.wrong(what, &failures);
        }
    }

    /// Answers that are no good.
    pub(crate) fn wrong(&mut self, what: &str, why: &str) {
        show::line(&format!("{what:<26} {why}: MISSED"));
        self.missed.push(format!("{what}: {why}"));
    }

    /// What can't be measured holds no limit.
    pub(crate) fn skipped(&mut self, what: &str, why: &str) {
        show::line(&format!("{what:<26} SKIPPED: {why}"));
        self.missed.push(format!("{what} skipped: {why}"));
    }

    /// The last line; whether all limits held.
    pub(crate) fn tell(&self) -> bool {
        let missed = match self.missed.len() {
            0 => {
                let told = match self.held {
                    0 => "nothing of this has a limit",
                    _ => "all limits held",
                };
                show::line(told);
                return true;
            }
            1 => "1 limit".to_owned(),
            many => format!("{many} limits"),
        };
        show::line(&format!("{missed} missed: {}", self.missed.join("; ")));
        false
    }
}

//! How far something is: a bar in a terminal, a line now and then elsewhere.

use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::screen::Screen;
use crate::show;

/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Providers that are done, failed ones included.
    pub(crate) done: u64,
    /// Of so many.
    pub(crate) total: u64,
    /// Providers that failed.
    pub(crate) failed: u64,
    /// Events, and what of them is told.
    pub(crate) events: (u64, &'static str),
}

impl Standing {
    /// In words, `elapsed` after the begin.
    fn told(&self, elapsed: Duration) -> String {
        let mut told = format!(
            "{} of {}",
            show::number(self.done),
            show::count(self.total, "provider")
        );
        if self.failed > 0 {
            told.push_str(&format!(", {} failed", show::number(self.failed)));
        }
        let (events, what) = self.events;
        if events > 0 {
            told.push_str(&format!(", {} {what}", show::count(events, "event")));
        }
        let seconds = elapsed.as_secs_f64();
        if self.done > 0 && seconds > 0.0 {
            told.push_str(&format!(", {:.1}/s", self.done as f64 / seconds));
            let left = seconds * self.total.saturating_sub(self.done) as f64 / self.done as f64;
            let left_ms = (left.ceil() * 1000.0) as i64;
            if left_ms > 0 {
                told.push_str(&format!(", {} left", show::rough(left_ms)));
            }
        }
        told
    }
}

/// Tells it on the standard error: what a command gives is on the standard output.
pub(crate) struct Progress {
    screen: Screen,
    started: Instant,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Lines),
    Nothing,
}

impl Progress {
    pub(crate) fn new(screen: &Screen) -> Self {
        let terminal = Term::stderr().features().is_attended() && !console::is_dumb();
        let started = Instant::now();
        let shown = if terminal {
            let bar = bar();
            screen.share(Some(bar.clone()));
            Shown::Bar(bar)
        } else {
            Shown::Lines(Lines::new(started))
        };
        Self {
            screen: screen.clone(),
            started,
            shown,
        }
    }

    /// Tells nothing, to those who read something else.
    pub(crate) fn silent(screen: &Screen) -> Self {
        Self {
            screen: screen.clone(),
            started: Instant::now(),
            shown: Shown::Nothing,
        }
    }

    /// Tells how far it is; call as often as that may change.
    pub(crate) fn tell(&mut self, standing: Standing) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_length(standing.total);
                bar.set_message(standing.told(self.started.elapsed()));
                bar.set_position(standing.done);
            }
            Shown::Lines(lines) => {
                if let Some(line) = lines.due(standing, Instant::now()) {
                    show::aside(&line);
                }
            }
            Shown::Nothing => {}
        }
    }

    /// Says something beside it.
    pub(crate) fn say(&self, line: &str) {
        if !matches!(self.shown, Shown::Nothing) {
            self.screen.apart(|| show::aside(line));
        }
    }
}

/// Whatever comes afterwards finds no bar.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            self.screen.share(None);
            bar.finish_and_clear();
        }
    }
}

/// Where there is little room, words say more than a bar.
fn bar() -> ProgressBar {
    let (_, columns) = Term::stderr().size();
    let template = match columns {
        ..70 => "{wide_msg}",
        _ => "[{bar:24}] {wide_msg}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style.progress_chars("=> "))
}

/// Which lines are worth it: what has changed, now and then, and not what is over, as the result says that.
struct Lines {
    started: Instant,
    last: Instant,
    told: Option<Standing>,
}

impl Lines {
    fn new(started: Instant) -> Self {
        Self {
            started,
            last: started,
            told: None,
        }
    }

    fn due(&mut self, standing: Standing, now: Instant) -> Option<String> {
        let changed = standing.done > 0 && self.told != Some(standing);
        if !changed || standing.done >= standing.total || now - self.last < EVERY {
            return None;
        }
        self.last = now;
        self.told = Some(standing);
        Some(standing.told(now - self.started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(done: u64, failed: u64, events: u64) -> Standing {
        Standing {
            done,
            total: 1_200,
            failed,
            events: (events, "changed"),
        }
    }

    #[test]
    fn progress_tells_pace_failures_and_time_left() {
        let told = |standing: Standing, seconds| standing.told(Duration::from_secs(seconds));
        assert_eq!(told(standing(0, 0, 0), 9), "0 of 1,200 providers");
        assert_eq!(
            told(standing(300, 2, 4_567), 10),
            "300 of 1,200 providers, 2 failed, 4,567 events changed, 30.0/s, 30 s left"
        );
        assert_eq!(
            told(standing(1, 0, 1), 10),
            "1 of 1,200 providers, 1 event changed, 0.1/s, 3 h left"
        );
        assert_eq!(
            told(standing(1_200, 0, 0), 10),
            "1,200 of 1,200 providers, 120.0/s"
        );
    }

    #[test]
    fn lines_come_on_change_and_seldom() {
        let started = Instant::now();
        let mut lines = Lines::new(started);
        let mut due = |done, ms| {
            let now = started + Duration::from_millis(ms);
            lines.due(standing(done, 0, 0), now).is_some()
        };
        assert!(!due(0, 0), "nothing has happened");
        assert!(!due(10, 100), "it may be over before anybody wonders");
        assert!(!due(0, 6_000));
        assert!(due(20, 6_001));
        assert!(!due(30, 11_000), "the last line was a moment ago");
        assert!(!due(20, 30_000), "nothing has changed");
        assert!(due(40, 30_001));
        assert!(!due(1_200, 60_000), "the result says so");
    }
}

//! How what is printed may look where it goes.

use console::{Style, Term};

/// What the place has that is printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns of a terminal; `None` for a file or another program, which take lines of any length.
    pub(crate) width: Option<usize>,
    /// Whether there may be colours.
    pub(crate) colour: bool,
}

impl Look {
    /// The standard output's.
    pub(crate) fn stdout() -> Self {
        let terminal = Term::stdout();
        let attended = terminal.features().is_attended();
        let size = terminal.size_checked().filter(|_| attended);
        Self {
            width: size.map(|(_, columns)| usize::from(columns)),
            colour: attended && wants_colour(|name| std::env::var(name).ok()),
        }
    }
}

/// Whether a person at a terminal wants colours: see <https://no-color.org> and
/// <https://bixense.com/clicolors>.
fn wants_colour(variable: impl Fn(&str) -> Option<String>) -> bool {
    let no_color = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let clicolor = variable("CLICOLOR").is_none_or(|value| value != "0");
    let able = variable("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    able && clicolor && !no_color
}

/// What a text means to whoever glances at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Going on.
    Busy,
    /// Worth a look.
    Warning,
    /// Needs someone.
    Bad,
    /// Beside the point.
    Faint,
}

impl Tone {
    /// The text in this tone's colour.
    pub(crate) fn of(self, text: &str, colour: bool) -> String {
        let style = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => Style::new().green(),
            Self::Busy => Style::new().cyan(),
            Self::Warning => Style::new().yellow(),
            Self::Bad => Style::new().red(),
            Self::Faint => Style::new().dim(),
        };
        style.force_styling(colour).apply_to(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out_where_a_variable_says_so() {
        let wants = |variables: &[(&str, &str)]| {
            wants_colour(|name| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let term = ("TERM", "xterm");
        assert!(wants(&[term]));
        assert!(wants(&[term, ("NO_COLOR", "")]));
        assert!(wants(&[term, ("CLICOLOR", "1")]));
        assert!(!wants(&[term, ("NO_COLOR", "1")]));
        assert!(!wants(&[term, ("CLICOLOR", "0")]));
        assert!(!wants(&[("TERM", "dumb")]));
        assert!(!wants(&[]));
        // Nobody sees colours in a file, whatever is forced.
        assert!(!wants(&[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")]));
    }

    #[test]
    fn a_tone_shows_only_where_there_are_colours() {
        assert_eq!(Tone::Bad.of("failed", false), "failed");
        assert_eq!(Tone::Bad.of("failed", true), "\u{1b}[31mfailed\u{1b}[0m");
        assert_eq!(Tone::Plain.of("queued", true), "queued");
    }
}

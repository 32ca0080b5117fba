//! Rows under headings, as wide as what they hold, and no wider than the terminal.

use std::borrow::Cow;

use console::{Alignment, measure_text_width, pad_str, truncate_str};

use super::look::{Look, Tone};
use super::{discreet, harmless};

/// What stands between two columns.
const GAP: usize = 2;
/// What stands for what was cut off.
const CUT: &str = "…";

/// A column, and what becomes of it in a terminal that is too narrow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    heading: &'static str,
    align: Alignment,
    least: usize,
    leaves: Option<u8>,
}

impl Column {
    /// Of words, from the left.
    pub(crate) const fn new(heading: &'static str) -> Self {
        Self {
            heading,
            align: Alignment::Left,
            least: usize::MAX,
            leaves: None,
        }
    }

    /// Of numbers, which end below each other.
    pub(crate) const fn number(heading: &'static str) -> Self {
        Self {
            align: Alignment::Right,
            ..Self::new(heading)
        }
    }

    /// May be cut to so many columns of the terminal.
    pub(crate) const fn least(self, least: usize) -> Self {
        Self { least, ..self }
    }

    /// Left out where not even the least of all columns finds room, low numbers first. Those with 0
    /// leave before anything is cut.
    pub(crate) const fn leaves(self, turn: u8) -> Self {
        Self {
            leaves: Some(turn),
            ..self
        }
    }
}

/// A text in a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }

    /// In one line, without what could steer a terminal, and without keys.
    fn shown(&self) -> Cow<'_, str> {
        let discreet = discreet(&self.text);
        let shown = harmless(&discreet);
        match shown.contains(['\n', '\t']) {
            true => Cow::Owned(shown.split_whitespace().collect::<Vec<_>>().join(" ")),
            false => Cow::Owned(shown.into_owned()),
        }
    }

    /// In one line and its colour.
    pub(crate) fn styled(&self, look: Look) -> String {
        self.tone.of(&self.shown(), look.colour)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// The lines of a table.
pub(crate) fn lines<const N: usize>(
    columns: &[Column; N],
    rows: &[[Cell; N]],
    look: Look,
) -> Vec<String> {
    let headings = columns.map(|column| Cell::from(column.heading));
    let all = || std::iter::once(&headings).chain(rows);
    let width = |column: usize| {
        let widths = all().map(|row| measure_text_width(&row[column].shown()));
        widths.max().unwrap_or(0)
    };
    let fitted = fit(columns, std::array::from_fn(width), look.width);
    all()
        .map(|row| line(columns, row, &fitted, look.colour))
        .collect()
}

/// The columns that stay, each with its width.
fn fit<const N: usize>(
    columns: &[Column; N],
    natural: [usize; N],
    limit: Option<usize>,
) -> Vec<(usize, usize)> {
    let mut kept: Vec<_> = natural.into_iter().enumerate().collect();
    let Some(limit) = limit else { return kept };
    let total = |kept: &[(usize, usize)], width: &dyn Fn(usize, usize) -> usize| {
        let widths: usize = kept
            .iter()
            .map(|(index, natural)| width(*index, *natural))
            .sum();
        widths + GAP * kept.len().saturating_sub(1)
    };
    let whole = |_: usize, natural: usize| natural;
    let least = |index: usize, natural: usize| natural.min(columns[index].least);
    loop {
        let turn = |kept: &[(usize, usize)]| {
            let turns = kept.iter().filter_map(|(index, _)| columns[*index].leaves);
            turns.min()
        };
        let Some(turn) = turn(&kept) else { break };
        let needed = match turn {
            0 => total(&kept, &whole),
            _ => total(&kept, &least),
        };
        if needed <= limit {
            break;
        }
        let leaves = |(index, _): &(usize, usize)| columns[*index].leaves == Some(turn);
        if let Some(last) = kept.iter().rposition(leaves) {
            kept.remove(last);
        }
    }
    while total(&kept, &whole) > limit {
        let spare = |(index, width): &&mut (usize, usize)| *width > columns[*index].least;
        match kept
            .iter_mut()
            .filter(spare)
            .max_by_key(|(_, width)| *width)
        {
            Some((_, width)) => *width -= 1,
            None => return cut(kept, limit),
        }
    }
    kept
}

/// As much as there is room for, when nothing may be left out any more.
fn cut(kept: Vec<(usize, usize)>, limit: usize) -> Vec<(usize, usize)> {
    let mut begin = 0;
    let mut fitting = Vec::new();
    for (index, width) in kept {
        let room = limit.saturating_sub(begin);
        if room > 0 {
            fitting.push((index, width.min(room)));
        }
        begin += width + GAP;
    }
    fitting
}

fn line<const N: usize>(
    columns: &[Column; N],
    row: &[Cell; N],
    fitted: &[(usize, usize)],
    colour: bool,
) -> String {
    let mut line = String::new();
    // Held back until something follows: no line ends with spaces.
    let mut spaces = 0;
    for (index, width) in fitted {
        let shown = row[*index].shown();
        let text = truncate_str(&shown, *width, CUT);
        let free = width.saturating_sub(measure_text_width(&text));
        let (before, after) = match columns[*index].align {
            Alignment::Right => (free, 0),
            _ => (0, free),
        };
        spaces += before;
        if !text.is_empty() {
            line.push_str(&pad_str("", spaces, Alignment::Left, None));
            line.push_str(&row[*index].tone.of(&text, colour));
            spaces = 0;
        }
        spaces += after + GAP;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 5] = [
        Column::new("NAME").least(6),
        Column::new("STATE"),
        Column::number("EVENTS").leaves(1),
        Column::new("SEEN").leaves(0),
        Column::new("NOTE").least(6),
    ];

    fn rows() -> Vec<[Cell; 5]> {
        vec![
            [
                "north".into(),
                Cell::new("fresh", Tone::Good),
                "1,234".into(),
                "2026-11-22 23:06:56 UTC".into(),
                Cell::default(),
            ],
            [
                "東京の劇場".into(),
                Cell::new("failing", Tone::Bad),
                "7".into(),
                "never".into(),
                "connection refused by the provider's host".into(),
            ],
        ]
    }

    fn drawn(width: Option<usize>) -> String {
        let look = Look {
            width,
            colour: false,
        };
        lines(&COLUMNS, &rows(), look).join("\n")
    }

    #[test]
    fn columns_are_as_wide_as_their_text_looks_and_numbers_end_below_each_other() {
        insta::assert_snapshot!(drawn(None), @r"
        NAME        STATE    EVENTS  SEEN                     NOTE
        north       fresh     1,234  2026-11-22 23:06:56 UTC
        東京の劇場  failing       7  never                    connection refused by the provider's host
        ");
    }

    #[test]
    fn a_terminal_loses_what_can_be_spared_before_anything_is_cut() {
        insta::assert_snapshot!(drawn(Some(80)), @r"
        NAME        STATE    EVENTS  NOTE
        north       fresh     1,234
        東京の劇場  failing       7  connection refused by the provider's host
        ");
        insta::assert_snapshot!(drawn(Some(50)), @r"
        NAME        STATE    EVENTS  NOTE
        north       fresh     1,234
        東京の劇場  failing       7  connection refused b…
        ");
        insta::assert_snapshot!(drawn(Some(28)), @r"
        NAME       STATE    NOTE
        north      fresh
        東京の劇…  failing  connect…
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 1..120 {
            for line in drawn(Some(width)).lines() {
                assert!(measure_text_width(line) <= width, "{width}: {line:?}");
                assert_eq!(line.trim_end(), line);
            }
        }
    }

    #[test]
    fn nothing_is_cut_without_a_terminal() {
        let note = "x".repeat(5_000);
        let row = [
            "a".into(),
            "b".into(),
            "1".into(),
            "c".into(),
            Cell::from(note.as_str()),
        ];
        let look = Look {
            width: None,
            colour: false,
        };
        assert!(lines(&COLUMNS, &[row], look)[1].ends_with(&note));
    }

    #[test]
    fn colours_change_no_position() {
        let look = Look {
            width: Some(50),
            colour: true,
        };
        let coloured = lines(&COLUMNS, &rows(), look);
        assert!(
            coloured[1].contains("\u{1b}[32mfresh\u{1b}[0m  "),
            "{coloured:?}"
        );
        let plain: Vec<_> = coloured
            .iter()
            .map(|line| console::strip_ansi_codes(line).into_owned())
            .collect();
        assert_eq!(plain.join("\n"), drawn(Some(50)));
    }

    #[test]
    fn a_cell_keeps_to_its_line_and_steers_nothing() {
        let steering = Cell::from("a\nb\tc\u{1b}[2J");
        assert_eq!(steering.shown(), "a b c\\u001b[2J");
    }
}

//! What was wrong with a feed without costing it: items set aside, and warnings.

use std::collections::BTreeMap;

use entity::commit::Reasons;
use worker::format::{Reason, WarningKind};

use crate::show;

/// Reasons with how often there was each, the most frequent first, under a heading; nothing if there
/// is none.
pub(crate) fn reasons(heading: &str, reasons: &Reasons, sentence: fn(&str) -> String) {
    if reasons.is_empty() {
        return;
    }
    show::line(&format!("\n{heading}"));
    let mut sorted: Vec<_> = reasons.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let slugs = sorted.iter().map(|(slug, _)| slug.len()).max().unwrap_or(0);
    let counts: Vec<_> = sorted
        .iter()
        .map(|(_, count)| show::number(**count))
        .collect();
    let digits = counts.iter().map(String::len).max().unwrap_or(0);
    for ((slug, _), count) in sorted.iter().zip(&counts) {
        let told = format!("  {slug:slugs$}  {count:>digits$}  {}", sentence(slug));
        show::line(told.trim_end());
    }
}

/// An item that was set aside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    /// Ordinal in its feed, from 1.
    pub(crate) position: u64,
    /// Where it stands.
    pub(crate) path: &'a str,
    /// Why, by its slug.
    pub(crate) reason: &'a str,
    /// How it begins.
    pub(crate) snippet: &'a str,
}

/// The first few items that were set aside, of `all`.
pub(crate) fn items(items: &[Item<'_>], all: u64) {
    if items.is_empty() {
        return;
    }
    show::line(&format!("\n{}", first_of(items.len(), all, "Set aside")));
    for item in items {
        let place = match item.path {
            "" => format!("item {}", show::number(item.position)),
            path => path.to_owned(),
        };
        show::line(&format!("  {place}: {}", why_set_aside(item.reason)));
        if !item.snippet.is_empty() {
            show::line(&format!("    {}", in_one_line(item.snippet)));
        }
    }
}

/// `Set aside, the first 5 of 1,234:`, or without the numbers if these are all.
pub(crate) fn first_of(shown: usize, all: u64, what: &str) -> String {
    if shown as u64 >= all {
        return format!("{what}:");
    }
    let (shown, all) = (show::number(shown as u64), show::number(all));
    format!("{what}, the first {shown} of {all}:")
}

/// A snippet with each stretch of white space as one space, and not too long for a terminal.
fn in_one_line(snippet: &str) -> String {
    const LONGEST: usize = 160;
    let words: Vec<_> = snippet.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

/// Counts by reason as a run's row has them.
pub(crate) fn stored(reasons: Option<&serde_json::Value>) -> Reasons {
    reasons.map_or_else(BTreeMap::new, |reasons| {
        serde_json::from_value(reasons.clone()).unwrap_or_default()
    })
}

/// The sentence of a reason to set aside; of one that another release wrote, its slug.
pub(crate) fn why_set_aside(slug: &str) -> String {
    let known = Reason::ALL.iter().find(|reason| reason.slug() == slug);
    known.map_or_else(|| slug.to_owned(), ToString::to_string)
}

/// The sentence of a warning, likewise.
pub(crate) fn why_warned(slug: &str) -> String {
    if slug == "doubled_identity" {
        return "an event came more than once; the last one counted".to_owned();
    }
    let known = WarningKind::ALL.iter().find(|kind| kind.slug() == slug);
    known.map_or_else(|| slug.to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slugs of a column in the tables of the formats' document, which names each of them.
    fn documented() -> String {
        include_str!("../../../docs/FORMATS.md").to_owned()
    }

    #[test]
    fn every_reason_and_warning_is_told_in_a_sentence_and_documented() {
        let documented = documented();
        for reason in Reason::ALL {
            assert_eq!(why_set_aside(reason.slug()), reason.to_string());
            assert!(documented.contains(&format!("`{}`", reason.slug())));
        }
        for kind in WarningKind::ALL {
            assert_eq!(why_warned(kind.slug()), kind.to_string());
            assert!(
                documented.contains(&format!("`{}`", kind.slug())),
                "{kind:?}"
            );
        }
        assert_eq!(why_set_aside("of_another_release"), "of_another_release");
    }

    #[test]
    fn every_documented_slug_has_a_sentence() {
        for slug in documented().split('`').skip(1).step_by(2) {
            if !slug.contains('_') || !is_counted(slug) {
                continue;
            }
            assert!(
                why_set_aside(slug) != slug || why_warned(slug) != slug,
                "{slug}"
            );
        }
    }

    /// What the document's slugs begin with, as opposed to attributes.
    fn is_counted(slug: &str) -> bool {
        [
            "missing_",
            "bad_",
            "too_",
            "no_such_",
            "misplaced",
            "end_before",
            "doubled_",
        ]
        .iter()
        .any(|start| slug.starts_with(start))
    }

    #[test]
    fn a_snippet_takes_one_line_and_not_a_long_one() {
        assert_eq!(
            in_one_line("<plan\n  plan_id=\"1\"\t/>"),
            "<plan plan_id=\"1\" />"
        );
        let long = in_one_line(&"é".repeat(500));
        assert_eq!(long.chars().count(), 161);
    }

    #[test]
    fn a_heading_tells_how_many_are_not_shown() {
        assert_eq!(first_of(5, 1_234, "New"), "New, the first 5 of 1,234:");
        assert_eq!(first_of(5, 5, "New"), "New:");
    }
}

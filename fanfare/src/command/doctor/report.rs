//! How findings are told: a table by group, or JSON.

use std::process::ExitCode;

use super::finding::{Finding, Group, State};
use crate::show::{self, Cell, Look, Tone};

/// The code that the command ends with.
pub(super) fn code(findings: &[Finding], strict: bool) -> ExitCode {
    match fails(findings, strict) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn fails(findings: &[Finding], strict: bool) -> bool {
    let bad = if strict { State::Warning } else { State::Error };
    findings.iter().any(|finding| finding.state >= bad)
}

/// Tells all findings to people.
pub(super) fn tell(findings: &[Finding]) {
    for line in lines(findings, Look::stdout()) {
        show::drawn(&line);
    }
}

fn lines(findings: &[Finding], look: Look) -> Vec<String> {
    let width = findings.iter().map(|finding| finding.check.len()).max();
    let width = width.unwrap_or(0);
    let mut lines = Vec::new();
    let mut group: Option<Group> = None;
    for finding in findings {
        if group != Some(finding.group) {
            if group.is_some() {
                lines.push(String::new());
            }
            group = Some(finding.group);
            lines.push(finding.group.name().to_owned());
        }
        let (sign, tone) = sign(finding.state);
        let said = match finding.state {
            State::Ok => Tone::Plain,
            _ => tone,
        };
        lines.push(format!(
            "  {} {:width$}  {}",
            Cell::new(sign, tone).styled(look),
            finding.check,
            Cell::new(finding.found.as_str(), said).styled(look)
        ));
        if let Some(fix) = &finding.fix {
            let fix = Cell::from(fix.as_str()).styled(look);
            lines.push(format!("    {:width$}  fix: {fix}", ""));
        }
    }
    lines.push(String::new());
    lines.push(summary(findings));
    lines
}

fn sign(state: State) -> (&'static str, Tone) {
    match state {
        State::Ok => ("✓", Tone::Good),
        State::Note => ("·", Tone::Faint),
        State::Warning => ("!", Tone::Warning),
        State::Error => ("✗", Tone::Bad),
    }
}

fn summary(findings: &[Finding]) -> String {
    let count = |state| {
        let of_state = findings.iter().filter(|finding| finding.state == state);
        of_state.count() as u64
    };
    format!(
        "{}, {}",
        show::count(count(State::Error), "error"),
        show::count(count(State::Warning), "warning")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Group::Program.ok("version", "0.1.0"),
            Group::Queue.note("persistence", "off"),
            Group::Queue.warning("eviction", "allkeys-lru\nand so on", "set noeviction"),
        ]
    }

    #[test]
    fn findings_stand_under_their_groups_with_what_to_do() {
        let look = Look {
            width: None,
            colour: false,
        };
        let expected = "\
program
  ✓ version      0.1.0

queue
  · persistence  off
  ! eviction     allkeys-lru and so on
                 fix: set noeviction

0 errors, 1 warning";
        assert_eq!(lines(&findings(), look).join("\n"), expected);
    }

    #[test]
    fn warnings_count_only_where_they_are_to() {
        let mut findings = findings();
        assert!(!fails(&findings, false));
        assert!(fails(&findings, true));
        findings.push(Group::Queue.error("role", "a replica", "the primary"));
        assert!(fails(&findings, false));
        assert!(!fails(&findings[..2], true));
    }

    #[test]
    fn the_json_has_the_documented_keys() {
        let json = serde_json::to_value(&findings()[1..]).unwrap();
        let expected = serde_json::json!([
            {"group": "queue", "check": "persistence", "state": "note", "found": "off", "fix": null},
            {"group": "queue", "check": "eviction", "state": "warning",
             "found": "allkeys-lru\nand so on", "fix": "set noeviction"},
        ]);
        assert_eq!(json, expected);
    }
}

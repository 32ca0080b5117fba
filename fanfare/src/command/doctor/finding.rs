//! What was found, and what to do about it.

use serde::Serialize;

use crate::show;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Group {
    Program,
    Database,
    Replica,
    Queue,
    Cache,
    Running,
    Process,
    Telemetry,
    Machine,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Worth knowing, and no fault.
    Note,
    /// It works, but not as well or as safely as it could.
    Warning,
    /// Something does not work.
    Error,
}

/// One thing that was looked at. The keys and the names of checks are an interface: scripts read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) group: Group,
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) found: String,
    pub(super) fix: Option<String>,
}

impl Group {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Database => "database",
            Self::Replica => "replica",
            Self::Queue => "queue",
            Self::Cache => "cache",
            Self::Running => "running",
            Self::Process => "process",
            Self::Telemetry => "telemetry",
            Self::Machine => "machine",
        }
    }

    pub(super) fn ok(self, check: &'static str, found: impl AsRef<str>) -> Finding {
        self.finding(check, State::Ok, found.as_ref(), None)
    }

    pub(super) fn note(self, check: &'static str, found: impl AsRef<str>) -> Finding {
        self.finding(check, State::Note, found.as_ref(), None)
    }

    /// No fault, but it could be better.
    pub(super) fn hint(
        self,
        check: &'static str,
        found: impl AsRef<str>,
        fix: impl AsRef<str>,
    ) -> Finding {
        self.finding(check, State::Note, found.as_ref(), Some(fix.as_ref()))
    }

    pub(super) fn warning(
        self,
        check: &'static str,
        found: impl AsRef<str>,
        fix: impl AsRef<str>,
    ) -> Finding {
        self.finding(check, State::Warning, found.as_ref(), Some(fix.as_ref()))
    }

    pub(super) fn error(
        self,
        check: &'static str,
        found: impl AsRef<str>,
        fix: impl AsRef<str>,
    ) -> Finding {
        self.finding(check, State::Error, found.as_ref(), Some(fix.as_ref()))
    }

    /// No key in an address is told, whoever put it there.
    fn finding(self, check: &'static str, state: State, found: &str, fix: Option<&str>) -> Finding {
        let discreet = |text: &str| show::discreet(text).into_owned();
        Finding {
            group: self,
            check,
            state,
            found: discreet(found),
            fix: fix.map(discreet),
        }
    }
}

#[cfg(test)]
pub(super) mod told {
    use super::*;

    /// The states of what was found, by check.
    pub(crate) fn states(findings: &[Finding]) -> Vec<(&'static str, State)> {
        findings.iter().map(|it| (it.check, it.state)).collect()
    }

    /// The one finding of a check.
    pub(crate) fn of<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
        let mut of_check = findings.iter().filter(|it| it.check == check);
        let found = of_check
            .next()
            .unwrap_or_else(|| panic!("no {check}: {findings:#?}"));
        assert!(of_check.next().is_none(), "{check} twice: {findings:#?}");
        // Whatever is wrong says what to do.
        assert!(
            found.state < State::Warning || found.fix.is_some(),
            "{found:?}"
        );
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_finding_tells_a_key_in_an_address() {
        let finding = Group::Database.error(
            "address",
            "postgres://me:hunter2@db/x is away",
            "ask http://here/?key=hunter2",
        );
        assert!(!format!("{finding:?}").contains("hunter2"), "{finding:?}");
    }
}

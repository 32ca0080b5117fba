//! The provider file, and whether what providers want to see is at hand here.

use std::io::Read;
use std::path::Path;

use anyhow::bail;
use entity::provider::{Access, Reference, Spec};

use super::blocking;
use super::finding::{Finding, Group};
use crate::command::roles;
use crate::show;

const GROUP: Group = Group::Program;
const FILE: &str = "provider file";

/// No secret is longer, see `worker::fetch`.
const LARGEST: u64 = 64 << 10;

/// Looks at the provider file, if one is given.
pub(super) async fn look(file: Option<&Path>) -> Vec<Finding> {
    let Some(file) = file else {
        return Vec::new();
    };
    let path = file.to_owned();
    match blocking::look(GROUP, FILE, file.display(), move || look_at(&path)).await {
        Ok(found) => found,
        Err(too_slow) => vec![too_slow],
    }
}

fn look_at(file: &Path) -> Vec<Finding> {
    let specs = match read(file) {
        Ok(specs) => specs,
        Err(error) => {
            return vec![GROUP.error(
                FILE,
                show::told(&error),
                format!(
                    "mend it: `fanfare provider apply {} --dry-run` tells what would change; \
                     FANFARE_PROVIDERS names it",
                    file.display()
                ),
            )];
        }
    };
    let valid = format!(
        "{} has {}, all valid",
        file.display(),
        show::count(specs.len() as u64, "provider")
    );
    let accesses = specs.iter().map(|spec| (spec.name.as_str(), &spec.access));
    vec![GROUP.ok(FILE, valid), secrets(GROUP, accesses)]
}

/// Reads it as a role would; but from a pipe a role gets what we would have taken.
fn read(file: &Path) -> anyhow::Result<Vec<Spec>> {
    if std::fs::metadata(file).is_ok_and(|about| !about.is_file()) {
        bail!("{} is not a file", file.display());
    }
    roles::read_provider_file(file)
}

/// Whether everything is there that these providers refer to. Only names are told, never values.
pub(super) fn secrets<'a>(
    group: Group,
    accesses: impl Iterator<Item = (&'a str, &'a Access)>,
) -> Finding {
    const CHECK: &str = "secrets";
    let (mut wanted, mut missing) = (0_u64, Vec::new());
    for (provider, access) in accesses {
        for reference in references(access) {
            if matches!(reference, Reference::Value(_)) {
                continue;
            }
            wanted += 1;
            if let Err(why) = at_hand(reference) {
                missing.push(format!("{reference} of provider {provider} {why}"));
            }
        }
    }
    if missing.is_empty() {
        return match wanted {
            0 => group.ok(CHECK, "no provider needs any"),
            _ => group.ok(
                CHECK,
                format!(
                    "{} of providers, all at hand",
                    show::count(wanted, "reference")
                ),
            ),
        };
    }
    const SHOWN: usize = 5;
    let more = match missing.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    missing.truncate(SHOWN);
    group.warning(
        CHECK,
        format!(
            "{}{more}: a worker with this environment can't fetch",
            missing.join(", ")
        ),
        "set the variables and mount the files where workers run; elsewhere they are not needed",
    )
}

fn references(access: &Access) -> impl Iterator<Item = &Reference> {
    let basic = access.basic.iter().map(|basic| &basic.password);
    access.headers.values().chain(basic).chain(&access.bearer)
}

fn at_hand(reference: &Reference) -> Result<(), &'static str> {
    match reference {
        Reference::Value(_) => Ok(()),
        Reference::Env(name) => match std::env::var_os(name) {
            None => Err("is not set"),
            Some(value) if value.is_empty() => Err("is empty"),
            Some(_) => Ok(()),
        },
        Reference::File(path) => file(path),
    }
}

fn file(path: &Path) -> Result<(), &'static str> {
    let about = std::fs::metadata(path).map_err(|_| "is not there")?;
    // Opening a pipe would wait for whoever writes to it.
    if !about.is_file() {
        return Err("is not a file");
    }
    let opened = std::fs::File::open(path).map_err(|_| "can't be read")?;
    let mut contents = Vec::new();
    let read = opened.take(LARGEST + 1).read_to_end(&mut contents);
    read.map_err(|_| "can't be read")?;
    if contents.len() as u64 > LARGEST {
        return Err("is larger than 64 KiB");
    }
    match contents.trim_ascii().is_empty() {
        true => Err("is empty"),
        false => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::command::doctor::finding::State;

    /// A pipe that nobody writes to, and that whoever opens it waits at.
    pub(crate) fn make_pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    }

    fn bearer(reference: Reference) -> Access {
        Access {
            bearer: Some(reference),
            ..Access::default()
        }
    }

    #[test]
    fn what_is_not_at_hand_is_named_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (full, empty) = (folder.path().join("full"), folder.path().join("empty"));
        std::fs::write(&full, "s3cret\n").unwrap();
        std::fs::write(&empty, " \n").unwrap();
        for (reference, missing) in [
            (Reference::Value("s3cret".to_owned()), None),
            // Cargo sets it for every test.
            (Reference::Env("CARGO_PKG_NAME".to_owned()), None),
            (Reference::File(full), None),
            (Reference::File(empty), Some("is empty")),
            (Reference::File(folder.path().into()), Some("is not a file")),
            (
                Reference::File(folder.path().join("no")),
                Some("is not there"),
            ),
            (
                Reference::Env("FANFARE_NO_SUCH_SECRET".to_owned()),
                Some("is not set"),
            ),
        ] {
            let access = bearer(reference);
            let finding = secrets(GROUP, [("north", &access)].into_iter());
            assert_eq!(
                finding.state == State::Warning,
                missing.is_some(),
                "{finding:?}"
            );
            assert!(finding.found.contains(missing.unwrap_or("")), "{finding:?}");
            assert!(!finding.found.contains("s3cret"), "{finding:?}");
        }
    }

    #[test]
    fn many_that_are_missing_are_counted() {
        let access = bearer(Reference::Env("FANFARE_NO_SUCH_SECRET".to_owned()));
        let finding = secrets(GROUP, std::iter::repeat_n(("north", &access), 8));
        assert!(finding.found.contains("and 3 more"), "{finding:?}");
    }

    #[tokio::test]
    async fn a_provider_file_is_held_against_the_parser_that_applies_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("providers.toml");
        assert!(look(None).await.is_empty());
        assert_eq!(look(Some(&file)).await[0].state, State::Error);
        std::fs::write(&file, "[[provider]]\nname = \"north\"\n").unwrap();
        assert_eq!(look(Some(&file)).await[0].state, State::Error);
        let whole = "[[provider]]\nname = \"north\"\nurl = \"https://x.example/\"\n\
                     format = \"plan-list\"\ninterval = \"1h\"\n";
        std::fs::write(&file, whole).unwrap();
        let found = look(Some(&file)).await;
        assert!(
            found[0].found.contains("1 provider, all valid"),
            "{found:?}"
        );
        assert_eq!((found[0].state, found[1].state), (State::Ok, State::Ok));
    }

    #[tokio::test]
    async fn a_pipe_is_no_provider_file_and_is_not_waited_at() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        make_pipe(&pipe);
        for path in [&*pipe, folder.path()] {
            let found = look(Some(path)).await;
            assert_eq!((found[0].check, found[0].state), (FILE, State::Error));
            assert!(found[0].found.contains("is not a file"), "{found:?}");
        }
    }
}

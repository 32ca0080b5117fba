//! This program and what its process may take.

use std::path::Path;

use super::finding::{Finding, Group};
use super::limits::{self, Limits};
use super::{blocking, providers, spool};
use crate::cli::All;
use crate::command::roles;
use crate::show;

const GROUP: Group = Group::Program;

/// Descriptors that a process has open besides connections: logs, sockets, files that feeds lie in.
const OTHER_FILES: u64 = 100;

/// Looks at everything that is here and not on the network.
pub(super) async fn look(options: &All, found: &mut Vec<Finding>) {
    found.push(version());
    found.push(settings(options));
    let limits = Limits::read();
    found.extend(files(limits.files, files_needed(options)));
    found.extend(memory(limits.memory, memory_needed(options)));
    found.extend(cpus(limits.cpus));
    found.push(time_zones());
    // Each may lie on a file system that does not answer, and keeps nobody from the others.
    let (certificates, providers, folders) = tokio::join!(
        trusted(),
        providers::look(options.scheduler.providers.as_deref()),
        spool::look(options),
    );
    found.extend(certificates);
    found.extend(providers);
    found.extend(folders);
}

fn version() -> Finding {
    let build = if cfg!(debug_assertions) {
        "a debug build"
    } else {
        "a release build"
    };
    let version = env!("CARGO_PKG_VERSION");
    let found = format!("{version}, {build} for {}", std::env::consts::ARCH);
    match cfg!(debug_assertions) {
        true => GROUP.hint(
            "version",
            found,
            "`cargo build --release` makes one that is many times faster",
        ),
        false => GROUP.ok("version", found),
    }
}

/// What can't be seen in one setting alone.
fn settings(options: &All) -> Finding {
    let api = options.api.config(options.database.connections()).map(drop);
    let tick = roles::check_tick(&options.scheduler, &options.lease);
    match api.and(tick) {
        Ok(()) => GROUP.ok(
            "settings",
            "each is understood, and they agree with each other",
        ),
        Err(error) => GROUP.error(
            "settings",
            show::told(&error),
            "change one of the two settings; `fanfare help all` tells what each means",
        ),
    }
}

fn files_needed(options: &All) -> u64 {
    let connections = options.api.config(options.database.connections());
    let clients = connections.map_or(0, |config| config.connections as u64);
    // To the primary and to a replica, and those that look and listen.
    let database = 2 * u64::from(options.database.database_connections) + 4;
    // A run has a connection to its provider and a file.
    let runs = 2 * u64::from(options.worker.worker_concurrency);
    clients + database + runs + OTHER_FILES
}

fn files(limit: Option<u64>, needed: u64) -> Option<Finding> {
    let limit = limit?;
    let shown = show::number(limit);
    Some(if limit >= needed {
        GROUP.ok("open files", format!("up to {shown}"))
    } else {
        GROUP.warning(
            "open files",
            format!(
                "up to {shown}, and an API process with FANFARE_API_CONNECTIONS and its pools may need {}: \
                 beyond the limit it takes no connection",
                show::number(needed)
            ),
            "raise it to 65536: `ulimit -n 65536` in a shell, `LimitNOFILE=65536` in a systemd unit, \
             `--ulimit nofile=65536:65536` for a container; or lower FANFARE_API_CONNECTIONS",
        )
    })
}

/// Of a process with every role, see "Sizing" in the operators' document.
fn memory_needed(options: &All) -> u64 {
    const IDLE: u64 = 64 << 20;
    const LARGE_FEED: u64 = 112 << 20;
    let connections = options.api.config(options.database.connections());
    IDLE + LARGE_FEED + connections.map_or(0, |config| config.cache_bytes)
}

fn memory(limit: Option<u64>, needed: u64) -> Option<Finding> {
    let limit = limit?;
    Some(if limit >= needed {
        GROUP.ok("memory", format!("up to {}", limits::bytes(limit)))
    } else {
        GROUP.warning(
            "memory",
            format!(
                "up to {}, and a process with every role takes {} with a very large feed and a full cache: \
                 it would be killed",
                limits::bytes(limit),
                limits::bytes(needed)
            ),
            "raise the container's or the unit's memory limit, or lower FANFARE_CACHE_BYTES for the API",
        )
    })
}

fn cpus(limit: Option<f64>) -> Option<Finding> {
    let limit = limit?;
    let found = format!("{limit:.2} of a CPU at most");
    Some(if limit >= 1.0 {
        GROUP.ok("cpu", format!("{limit:.2} CPUs at most"))
    } else {
        GROUP.hint(
            "cpu",
            format!("{found}: the process stands still for most of each tenth of a second when it is busy"),
            "request CPU rather than limiting it, or limit to a whole CPU or more",
        )
    })
}

fn time_zones() -> Finding {
    // Built in: it fails where the build left it out.
    match jiff::tz::TimeZone::get("Europe/Madrid") {
        Ok(_) => GROUP.ok("time zones", "known"),
        Err(error) => GROUP.error(
            "time zones",
            format!("not known: {error}"),
            "install tzdata, or use a build as released, which has them built in",
        ),
    }
}

/// Where systems keep the certificates that they trust.
const CERTIFICATES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
];

/// Variables that lead to others.
const CERTIFICATES_BY: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

async fn trusted() -> Option<Finding> {
    let variable = |name: &str| std::env::var(name).ok().filter(|path| !path.is_empty());
    let named = CERTIFICATES_BY.into_iter().find_map(variable);
    let at = named.as_deref().unwrap_or("/etc");
    let look = move || certificates(variable, readable);
    match blocking::look(GROUP, "certificates", at, look).await {
        Ok(seen) => seen,
        Err(too_slow) => Some(too_slow),
    }
}

/// Whether it is a folder or a file that we may read. Opening a pipe would wait for whoever writes to it.
fn readable(path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => std::fs::read_dir(path).is_ok(),
        Ok(about) => about.is_file() && std::fs::File::open(path).is_ok(),
        Err(_) => false,
    }
}

/// Workers believe https providers by them, and exporters https receivers.
fn certificates(
    variable: impl Fn(&str) -> Option<String>,
    readable: impl Fn(&Path) -> bool,
) -> Option<Finding> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    for name in CERTIFICATES_BY {
        let Some(path) = variable(name).filter(|path| !path.is_empty()) else {
            continue;
        };
        return Some(match readable(Path::new(&path)) {
            true => GROUP.ok("certificates", format!("those in {path}, by {name}")),
            false => GROUP.error(
                "certificates",
                format!("{name} is {path}, which can't be read: no https provider is believed"),
                format!("correct {name}, or unset it to trust what the system trusts"),
            ),
        });
    }
    let found = CERTIFICATES.iter().find(|path| readable(Path::new(path)));
    Some(match found {
        Some(path) => GROUP.ok("certificates", format!("those in {path}")),
        None => GROUP.warning(
            "certificates",
            "there are none on this system: a worker here believes no https provider",
            "install them (Debian: `apt-get install ca-certificates`), or name a file with SSL_CERT_FILE",
        ),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::command::doctor::finding::State;

    fn options(arguments: &[&str]) -> All {
        let arguments = [&["fanfare", "doctor"], arguments].concat();
        match Cli::try_parse_from(arguments).unwrap().command {
            Command::Doctor(options) => options.roles,
            _ => panic!("another command"),
        }
    }

    #[test]
    fn limits_below_what_is_needed_are_warned_of() {
        assert_eq!(files(None, 10), None);
        for (limit, state) in [(9, State::Warning), (10, State::Ok)] {
            assert_eq!(files(Some(limit), 10).unwrap().state, state);
            assert_eq!(memory(Some(limit), 10).unwrap().state, state);
        }
        for (limit, state) in [(0.5, State::Note), (1.0, State::Ok), (2.5, State::Ok)] {
            assert_eq!(cpus(Some(limit)).unwrap().state, state);
        }
    }

    #[test]
    fn what_is_needed_follows_the_settings() {
        let few = options(&["--api-connections=10", "--cache-bytes=1048576"]);
        let many = options(&["--api-connections=20", "--cache-bytes=2097152"]);
        assert_eq!(files_needed(&many) - files_needed(&few), 10);
        assert_eq!(memory_needed(&many) - memory_needed(&few), 1 << 20);
        assert!(files_needed(&options(&[])) > 10_000);
    }

    #[test]
    fn settings_that_do_not_agree_are_an_error() {
        assert_eq!(settings(&options(&[])).state, State::Ok);
        for (arguments, word) in [
            (&["--rate-burst=7"][..], "FANFARE_RATE_LIMIT"),
            (&["--tick=10s", "--lease=20s"], "FANFARE_TICK"),
        ] {
            let finding = settings(&options(arguments));
            assert_eq!(finding.state, State::Error);
            assert!(finding.found.contains(word), "{finding:?}");
        }
    }

    #[test]
    fn certificates_are_looked_for_where_they_would_be_read() {
        let look = |variable: Option<&str>, there: &'static [&'static str]| {
            let variable = variable.map(str::to_owned);
            let found = certificates(
                |name| variable.clone().filter(|_| name == "SSL_CERT_FILE"),
                |path| there.iter().any(|it| Path::new(it) == path),
            );
            found.unwrap().state
        };
        assert_eq!(look(None, &[]), State::Warning);
        assert_eq!(look(None, &["/etc/ssl/cert.pem"]), State::Ok);
        assert_eq!(look(Some("/mine"), &["/mine"]), State::Ok);
        assert_eq!(look(Some("/mine"), &["/etc/ssl/cert.pem"]), State::Error);
        assert_eq!(look(Some(""), &["/etc/ssl/cert.pem"]), State::Ok);
    }

    #[test]
    fn a_pipe_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
        providers::tests::make_pipe(&pipe);
        assert!(!readable(&pipe) && !readable(&file));
        std::fs::write(&file, "").unwrap();
        assert!(readable(&file) && readable(folder.path()));
    }
}

//! Servers that are not there, settings that no role starts with, and clocks.

use testkit::Database;

use super::{Told, command, doctor, of_world, until};
use crate::world::{World, ended, text_of};

const PASSWORD: &str = "pw-of-nobody-9f0a";

async fn look(variables: &[(&str, &str)]) -> Told {
    let told = doctor(variables).await;
    assert!(!told.text.contains(PASSWORD), "{}", told.text);
    told
}

#[tokio::test]
async fn all_is_looked_at_whatever_is_away() {
    let database = format!("postgres://me:{PASSWORD}@127.0.0.1:1/fanfare");
    let redis = format!("redis://me:{PASSWORD}@127.0.0.1:1/");
    let endpoint = format!("http://me:{PASSWORD}@127.0.0.1:1");
    let variables = [
        ("FANFARE_DATABASE_URL", &*database),
        ("FANFARE_DATABASE_READ_URL", &*database),
        ("FANFARE_REDIS_URL", &*redis),
        ("FANFARE_CACHE_URL", &*redis),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
    ];
    until(
        async || look(&variables).await,
        |told| {
            told.ends_with(1)?;
            for (group, setting) in [
                ("database", "FANFARE_DATABASE_URL"),
                ("replica", "FANFARE_DATABASE_READ_URL"),
                ("queue", "FANFARE_REDIS_URL"),
                ("cache", "FANFARE_CACHE_URL"),
            ] {
                let found = "nobody listens at 127.0.0.1:1";
                told.is(group, "address", "error", found, setting)?;
            }
            let lost = "traces and metrics are lost";
            told.is(
                "telemetry",
                "address",
                "warning",
                lost,
                "OTEL_EXPORTER_OTLP_ENDPOINT",
            )?;
            told.is_ok("program", "settings")
        },
    )
    .await;
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_told_from_a_server_that_is_silent() {
    let silent = testkit::free_listener();
    let silent = silent.local_addr().unwrap();
    let database = format!("postgres://me:{PASSWORD}@no-such-host.invalid/fanfare");
    let redis = format!("redis://me:{PASSWORD}@{silent}/");
    let variables = [
        ("FANFARE_DATABASE_URL", &*database),
        ("FANFARE_REDIS_URL", &*redis),
    ];
    until(
        async || look(&variables).await,
        |told| {
            told.is("database", "address", "error", "leads nowhere", "resolver")?;
            // It takes the connection, and never says a word.
            told.is("queue", "login", "error", "no answer", "")
        },
    )
    .await;
}

#[tokio::test]
async fn settings_that_no_role_starts_with_are_told() {
    let database = Database::sqlite().await;
    let variables = [
        ("FANFARE_DATABASE_URL", database.url()),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("FANFARE_RATE_BURST", "7"),
        ("FANFARE_PROVIDERS", "/no/such/providers.toml"),
        ("FANFARE_SPOOL_DIR", "/no/such/folder"),
    ];
    until(
        async || look(&variables).await,
        |told| {
            told.ends_with(1)?;
            told.is("telemetry", "settings", "error", "OTEL_TRACES_SAMPLER", "")?;
            told.is("program", "settings", "error", "FANFARE_RATE_LIMIT", "")?;
            let (file, folder) = ("/no/such/providers.toml", "/no/such/folder");
            told.is("program", "provider file", "error", file, "--dry-run")?;
            told.is(
                "program",
                "feeds' folder",
                "error",
                folder,
                "FANFARE_SPOOL_DIR",
            )?;
            match told.in_state("error").len() {
                4 => Ok(()),
                other => Err(format!("{other} errors, not 4")),
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_pipe_in_a_files_place_is_told_and_not_waited_at() {
    let world = World::embedded().await;
    let pipe = text_of(&world.folder.path().join("pipe"));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let world = world
        .with("FANFARE_PROVIDERS", &pipe)
        .with("SSL_CERT_FILE", &pipe)
        .with("FANFARE_DATABASE_URL", &format!("sqlite://{pipe}?mode=rwc"));
    until(
        async || of_world(&world).await,
        |told| {
            told.ends_with(1)?;
            told.is(
                "program",
                "provider file",
                "error",
                "is not a file",
                "--dry-run",
            )?;
            told.is("program", "certificates", "error", &pipe, "SSL_CERT_FILE")?;
            told.is(
                "database",
                "file",
                "error",
                "no SQLite database",
                "FANFARE_DATABASE_URL",
            )
        },
    )
    .await;
}

#[expect(clippy::print_stderr, reason = "a test that does not test says so")]
fn skipped(error: &std::io::Error) {
    eprintln!("SKIPPED: there is no `faketime`, which makes clocks that are off: {error}");
}

#[tokio::test]
async fn clocks_that_are_off_are_told() {
    if let Err(error) = std::process::Command::new("faketime")
        .arg("--version")
        .output()
    {
        return skipped(&error);
    }
    let database = Database::postgres().await;
    let redis = testkit::redis_url().await;
    let variables = [
        ("FANFARE_DATABASE_URL", database.url()),
        ("FANFARE_REDIS_URL", &*redis),
    ];
    let look = async || {
        let ours = command(&variables, &["--json"]);
        let mut ahead = std::process::Command::new("faketime");
        ahead
            .args(["-f", "+90s"])
            .arg(ours.get_program())
            .args(ours.get_args());
        for (name, value) in ours.get_envs() {
            match value {
                Some(value) => ahead.env(name, value),
                None => ahead.env_remove(name),
            };
        }
        Told::of(ended(ahead).await)
    };
    until(look, |told| {
        for group in ["database", "queue"] {
            let found = " s behind this machine's";
            told.is(group, "clock", "warning", found, "time server")?;
        }
        // It matters to logs alone.
        told.ends_with(0)
    })
    .await;
}

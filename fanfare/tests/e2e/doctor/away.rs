//! Servers that are not there, settings that no role starts with, and clocks.

use testkit::Database;

use super::{Told, command, doctor};
use crate::world::ended;

const PASSWORD: &str = "pw-of-nobody-9f0a";

#[tokio::test]
async fn all_is_looked_at_whatever_is_away() {
    let database = format!("postgres://me:{PASSWORD}@127.0.0.1:1/fanfare");
    let redis = format!("redis://me:{PASSWORD}@127.0.0.1:1/");
    let endpoint = format!("http://me:{PASSWORD}@127.0.0.1:1");
    let told = doctor(&[
        ("FANFARE_DATABASE_URL", &database),
        ("FANFARE_DATABASE_READ_URL", &database),
        ("FANFARE_REDIS_URL", &redis),
        ("FANFARE_CACHE_URL", &redis),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
    ])
    .await;
    assert_eq!(told.code, Some(1));
    for (group, setting) in [
        ("database", "FANFARE_DATABASE_URL"),
        ("replica", "FANFARE_DATABASE_READ_URL"),
        ("queue", "FANFARE_REDIS_URL"),
        ("cache", "FANFARE_CACHE_URL"),
    ] {
        told.is(
            group,
            "address",
            "error",
            "nobody listens at 127.0.0.1:1",
            setting,
        );
    }
    told.is(
        "telemetry",
        "address",
        "warning",
        "traces and metrics are lost",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    );
    told.is("program", "settings", "ok", "", "");
    assert!(!told.text.contains(PASSWORD), "{}", told.text);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_told_from_a_server_that_is_silent() {
    let silent = testkit::free_listener();
    let silent = silent.local_addr().unwrap();
    let database = format!("postgres://me:{PASSWORD}@no-such-host.invalid/fanfare");
    let redis = format!("redis://me:{PASSWORD}@{silent}/");
    let told = doctor(&[
        ("FANFARE_DATABASE_URL", &database),
        ("FANFARE_REDIS_URL", &redis),
    ])
    .await;
    told.is("database", "address", "error", "leads nowhere", "resolver");
    // It takes the connection, and never says a word.
    told.is("queue", "login", "error", "no answer", "");
    assert!(!told.text.contains(PASSWORD), "{}", told.text);
}

#[tokio::test]
async fn settings_that_no_role_starts_with_are_told() {
    let database = Database::sqlite().await;
    let told = doctor(&[
        ("FANFARE_DATABASE_URL", database.url()),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("FANFARE_RATE_BURST", "7"),
        ("FANFARE_PROVIDERS", "/no/such/providers.toml"),
        ("FANFARE_SPOOL_DIR", "/no/such/folder"),
    ])
    .await;
    told.is("telemetry", "settings", "error", "OTEL_TRACES_SAMPLER", "");
    told.is("program", "settings", "error", "FANFARE_RATE_LIMIT", "");
    told.is(
        "program",
        "provider file",
        "error",
        "/no/such/providers.toml",
        "--dry-run",
    );
    told.is(
        "program",
        "feeds' folder",
        "error",
        "/no/such/folder",
        "FANFARE_SPOOL_DIR",
    );
    assert_eq!(told.in_state("error").len(), 4, "{}", told.text);
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
    let ours = command(
        &[
            ("FANFARE_DATABASE_URL", database.url()),
            ("FANFARE_REDIS_URL", &redis),
        ],
        &["--json"],
    );
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
    let told = Told::of(ended(ahead).await);
    for group in ["database", "queue"] {
        told.is(
            group,
            "clock",
            "warning",
            " s behind this machine's",
            "time server",
        );
    }
    assert_eq!(told.code, Some(0), "it matters to logs alone");
}

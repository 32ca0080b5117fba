//! Values that can't be used, with a secret in them.

use super::Told;
use crate::world::{World, ended, fanfare};

const PASSWORD: &str = "pw-gone-astray-7c8d";
const KEY: &str = "key-gone-astray-9e0f";

/// Nothing can be made of it by any option that does not take what it gets.
fn value() -> String {
    format!("what://me:{PASSWORD}@127.0.0.1:nowhere/x?key={KEY}")
}

/// Every variable that some command reads.
fn variables() -> Vec<String> {
    let example = include_str!("../../../../.env.example");
    let names = example
        .lines()
        .filter_map(|line| line.trim_start_matches('#').trim().split_once('='))
        .map(|(name, _)| name.to_owned());
    names.collect()
}

#[tokio::test]
async fn a_secret_in_a_wrong_value_is_not_repeated_by_its_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Told::default();
    let mut variables = variables();
    assert!(variables.len() > 30, "{variables:?}");
    for name in [
        "TRACES_EXPORTER",
        "EXPORTER_OTLP_ENDPOINT",
        "EXPORTER_OTLP_HEADERS",
        "TRACES_SAMPLER",
    ] {
        variables.push(format!("OTEL_{name}"));
    }
    variables.push("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned());
    for variable in &variables {
        let mut command = fanfare(&["all"]);
        command.current_dir(folder.path());
        // Whatever is taken as it is: this can't be opened, so that nothing starts.
        command.env("FANFARE_DATABASE_URL", "sqlite:///dev/null/x?mode=rwc");
        command.env("FANFARE_LISTEN", "127.0.0.1:0");
        if variable.starts_with("OTEL_EXPORTER_OTLP_") {
            command.env("OTEL_TRACES_EXPORTER", "otlp");
        }
        command.env(variable, value());
        let refused = ended(command).await;
        assert_ne!(refused.code, Some(0), "{variable}: {refused:?}");
        told.add(variable, refused.text());
    }
    told.holds_none_of(&[PASSWORD, KEY]);
}

#[tokio::test]
async fn a_secret_in_a_wrong_argument_is_not_repeated_by_its_refusal() {
    let world = World::embedded().await;
    let mut told = Told::default();
    let (value, here) = (
        value(),
        format!("http://me:{PASSWORD}@127.0.0.1:1/?key={KEY}"),
    );
    for arguments in [
        &[value.as_str()][..],
        &["all", &value],
        &["all", &format!("--database={value}")],
        &["worker", "--redis", &value],
        &["provider", "show", &value],
        &["provider", "apply", &value],
        &["sync", &value],
        &["why", &value],
        &["run", "show", &value],
        &["run", "list", "--limit", &value],
        &["check", &value],
        &["check", &here],
        &["check", "http://127.0.0.1:1/feed?key=key-gone-astray-9e0f"],
        &["check", &here, "--against", &value],
        &["check", &here, "--timezone", &value],
        &["check", &here, "--format", &value],
        &["demo", "--listen", &value],
        &["demo", "--data", &format!("/dev/null/{value}")],
        &["healthcheck", "--listen", &value],
    ] {
        let refused = world.run(arguments).await;
        assert_ne!(refused.code, Some(0), "{refused:?}");
        told.add(&arguments.join(" "), refused.text());
    }
    told.holds_none_of(&[PASSWORD, KEY]);
}

#[tokio::test]
async fn a_secret_in_a_provider_file_that_is_wrong_is_not_repeated_by_its_refusal() {
    let world = World::embedded().await;
    let mut told = Told::default();
    let good = "name = \"north\"\nurl = \"https://x.example/\"\nformat = \"plan-list\"\ninterval = \"1h\"\n";
    for wrong in [
        format!("bearer = \"{PASSWORD}\""),
        format!("bearer = {{ value = \"{PASSWORD}\" }}"),
        format!("bearer = {{ env = \"{PASSWORD}\" "),
        format!("basic = {{ username = \"me\", password = \"{PASSWORD}\" }}"),
        format!("basic = {{ username = \"me\", password = {{ value = \"{PASSWORD}\" }} }}"),
        format!("headers = {{ Authorization = \"Bearer {PASSWORD}\" }}"),
        format!("headers = {{ Authorization = {{ value = \"Bearer {PASSWORD}\" }} }}"),
        format!("headers = {{ X-Key = {{ value = \"{PASSWORD}\\n\" }} }}"),
        format!("password = \"{PASSWORD}\""),
        format!("timeout = \"{}\"", value()),
        format!("timezone = \"{}\"", value()),
        format!("max_body = \"{}\"", value()),
    ] {
        let file = world.file("wrong.toml", &format!("[[provider]]\n{good}{wrong}\n"));
        let refused = world.run(&["provider", "apply", &file]).await;
        assert_eq!(refused.code, Some(1), "{wrong}: {refused:?}");
        told.add(&wrong.replace(PASSWORD, "…"), refused.text());
    }
    for url in [
        value(),
        format!("https://me:{PASSWORD}@x.example/?key={KEY}"),
        format!("ftp://x.example/?key={KEY}"),
        format!("https:// /?key={KEY}"),
    ] {
        let text = good.replace("https://x.example/", &url);
        let file = world.file("wrong.toml", &format!("[[provider]]\n{text}\n"));
        let refused = world.run(&["provider", "apply", &file]).await;
        assert_eq!(refused.code, Some(1), "{url}: {refused:?}");
        told.add("an address", refused.text());
    }
    told.holds_none_of(&[PASSWORD, KEY]);
}

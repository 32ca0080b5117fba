//! `docs/API.md` and the README's first look at the API, as someone sees them who follows them: each
//! of their commands, against a demo.

use std::process::Command;

use testkit::{Process, Signal, eventually};

use crate::http::Api;
use crate::world::{PATIENCE, ended, fanfare, stop, text_of};

const TOUR: &str = include_str!("../../../docs/API.md");
const FIRST_LOOK: &str = include_str!("../../../README.md");

/// Where the tour says that the demo listens.
const ADDRESS: &str = "http://127.0.0.1:8080";

/// What stands for anything: within a line, or for any lines where it stands alone.
const ANYTHING: char = '…';

#[tokio::test]
async fn the_tour_of_the_api_shows_what_its_commands_print() {
    let line = TOUR
        .lines()
        .find(|line| line.contains(" -- demo "))
        .unwrap();
    let (variable, options) = line.split_once(" cargo run --release -- demo ").unwrap();
    let token = variable.strip_prefix("FANFARE_ADMIN_TOKEN=").unwrap();
    let options: Vec<_> = options.split_whitespace().collect();
    let steps = steps(TOUR);
    assert!(steps.len() > 20, "{}", steps.len());
    follow(&steps, &options, token).await;
}

#[tokio::test]
async fn the_first_look_at_the_api_shows_what_its_commands_print() {
    let steps = steps(FIRST_LOOK);
    assert!(steps.len() > 2, "{}", steps.len());
    follow(&steps, &[], "0123456789abcdef").await;
}

#[expect(clippy::print_stderr, reason = "a notice for whoever runs the tests")]
async fn follow(steps: &[Step], options: &[&str], token: &str) {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED, commands of documents are not tried: curl is missing");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = text_of(&folder.path().join("data"));
    let own = ["--listen", "127.0.0.1:0", "--data", &data];
    let mut command = fanfare(&[&["demo"], options, &own].concat());
    command.env("FANFARE_ADMIN_TOKEN", token);
    let demo = Process::start(&command);
    let last_word = |line: &str| line == "Ctrl-C ends the demo.";
    demo.wait_for_line(last_word, PATIENCE).await;
    let address = address(&demo);
    rest(&address, token).await;

    let mut command = Command::new("sh");
    command.args(["-c", &script(steps).replace(ADDRESS, &address)]);
    command.current_dir(folder.path());
    let printed = ended(command).await.text();
    let mut printed = printed.split(SEPARATOR);
    for Step { command, shown } in steps {
        let (told, status) = (printed.next().unwrap(), printed.next().unwrap());
        assert_eq!(status, "0", "{command}\n{told}");
        let told = told.replace('\r', "").replace(&address, ADDRESS);
        let told: Vec<_> = told.trim_end().lines().collect();
        let shown: Vec<_> = shown.iter().map(String::as_str).collect();
        assert!(
            are_alike(&shown, &told),
            "$ {command}\nprints\n{}\nand not\n{}",
            told.join("\n"),
            shown.join("\n")
        );
    }
    stop(&demo, Signal::INT).await;
}

fn address(demo: &Process) -> String {
    let lines = demo.lines();
    let line = lines
        .iter()
        .find(|line| line.contains("curl -i http://"))
        .unwrap();
    let (address, _) = line[line.find("http").unwrap()..]
        .split_once("/v1/")
        .unwrap();
    address.to_owned()
}

/// Stops all syncs, as the tour does first, and waits until the API knows the last one.
async fn rest(address: &str, token: &str) {
    let api = Api::new(address);
    let providers: serde_json::Value = api.get("/v1/providers").await.data();
    for provider in providers["providers"].as_array().unwrap() {
        let name = provider["name"].as_str().unwrap();
        let status = api
            .post(&format!("/v1/providers/{name}/pause"), token)
            .await;
        assert_eq!(status, 200, "{name}");
    }
    eventually(PATIENCE, "the last version", async || {
        let seen = api.get("/v1/events/search?limit=1").await.dataset_version;
        seen == api.get("/v1/health").await.dataset_version
    })
    .await;
}

/// A command with what it prints, line by line.
#[derive(Debug, Default)]
struct Step {
    command: String,
    shown: Vec<String>,
}

fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, line) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    let command = command.to_owned();
                    steps.push(Step {
                        command,
                        shown: Vec::new(),
                    });
                } else if let Some(more) = line.strip_prefix("> ") {
                    let step = steps.last_mut().unwrap();
                    step.command = format!("{}\n{more}", step.command);
                } else {
                    steps.last_mut().unwrap().shown.push(line.to_owned());
                }
            }
            _ => {}
        }
    }
    steps
}

/// Stands between what one command prints, its status, and what the next one prints.
const SEPARATOR: char = '\u{1e}';

/// All commands in one shell, so that one can use what another has found.
fn script(steps: &[Step]) -> String {
    let commands = steps
        .iter()
        .map(|step| format!("{}\nprintf '\\036%d\\036' $?\n", step.command));
    commands.collect()
}

/// Whether `told` is what is `shown`.
fn are_alike(shown: &[&str], told: &[&str]) -> bool {
    match (shown.split_first(), told.split_first()) {
        (None, told) => told.is_none(),
        (Some((first, rest)), _) if first.trim() == ANYTHING.to_string() => {
            (0..=told.len()).any(|at| are_alike(rest, &told[at..]))
        }
        (Some(_), None) => false,
        (Some((first, shown)), Some((line, told))) => {
            is_alike(first, line) && are_alike(shown, told)
        }
    }
}

fn is_alike(shown: &str, told: &str) -> bool {
    let Some((before, after)) = shown.split_once(ANYTHING) else {
        return shown == told;
    };
    told.strip_prefix(before).is_some_and(|rest| {
        let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
        ends.into_iter().any(|at| is_alike(after, &rest[at..]))
    })
}

#[test]
fn only_an_ellipsis_stands_for_something_else() {
    assert!(is_alike("a…c", "abbc") && is_alike("a…", "a") && is_alike("…b…", "abc"));
    assert!(!is_alike("a…c", "abb") && !is_alike("abc", "abcd") && !is_alike("a…", "b"));
    assert!(are_alike(&["a", "…", "b"], &["a", "x", "y", "b"]));
    assert!(are_alike(&["a", "…"], &["a"]) && are_alike(&[], &[]));
    assert!(!are_alike(&["a"], &["a", "b"]) && !are_alike(&["a", "…", "b"], &["a", "c"]));
}

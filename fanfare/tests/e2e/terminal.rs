//! What commands look like in a terminal, and what they are without one.

use std::process::Command;

use axum::http::StatusCode;
use testkit::{Process, Signal};

use crate::feed::{Feeds, HELD, upcoming};
use crate::world::{Ended, PATIENCE, World, ended, on_both_databases, stop};

on_both_databases!(listings_are_tables_that_no_pipe_cuts);

const RED: &str = "\u{1b}[31mfailing\u{1b}[0m";

/// Something that a terminal would have to cut.
fn long() -> String {
    format!("north-{}", "x".repeat(50))
}

async fn failing(world: &World) -> Feeds {
    let feeds = Feeds::start();
    feeds.fail("bad", StatusCode::INTERNAL_SERVER_ERROR);
    feeds.set("good", upcoming(3, "A show"));
    let (bad, good) = (feeds.url("bad"), feeds.url("good"));
    world.apply(&[(&long(), &bad), ("good", &good)]).await;
    feeds
}

async fn listings_are_tables_that_no_pipe_cuts(world: World) {
    let all = world.all().await;
    let _feeds = failing(&world).await;
    world.run(&["sync", "--all", "--wait"]).await.badly();
    for (listing, words) in [
        (
            "provider",
            &[
                "NAME",
                "STATE",
                "LAST SUCCESS",
                "AGE",
                "failing",
                "fresh",
                "in ",
            ][..],
        ),
        (
            "run",
            &["ID", "QUEUED", "AGE", "TOOK", "stored", "failed", "500"],
        ),
        (
            "worker",
            &["SLOTS", "RUNNING", "STARTED", "LAST SIGN OF LIFE", "idle"],
        ),
    ] {
        let table = world.run(&[listing, "list"]).await.well();
        for word in words {
            assert!(table.contains(word), "{word}: {table}");
        }
        assert!(!table.contains(['\u{1b}', '…']), "{table}");
        if listing != "worker" {
            assert!(table.contains(&long()), "{table}");
        }
    }
    let silent = ["worker", "list", "--lease", "500ms"];
    all.process.signal(Signal::STOP);
    testkit::eventually(PATIENCE, "a silent worker", async || {
        world.run(&silent).await.well().contains("silent")
    })
    .await;
    all.process.signal(Signal::CONT);
    let run = &world
        .run(&["run", "list", "--provider", "good", "--json"])
        .await
        .json()[0];
    let shown = world
        .run(&["run", "show", run["id"].as_str().unwrap()])
        .await
        .well();
    for stage in ["wait ", "fetch ", "store "] {
        let bar = |line: &str| line.starts_with(stage) && line.ends_with(['█', '▏']);
        assert!(shown.lines().any(bar), "{stage}: {shown}");
    }
    stop(&all.process, Signal::TERM).await;
}

#[expect(clippy::print_stderr, reason = "a test that does not test says so")]
fn skipped(error: &std::io::Error) {
    eprintln!("SKIPPED: there is no `script`, which makes a terminal: {error}");
}

/// The command in a terminal of its own of so many columns; `None` where there is no `script`.
fn terminal(
    world: &World,
    columns: u16,
    line: &str,
    variables: &[(&str, &str)],
) -> Option<Command> {
    if let Err(error) = Command::new("script").arg("--version").output() {
        skipped(&error);
        return None;
    }
    let command = world.command(&[]);
    let program = command.get_program().to_str().unwrap();
    let mut script = Command::new("script");
    let line = format!("stty cols {columns} rows 50; exec {program} {line}");
    script.args(["-qec", &line, "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        script.env_remove(name);
    }
    script
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .current_dir(world.folder.path());
    Some(script)
}

async fn in_a_terminal(
    world: &World,
    columns: u16,
    line: &str,
    variables: &[(&str, &str)],
) -> Option<Ended> {
    match terminal(world, columns, line, variables) {
        Some(command) => Some(ended(command).await),
        None => None,
    }
}

#[tokio::test]
async fn a_terminal_has_colours_and_no_line_wider_than_itself() {
    let world = World::embedded().await;
    let all = world.all().await;
    let _feeds = failing(&world).await;
    world.run(&["sync", "--all", "--wait"]).await.badly();
    let list = async |columns, variables: &[(&str, &str)]| {
        let list = in_a_terminal(&world, columns, "provider list", variables).await;
        list.map(|list| list.well().replace('\r', ""))
    };
    let Some(narrow) = list(60, &[]).await else {
        return;
    };
    assert!(narrow.contains(RED), "{narrow:?}");
    assert!(narrow.contains('…'), "{narrow:?}");
    for line in narrow.lines() {
        assert!(console::measure_text_width(line) <= 60, "{line:?}");
    }
    let wide = list(300, &[]).await.unwrap();
    assert!(
        wide.contains(&long()) && wide.contains("LAST SUCCESS"),
        "{wide:?}"
    );
    for variable in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        let plain = list(60, &[variable]).await.unwrap();
        assert!(
            plain.contains("failing") && !plain.contains('\u{1b}'),
            "{plain:?}"
        );
    }
    let json = in_a_terminal(&world, 40, "provider list --json", &[])
        .await
        .unwrap();
    let piped = world.run(&["provider", "list", "--json"]).await.well();
    assert_eq!(json.well().replace('\r', ""), piped);
    stop(&all.process, Signal::TERM).await;
}

#[tokio::test]
async fn a_bar_shows_how_far_a_sync_is_and_leaves_nothing_behind() {
    let world = World::embedded().await;
    let all = world.all().await;
    let feeds = Feeds::held(&world).await;
    let waiting = "sync primary --wait --timeout 1s";
    let Some(timed_out) = in_a_terminal(&world, 80, waiting, &[]).await else {
        return;
    };
    let text = timed_out.out.clone();
    assert_eq!(timed_out.code, Some(1), "{timed_out:?}");
    assert!(text.contains("] 0 of 1 provider"), "{text:?}");
    feeds.release();
    let done = in_a_terminal(&world, 80, "sync primary --wait", &[])
        .await
        .unwrap();
    let done = done.well();
    let last = done.trim_end().rsplit("\u{1b}[2K").next().unwrap();
    assert_eq!(
        last.trim(),
        "1 provider synced, 0 failed, 0 cancelled, 0 events changed"
    );
    assert_eq!(
        world
            .run(&["sync", HELD, "--wait"])
            .await
            .with_code(0)
            .lines()
            .count(),
        1
    );
    stop(&all.process, Signal::TERM).await;
}

#[tokio::test]
async fn without_a_terminal_a_sync_tells_now_and_then_what_has_changed() {
    let world = World::embedded().await;
    let all = world.all().await;
    let feeds = Feeds::held(&world).await;
    feeds.fetched(1).await;
    let other = Feeds::start();
    other.set("quick", upcoming(3, "A show"));
    world.apply(&[("quick", &other.url("quick"))]).await;
    // Longer than from one line to the next, and shorter than to the third.
    let wait = ["sync", HELD, "quick", "--wait", "--timeout", "7s"];
    let timed_out = world.run(&wait).await;
    let told = timed_out.text();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].starts_with("1 of 2 providers"), "{told}");
    assert!(lines[0].ends_with(" left"), "{told}");
    assert!(lines[1].starts_with("error: the fan-out "), "{told}");
    assert!(!told.contains(['\r', '\u{1b}']), "{told:?}");
    feeds.release();
    stop(&all.process, Signal::TERM).await;
}

#[tokio::test]
async fn the_demo_shows_a_bar_that_gives_way_to_the_log() {
    let world = World::embedded().await;
    let demo = "demo --providers 100 --events 20 --log info";
    let Some(command) = terminal(&world, 100, demo, &[]) else {
        return;
    };
    let demo = Process::start(&command);
    let over = |line: &str| line.contains("Ctrl-C ends the demo.");
    demo.wait_for_line(over, PATIENCE).await;
    let lines = demo.lines();
    let first = lines
        .iter()
        .position(|line| line.contains("Synced 100 providers"));
    let (bar, logged) = (" of 100 providers", "run finished");
    let round = &lines[..first.unwrap()];
    assert!(round.iter().any(|line| line.contains(bar)), "{round:?}");
    assert!(round.iter().any(|line| line.contains(logged)), "{round:?}");
    for line in round.iter().filter(|line| line.contains(logged)) {
        let seen = line.rsplit("\u{1b}[2K").next().unwrap();
        assert!(!seen.contains(bar), "{line:?}");
    }
}

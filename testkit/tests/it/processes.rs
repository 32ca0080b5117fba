use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::{Process, Signal};

const SAFETY_NET: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[tokio::test]
async fn lines_of_both_streams_are_waited_for_past_and_to_come() {
    let process = Process::start(&shell("echo one; sleep 0.1; echo two >&2; exec sleep 60"));
    let two = process.wait_for_line(|line| line == "two", SAFETY_NET);
    assert_eq!(two.await, "two");
    let one = process.wait_for_line(|line| line.starts_with("on"), SAFETY_NET);
    assert_eq!(one.await, "one");
    assert_eq!(process.lines().len(), 2);
    assert!(process.is_running());
}

#[tokio::test]
async fn signal_reaches_the_program_and_its_status_comes_back() {
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let process = Process::start(&shell(script));
    let ready = process.wait_for_line(|line| line == "ready", SAFETY_NET);
    ready.await;
    process.signal(Signal::TERM);
    assert_eq!(process.wait(SAFETY_NET).await.code(), Some(7));
    assert!(!process.is_running());
}

#[tokio::test]
async fn dropped_process_is_gone() {
    let process = Process::start(&shell("exec sleep 60"));
    let proc = format!("/proc/{}", process.pid());
    assert!(Path::new(&proc).exists());
    drop(process);
    assert!(!Path::new(&proc).exists());
}

#[tokio::test]
#[should_panic(expected = "closed its output without the line")]
async fn end_of_output_ends_the_wait_for_a_line() {
    let process = Process::start(&shell("echo something else"));
    let line = process.wait_for_line(|line| line == "wanted", SAFETY_NET);
    line.await;
}

#[tokio::test]
async fn variables_and_folder_are_the_callers_and_settings_are_cleared() {
    let folder = std::env::temp_dir();
    let mut command = shell("pwd; env; echo end");
    command.env("FANFARE_LISTEN", "here").current_dir(&folder);
    let process = Process::start(&command);
    let end = process.wait_for_line(|line| line == "end", SAFETY_NET);
    end.await;

    let lines = process.lines();
    assert_eq!(lines[0], folder.canonicalize().unwrap().to_str().unwrap());
    let settings: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("FANFARE_") || line.starts_with("OTEL_"))
        .collect();
    assert_eq!(settings, ["FANFARE_LISTEN=here"]);
}

/// The harness kills a test that hangs; what the test started must go with it.
#[tokio::test]
async fn process_goes_with_a_test_that_is_killed() {
    if std::env::var_os("TESTKIT_HANG").is_some() {
        let process = Process::start(&shell("exec sleep 60"));
        println!("\nchild {}", process.pid());
        std::future::pending::<()>().await;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "processes::process_goes_with_a_test_that_is_killed",
        ])
        .arg("--nocapture")
        .env("TESTKIT_HANG", "1");
    let test = Process::start(&command);
    let child = test.wait_for_line(|line| line.starts_with("child "), SAFETY_NET);
    let child = child.await.replace("child ", "/proc/");
    assert!(Path::new(&child).exists());

    test.signal(Signal::KILL);
    test.wait(SAFETY_NET).await;

    let gone = async || {
        // Whoever adopts it may be slow to reap it.
        let status = std::fs::read_to_string(format!("{child}/status"));
        status.map_or(true, |status| status.contains("(zombie)"))
    };
    testkit::eventually(SAFETY_NET, "the child is gone", gone).await;
}

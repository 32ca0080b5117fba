//! A real Prometheus that collects from every role, and its linter.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::{Process, Signal, eventually};

use super::fleet::Fleet;
use crate::http::Api;
use crate::world::{PATIENCE, stop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_collects_from_every_role() {
    let Some(program) = program("prometheus") else {
        return;
    };
    let fleet = Fleet::start().await;
    fleet.work().await;
    let folder = tempfile::tempdir().unwrap();
    let targets: String = fleet
        .targets
        .iter()
        .map(|(role, origin)| {
            let address = origin.trim_start_matches("http://");
            format!("  - job_name: {role}\n    static_configs: [{{targets: [\"{address}\"]}}]\n")
        })
        .collect();
    let config = folder.path().join("prometheus.yml");
    let text = format!("global: {{scrape_interval: 500ms}}\nscrape_configs:\n{targets}");
    std::fs::write(&config, text).unwrap();
    let address = format!("127.0.0.1:{}", testkit::free_port());
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"));
    let prometheus = Process::start(&command);
    let asked = Api::new(&format!("http://{address}"));
    for (query, expected) in [
        ("count(up==1)", "3"),
        ("sum(fanfare_runs_total{fanfare_outcome=\"failed\"})", "2"),
        ("max(fanfare_providers{fanfare_staleness=\"fresh\"})", "5"),
        ("count(fanfare_build_info)", "3"),
        (
            "count(process_cpu_time_seconds_total{cpu_mode=\"user\"})",
            "3",
        ),
    ] {
        eventually(PATIENCE, query, async || {
            let path = format!("/api/v1/query?query={}", encoded(query));
            let Ok(answer) = asked.try_get(&path).await else {
                return false;
            };
            let Ok(answer) = serde_json::from_str::<Value>(&answer.body) else {
                return false;
            };
            answer["data"]["result"][0]["value"][1] == expected
        })
        .await;
    }
    // Versions of it write levels in other cases.
    let complains = |line: &&String| {
        let line = line.to_lowercase();
        line.contains("level=warn") || line.contains("level=error")
    };
    let complaints: Vec<_> = prometheus.lines();
    let complaints: Vec<_> = complaints.iter().filter(complains).collect();
    assert_eq!(complaints, [] as [&String; 0]);
    stop(&prometheus, Signal::TERM).await;
    fleet.stop().await;
}

fn encoded(query: &str) -> String {
    query
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// What Prometheus' own linter says: nothing.
pub(super) fn lint(role: &str, text: &str) {
    let Some(promtool) = program("promtool") else {
        return;
    };
    let mut checking = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = checking.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, text.as_bytes()).unwrap();
    drop(input);
    let checked = checking.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        checked.status.success() && said.is_empty(),
        "{role}: {said}"
    );
}

#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!("LEFT OUT: {name} is not installed; Debian's package `prometheus` has it");
    }
    found
}

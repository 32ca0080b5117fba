//! What the processes tell by their metrics, against the list of them, Prometheus' own linter and a real
//! Prometheus.

mod listed;
mod scrape;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use simulator::{Behavior, Simulator};
use testkit::{Process, Signal, eventually};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::http::Api;
use crate::world::{PATIENCE, Serving, World, ends_well, fanfare, stop};
use listed::Listed;
use scrape::Scrape;

const PROVIDERS: usize = 6;

/// Three roles in as many processes, which have synced what a simulator serves.
struct Fleet {
    world: World,
    simulator: Simulator,
    processes: Vec<Process>,
    api: Serving,
    /// Role and address of each that answers `/metrics`.
    targets: Vec<(&'static str, String)>,
}

impl Fleet {
    async fn start() -> Self {
        let redis = testkit::redis_url().await;
        let world = World::distributed().await.with("FANFARE_CACHE_URL", &redis);
        let config = simulator::Config {
            providers: PROVIDERS,
            events: 20,
            ..simulator::Config::default()
        };
        let simulator =
            simulator::start(testkit::free_listener(), config, CancellationToken::new());
        simulator
            .set_behavior("provider-0001", Behavior::ServerError)
            .unwrap();
        world.file("simulated.toml", &simulator.providers_toml("1h"));
        let api = world.serve(&["api"]).await;
        let origin = api.process.lines();
        let origin = origin
            .iter()
            .find_map(|line| line.strip_prefix("listening on "));
        let mut targets = vec![("api", origin.unwrap().to_owned())];
        let world = world
            .with("FANFARE_OBSERVE_LISTEN", "127.0.0.1:0")
            .with("FANFARE_PROVIDERS", "simulated.toml");
        let mut processes = Vec::new();
        for role in ["worker", "scheduler"] {
            let process = world.start_ready(&[role]).await;
            targets.push((role, observed(&process).await));
            processes.push(process);
        }
        Self {
            world,
            simulator,
            processes,
            api,
            targets,
        }
    }

    /// Syncs all, once well and once partly badly, and asks the API.
    async fn work(&self) {
        let db = self.world.db().await;
        eventually(PATIENCE, "the first round", async || {
            let providers = entity::provider::list(&db.read).await.unwrap();
            let visited = |provider: &&entity::provider::Summary| {
                provider.last_success_at.is_some() || provider.consecutive_failures > 0
            };
            providers.iter().filter(visited).count() == PROVIDERS
        })
        .await;
        self.simulator.advance();
        self.world.run(&["sync", "--all", "--wait"]).await.badly();
        assert!(!self.api.api.search("").await.is_empty());
        db.close().await;
    }

    async fn scrape(&self, role: &str) -> Scrape {
        let (_, origin) = self.targets.iter().find(|(name, _)| *name == role).unwrap();
        scrape_of(origin).await
    }

    async fn stop(self) {
        let processes: Vec<_> = self.processes.iter().chain([&self.api.process]).collect();
        for process in &processes {
            process.signal(Signal::TERM);
        }
        for process in processes {
            ends_well(process).await;
        }
    }
}

/// The address at which a process says that it answers probes.
async fn observed(process: &Process) -> String {
    let says = |line: &str| line.contains("probes are answered");
    let line = process.wait_for_line(says, PATIENCE).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    format!("http://{}", line["address"].as_str().unwrap())
}

async fn scrape_of(origin: &str) -> Scrape {
    let answer = Api::new(origin).get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    Scrape::parse(&answer.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_tells_what_is_listed_for_it_and_nothing_else() {
    let fleet = Fleet::start().await;
    fleet.work().await;
    let listed = Listed::read();
    eventually(
        PATIENCE,
        "the scheduler has seen the round's end",
        async || {
            let scrape = fleet.scrape("scheduler").await;
            scrape.value(r#"fanfare_providers{fanfare_staleness="fresh"}"#) == Some(5.0)
                && scrape.value("fanfare_queue_depth") == Some(0.0)
                && scrape
                    .value(r#"fanfare_fan_out_duration_seconds_count{fanfare_trigger="command"}"#)
                    == Some(1.0)
        },
    )
    .await;
    for (role, sections) in [
        ("worker", &["Runs", "Every process"][..]),
        ("scheduler", &["Fan-outs", "Every process"]),
        ("api", &["API", "Every process"]),
    ] {
        let scrape = fleet.scrape(role).await;
        listed.knows_all_of(role, &scrape);
        let mut expected: BTreeSet<String> = BTreeSet::new();
        for section in sections {
            expected.extend(listed.section(section));
        }
        // Only of a process that exports.
        expected.retain(|name| !name.starts_with("otel_"));
        if role == "scheduler" {
            expected.insert("fanfare_runs_total".to_owned());
        } else if role == "worker" {
            // Nobody in it knows of it.
            expected.remove("fanfare_dataset_version");
        }
        let told = scrape.families();
        let missing: Vec<_> = expected.difference(&told).collect();
        assert_eq!(missing, [] as [&String; 0], "{role}: {}", scrape.text);
        let build = format!(r#"fanfare_build_info{{fanfare_role="{role}","#);
        assert!(scrape.text.contains(&build), "{}", scrape.text);
        lint(role, &scrape.text);
    }
    counts_are_right(&fleet).await;
    fleet.stop().await;
}

/// Two rounds of six providers, of which one fails each time.
async fn counts_are_right(fleet: &Fleet) {
    let worker = fleet.scrape("worker").await;
    let runs = |outcome: &str| {
        let series = format!(r#"fanfare_runs_total{{fanfare_outcome="{outcome}"}}"#);
        worker.value(&series).unwrap()
    };
    assert_eq!(runs("stored") + runs("unchanged"), 10.0);
    assert_eq!(runs("failed"), 2.0);
    assert_eq!(worker.value("fanfare_run_wait_seconds_count"), Some(12.0));
    let failed = r#"fanfare_fetches_total{fanfare_status_class="5xx"}"#;
    assert_eq!(worker.value(failed), Some(2.0));
    let queue = r#"db_client_connection_max{db_client_connection_pool_name="queue"}"#;
    assert!(worker.value(queue).unwrap() >= 1.0);
    let scheduler = fleet.scrape("scheduler").await;
    let db = fleet.world.db().await;
    let version = entity::dataset::version(&db.read).await.unwrap().number;
    db.close().await;
    for (series, value) in [
        ("fanfare_dataset_version", version as f64),
        ("fanfare_workers", 1.0),
        (r#"fanfare_runs_total{fanfare_outcome="lost"}"#, 0.0),
        (r#"fanfare_providers{fanfare_staleness="never"}"#, 1.0),
        (r#"fanfare_provider_breakers{fanfare_state="closed"}"#, 6.0),
        ("fanfare_provider_breaker_open_seconds", 0.0),
        ("fanfare_queue_drain_seconds", 0.0),
        (r#"fanfare_queue_jobs{fanfare_state="waiting"}"#, 0.0),
    ] {
        assert_eq!(scheduler.value(series), Some(value), "{series}");
    }
    let fresh = scheduler.series_of("fanfare_provider_freshness_seconds");
    assert_eq!(fresh, PROVIDERS - 1);
}

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
    let complains = |line: &&String| line.contains("level=warn") || line.contains("level=error");
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

#[tokio::test]
async fn every_role_in_one_process_tells_each_series_once_at_the_apis_address_or_the_given_one() {
    let world = World::embedded().await;
    let all = world.all().await;
    let metrics = all.api.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    let scrape = Scrape::parse(&metrics.body);
    assert!(
        scrape.value("fanfare_worker_slots").is_some(),
        "{}",
        scrape.text
    );
    Listed::read().knows_all_of("all", &scrape);
    lint("all", &scrape.text);
    assert!(!all.api.get("/openapi.json").await.body.contains("/metrics"));
    stop(&all.process, Signal::TERM).await;

    let mut command = fanfare(&["demo", "--providers", "2", "--log", "info"]);
    command
        .args(["--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--observe-listen", "127.0.0.1:0"]);
    let demo = Process::start(&command);
    let origin = observed(&demo).await;
    let ready = Api::new(&origin);
    eventually(PATIENCE, "its roles work", async || {
        ready.get("/readyz").await.status == 200
    })
    .await;
    Listed::read().knows_all_of("demo", &scrape_of(&origin).await);
    let tries = |line: &str| line.contains("/v1/providers");
    let line = demo.wait_for_line(tries, PATIENCE).await;
    let start = line.find("http://").unwrap();
    let api = Api::new(line[start..].trim_end_matches("/v1/providers"));
    assert_eq!(api.get("/metrics").await.status, 404);
    stop(&demo, Signal::TERM).await;
}

#[tokio::test]
async fn metrics_are_told_when_there_are_more_connections_than_there_may_be() {
    let world = World::embedded().await.with("FANFARE_API_CONNECTIONS", "1");
    let all = world.all().await;
    let line = all.process.lines();
    let origin = line
        .iter()
        .find_map(|line| line.strip_prefix("listening on "));
    let origin = origin.unwrap();
    // Kept open: the only one that there may be.
    let _only = TcpStream::connect(origin.trim_start_matches("http://"))
        .await
        .unwrap();
    eventually(PATIENCE, "there are more", async || {
        Api::new(origin).get("/v1/events/search").await.status == 503
    })
    .await;
    let metrics = Api::new(origin).get("/metrics").await;
    assert_eq!(metrics.status, 200);
    stop(&all.process, Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_whose_database_is_gone_lives_and_is_not_ready() {
    let mut server = testkit::PostgresServer::start().await;
    let redis = testkit::redis_url().await;
    let variables = [
        ("FANFARE_DATABASE_URL", server.url()),
        ("FANFARE_REDIS_URL", redis.to_string()),
        ("FANFARE_QUEUE", testkit::queue_namespace()),
        ("FANFARE_LEASE", "1s".to_owned()),
        ("FANFARE_TICK", "100ms".to_owned()),
        ("FANFARE_OBSERVE_LISTEN", "127.0.0.1:0".to_owned()),
    ];
    let command = |role: &str| {
        let mut command = fanfare(&[role]);
        command.envs(variables.clone());
        command
    };
    let migrated = crate::world::ended(command("migrate")).await;
    migrated.well();
    let worker = Process::start(&command("worker"));
    let origin = Api::new(&observed(&worker).await);
    let ready = async |status: u16| {
        eventually(PATIENCE, format!("/readyz answers {status}"), async || {
            origin.get("/readyz").await.status == status
        })
        .await;
    };
    ready(200).await;
    server.stop().await;
    ready(503).await;
    assert_eq!(origin.get("/healthz").await.status, 200);
    server.start_again().await;
    ready(200).await;
    stop(&worker, Signal::TERM).await;
}

/// What Prometheus' own linter says: nothing.
fn lint(role: &str, text: &str) {
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

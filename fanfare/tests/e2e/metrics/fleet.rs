//! One process a role, and what each of them tells.

use serde_json::Value;
use simulator::{Behavior, Simulator};
use testkit::{Process, Signal, eventually};
use tokio_util::sync::CancellationToken;

use super::scrape::Scrape;
use crate::http::Api;
use crate::world::{PATIENCE, Serving, World, ends_well};

pub(super) const PROVIDERS: usize = 6;

/// Three roles in as many processes, which have synced what a simulator serves.
pub(super) struct Fleet {
    pub(super) world: World,
    simulator: Simulator,
    processes: Vec<Process>,
    api: Serving,
    /// Role and address of each that answers `/metrics`.
    pub(super) targets: Vec<(&'static str, String)>,
}

impl Fleet {
    pub(super) async fn start() -> Self {
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
    pub(super) async fn work(&self) {
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

    pub(super) async fn scrape(&self, role: &str) -> Scrape {
        let (_, origin) = self.targets.iter().find(|(name, _)| *name == role).unwrap();
        scrape_of(origin).await
    }

    pub(super) async fn stop(self) {
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
pub(super) async fn observed(process: &Process) -> String {
    let says = |line: &str| line.contains("probes are answered");
    let line = process.wait_for_line(says, PATIENCE).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    format!("http://{}", line["address"].as_str().unwrap())
}

pub(super) async fn scrape_of(origin: &str) -> Scrape {
    let answer = Api::new(origin).get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    Scrape::parse(&answer.body)
}

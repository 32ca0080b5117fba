//! Probes of a role whose database goes and comes back.

use testkit::{Process, Signal, eventually};

use super::fleet::observed;
use crate::http::Api;
use crate::world::{PATIENCE, fanfare, stop};

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

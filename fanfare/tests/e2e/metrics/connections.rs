//! What is told while there are too many connections.

use testkit::{Signal, eventually};
use tokio::net::TcpStream;

use crate::http::Api;
use crate::world::{PATIENCE, World, stop};

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

//! A rolling restart of the APIs under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use testkit::eventually;

use crate::apis::Apis;
use crate::client::Client;
use crate::conf::Conf;
use crate::nginx::{Edge, programs};
use crate::world::PATIENCE;

const CLIENTS: u64 = 6;

/// Longer than nginx leaves one alone that has failed (`fail_timeout`): it counts whole seconds, so that
/// its two may be three.
pub(crate) const SETTINGS: [(&str, &str); 1] = [("FANFARE_DRAIN_DELAY", "4s")];

/// What came of the load.
#[derive(Default)]
struct Told {
    asked: AtomicU64,
    lost: AtomicU64,
    stop: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_the_apis_loses_no_request() {
    for program in programs().await {
        let mut apis = Apis::start(&SETTINGS).await;
        let edge = Edge::start(&program, &apis, Conf::shipped().unlimited()).await;
        let lost = lost(&mut apis, &edge).await;
        assert_eq!(lost, 0, "of them were lost");
    }
}

/// Replaces one API after the other under load, and gives how many requests were not answered well.
pub(crate) async fn lost(apis: &mut Apis, edge: &Edge) -> u64 {
    let told = Arc::new(Told::default());
    let clients = (0..CLIENTS).map(|number| load(edge.client.clone(), number, Arc::clone(&told)));
    let clients: Vec<_> = clients.map(tokio::spawn).collect();
    let more = async || {
        let before = told.asked.load(Relaxed);
        eventually(PATIENCE, "the load goes on", async || {
            told.asked.load(Relaxed) > before + 50
        })
        .await;
    };
    for which in [0, 1] {
        more().await;
        apis.stop(which).await;
        more().await;
        apis.start_api(which).await;
    }
    more().await;
    told.stop.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    told.lost.load(Relaxed)
}

/// Asks for one thing after another, each new to the cache.
async fn load(client: Client, number: u64, told: Arc<Told>) {
    let mut price = 0;
    while !told.stop.load(Relaxed) {
        let path = format!("/v1/events/search?limit={}&min_price={price}", number + 1);
        price += 1;
        let answer = client.try_get(&path).await;
        if !answer.is_ok_and(|answer| answer.status == 200) {
            told.lost.fetch_add(1, Relaxed);
        }
        told.asked.fetch_add(1, Relaxed);
    }
}

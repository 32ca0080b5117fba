//! The simulator as its users meet it: over HTTP, and through its handle.

#![expect(
    clippy::unwrap_used,
    reason = "what fails in a test's helper fails the test"
)]

mod behaviors;
mod feeds;
mod http;
mod reader;
mod rounds;
mod streaming;

use std::sync::Once;
use std::time::Duration;

use reqwest::Client;
use simulator::{Config, Simulator};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running simulator that ends with its test.
struct Running {
    simulator: Simulator,
    client: Client,
    shutdown: CancellationToken,
    _guard: DropGuard,
}

async fn start(config: Config) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = CancellationToken::new();
    let simulator = simulator::start(listener, config, shutdown.clone());
    Running {
        simulator,
        client: client(),
        _guard: shutdown.clone().drop_guard(),
        shutdown,
    }
}

fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap()
    });
    // The timeout is a safety net: no test waits for it.
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

impl Running {
    async fn get(&self, name: &str) -> reqwest::Response {
        self.client
            .get(self.simulator.feed_url(name))
            .send()
            .await
            .unwrap()
    }

    async fn feed(&self, name: &str) -> String {
        self.get(name).await.text().await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.simulator.addr())
    }
}

/// Resolves once `holds` does. It yields to the server in between: what is waited for follows from what was done.
async fn until(mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("what the test waits for happens");
}

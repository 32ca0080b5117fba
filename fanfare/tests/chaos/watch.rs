//! A client of the API that asks all the time.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Watch {
    stop: CancellationToken,
    asking: JoinHandle<u64>,
}

impl Watch {
    /// Searches until [`Self::served_throughout`]; an answer that is not 200 fails the test.
    pub(crate) fn start(origin: &str) -> Self {
        // Another test of this process may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        let url = format!("{origin}/v1/events/search");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let asking = tokio::spawn(async move {
            let mut answers = 0;
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            while stopped.run_until_cancelled(ticks.tick()).await.is_some() {
                let answer = client.get(&url).send().await.unwrap();
                let status = answer.status();
                assert_eq!(status, 200, "{}", answer.text().await.unwrap());
                answers += 1;
            }
            answers
        });
        Self { stop, asking }
    }

    /// Ends it; at least one answer came, and all were good.
    pub(crate) async fn served_throughout(self) {
        self.stop.cancel();
        assert!(self.asking.await.unwrap() > 0);
    }
}

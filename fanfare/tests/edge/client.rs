//! A client that asks, and sees everything of the answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers that an API was not sure of, of all that tests got so far.
static UNSURE: AtomicU64 = AtomicU64::new(0);

/// For whatever a person would have given up on.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) origin: String,
    client: reqwest::Client,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(origin: &str) -> Self {
        Self::with(origin, |client| client)
    }

    pub(crate) fn with(
        origin: &str,
        build: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Self {
        // Another test of this process may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        Self {
            origin: origin.to_owned(),
            client: build(client).build().unwrap(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.origin))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.request(Method::GET, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// Sends a head as it is, which no library changes, and gives status and text of the answer.
    pub(crate) async fn raw(&self, head: &str) -> (u16, String) {
        let address = self.origin.strip_prefix("http://").unwrap();
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let reading = connection.read_to_end(&mut answer);
        let read = tokio::time::timeout(TIMEOUT, reading).await;
        read.expect("the connection closes").unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
        (status.unwrap_or_else(|| panic!("{answer:?}")), answer)
    }
}

/// Which grows with each answer that says it may be stale.
pub(crate) fn unsure() -> u64 {
    UNSURE.load(Relaxed)
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Result<Self, reqwest::Error> {
        let response = request.send().await?;
        if response.headers().contains_key("dataset-stale") {
            UNSURE.fetch_add(1, Relaxed);
        }
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// What nginx had to do with it.
    pub(crate) fn edge(&self) -> Option<&str> {
        let lines = self.headers.get_all("cache-status").iter();
        let mut texts = lines.map(|line| line.to_str().unwrap());
        texts.find_map(|text| text.strip_prefix("edge; "))
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.status == 200 && self.edge() == Some("hit")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

//! A light client, to look at single answers.

use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde_json::Value;

/// Keeps its connections open.
pub(super) struct Client(reqwest::Client);

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Client {
    pub(super) fn new() -> anyhow::Result<Self> {
        // Whoever came first has set the process' provider, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self(client))
    }

    pub(super) async fn get(
        &self,
        address: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut request = self.0.get(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send().await?;
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: response.bytes().await?,
        })
    }
}

impl Answer {
    /// Nothing but a 200 will do.
    pub(super) fn good(self) -> anyhow::Result<Self> {
        if self.status != StatusCode::OK {
            let body = String::from_utf8_lossy(&self.body);
            bail!("the server answered {}: {body}", self.status);
        }
        Ok(self)
    }

    /// A header's value, if it is there.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The number of the dataset version that it belongs to.
    pub(super) fn version(&self) -> anyhow::Result<i64> {
        let version = self.header("dataset-version").context("no version")?;
        let (_, number) = version.rsplit_once('-').context("no version")?;
        Ok(number.parse()?)
    }

    /// The events of a search.
    pub(super) fn events(&self) -> anyhow::Result<Vec<Value>> {
        let mut json: Value = serde_json::from_slice(&self.body)?;
        match json["data"]["events"].take() {
            Value::Array(events) => Ok(events),
            _ => bail!("the answer is no search's"),
        }
    }
}

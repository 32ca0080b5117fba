//! A server that costs next to nothing: documents as they lie in memory or in a file.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

/// What is served under a name.
#[derive(Debug, Clone)]
pub(super) enum Document {
    Memory(Bytes),
    File(PathBuf, u64),
}

/// Each with its `ETag`.
type Documents = Arc<Mutex<HashMap<String, (String, Document)>>>;

pub(super) struct Server {
    address: SocketAddr,
    documents: Documents,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let documents = Documents::default();
        let router = Router::new()
            .route("/{name}", get(serve))
            .with_state(Arc::clone(&documents));
        let task = tokio::spawn(async move {
            // It is aborted in the end.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            documents,
            task,
        })
    }

    /// Serves `document` under `name` from now on.
    pub(super) fn put(&self, name: &str, etag: &str, document: Document) {
        self.documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), (format!("\"{etag}\""), document));
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    State(documents): State<Documents>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let found = documents
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&name)
        .cloned();
    let Some((etag, document)) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let known = headers.get(IF_NONE_MATCH).map(|value| value.as_bytes());
    if known == Some(etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    match document {
        Document::Memory(bytes) => ([(ETAG, etag)], bytes).into_response(),
        Document::File(path, length) => match file(path).await {
            Ok(body) => {
                ([(ETAG, etag), (CONTENT_LENGTH, length.to_string())], body).into_response()
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        },
    }
}

async fn file(path: PathBuf) -> anyhow::Result<Body> {
    let file = tokio::fs::File::open(&path)
        .await
        .with_context(|| format!("can't open {}", path.display()))?;
    Ok(Body::from_stream(ReaderStream::with_capacity(
        file,
        256 << 10,
    )))
}

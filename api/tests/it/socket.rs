//! The API on a socket, as a process serves it, and clients of it.

use std::net::SocketAddr;

use api::Config;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::Answer;

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<anyhow::Result<()>>,
}

/// Runs the API over `db` on a free port.
pub(crate) async fn serve(db: &entity::Database, config: Config) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let run = api::run(config, listener, db.clone(), shutdown.clone());
    Served {
        address,
        shutdown,
        running: tokio::spawn(run),
    }
}

impl Served {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    /// The whole answer to a request on a connection of its own.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let response = self.begin(method, path, headers).await;
        whole(response).await.unwrap()
    }

    /// The beginning of an answer. What follows waits for its reader in the system's buffers, and then
    /// in the API.
    pub(crate) async fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", "api");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        client.send_request(request).await.unwrap()
    }

    /// A connection on which a request was sent.
    pub(crate) async fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: api\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }
}

/// The rest of an answer; an error if the connection breaks before its end.
pub(crate) async fn whole(response: Response<Incoming>) -> Result<Answer, axum::Error> {
    let (parts, body) = response.into_parts();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: to_bytes(Body::new(body), usize::MAX).await?,
    })
}

/// What comes until the API closes the connection, in good order or not.
pub(crate) async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before a reset is kept.
    drop(stream.read_to_end(&mut bytes).await);
    bytes
}

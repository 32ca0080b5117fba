//! A server that reads requests and answers with bytes, well-formed or not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What the server does once it has read a request.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// The bytes over and over, with that pause between.
    Drip(Vec<u8>, Duration),
    /// The bytes over and over, as fast as they are taken.
    Flood(Vec<u8>),
    /// For ever.
    Wait,
    Close,
}

/// Ends with the test.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    server: AbortHandle,
}

impl Server {
    /// Answers each request, by its head, with steps.
    pub(super) async fn start(script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script).await
    }

    pub(super) async fn start_at(
        address: &str,
        script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let connections = Arc::<Mutex<_>>::default();
        let script = Arc::new(script);
        let (heads, count) = (Arc::clone(&asked), Arc::clone(&connections));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&heads)));
            }
        });
        Self {
            address,
            asked,
            connections,
            server: server.abort_handle(),
        }
    }

    /// Always answers the same.
    pub(super) async fn saying(answer: Vec<u8>) -> Self {
        Self::start(move |_| vec![Step::Send(answer.clone())]).await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of all requests so far, in lower case.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<impl Fn(&str) -> Vec<Step>>,
    asked: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        asked.lock().unwrap().push(head.clone());
        let steps = script(&head);
        for step in steps {
            match step {
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Drip(bytes, pause) => loop {
                    stream.write_all(&bytes).await?;
                    tokio::time::sleep(pause).await;
                },
                Step::Flood(bytes) => loop {
                    stream.write_all(&bytes).await?;
                },
                Step::Wait => std::future::pending().await,
                Step::Close => return Ok(()),
            }
        }
    }
}

/// A head with these further lines.
pub(super) fn head(status: u16, lines: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Test\r\n");
    for (name, value) in lines {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n").into_bytes()
}

/// A whole answer.
pub(super) fn answer(status: u16, lines: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let mut all = lines.to_vec();
    all.push(("content-length", &length));
    let mut answer = head(status, &all);
    answer.extend_from_slice(body);
    answer
}

/// An answer that leads elsewhere.
pub(super) fn redirect(status: u16, to: &str) -> Vec<u8> {
    answer(status, &[("location", to)], b"")
}

/// The path of a request.
pub(super) fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// The value of a header in a request.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

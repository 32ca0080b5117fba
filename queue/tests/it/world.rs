//! A queue of its own for each test, a Redis server that a test may stop, and a worker.

use std::{
    fmt::Debug,
    future::Future,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use apalis::prelude::{WorkerBuilder, WorkerError};
use futures::future::BoxFuture;
use queue::{Delivery, Push, Queue, QueueConfig, SyncJob, TraceContext};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A private `redis-server`, killed on drop.
pub(crate) struct Server {
    child: Child,
    directory: TempDir,
    port: u16,
    extra: Vec<&'static str>,
}

impl Server {
    pub(crate) async fn start(extra: &[&'static str]) -> Self {
        let port = free_port();
        let directory = TempDir::new().unwrap();
        let child = spawn(port, directory.path(), extra);
        let server = Self {
            child,
            directory,
            port,
            extra: extra.to_vec(),
        };
        server.answers().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again at the same address, with nothing in it.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(self.port, self.directory.path(), &self.extra);
        self.answers().await;
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(status.success());
    }

    async fn answers(&self) {
        eventually("redis-server answers", || async {
            let client = redis::Client::open(self.url()).unwrap();
            let Ok(mut connection) = client.get_multiplexed_async_connection().await else {
                return false;
            };
            let ping = redis::cmd("PING");
            ping.query_async::<String>(&mut connection).await.is_ok()
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn spawn(port: u16, directory: &Path, extra: &[&str]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(directory)
        .args(extra)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server starts; install it or set FANFARE_TEST_REDIS_URL")
}

/// A fresh namespace in some Redis.
pub(crate) struct World {
    pub(crate) server: Option<Server>,
    pub(crate) url: String,
    pub(crate) namespace: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        match std::env::var("FANFARE_TEST_REDIS_URL") {
            Ok(url) => Self {
                server: None,
                url,
                namespace: random_namespace(),
            },
            Err(_) => Self::private().await,
        }
    }

    /// With a server that the test may stop.
    pub(crate) async fn private() -> Self {
        let server = Server::start(&[]).await;
        Self {
            url: server.url(),
            server: Some(server),
            namespace: random_namespace(),
        }
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }

    pub(crate) fn config(&self) -> QueueConfig {
        QueueConfig {
            redis_url: Some(self.url.parse().unwrap()),
            namespace: self.namespace.clone(),
            ..QueueConfig::default()
        }
    }

    pub(crate) async fn queue(&self) -> Queue {
        queue::open(self.config()).await.unwrap()
    }

    pub(crate) async fn redis(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.namespace)
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        redis::cmd("KEYS")
            .arg(format!("*{}*", self.namespace))
            .query_async(&mut self.redis().await)
            .await
            .unwrap()
    }

    pub(crate) async fn nothing_is_left(&self) {
        eventually("no key of the queue is left", || async {
            self.keys().await.is_empty()
        })
        .await;
    }
}

fn random_namespace() -> String {
    format!("test-{}", Uuid::new_v4().simple())
}

pub(crate) fn pushes(count: usize) -> Vec<Push> {
    std::iter::repeat_with(push).take(count).collect()
}

pub(crate) fn push() -> Push {
    Push {
        job: SyncJob {
            run: Uuid::new_v4(),
        },
        trace: TraceContext::default(),
    }
}

pub(crate) fn runs(pushes: &[Push]) -> Vec<Uuid> {
    pushes.iter().map(|push| push.job.run).collect()
}

/// An apalis worker on a queue, ended by its token.
pub(crate) struct Worker {
    pub(crate) shutdown: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    pub(crate) fn start<H>(queue: &Queue, slots: usize, handler: H) -> Self
    where
        H: Fn(SyncJob, TraceContext, Delivery) -> BoxFuture<'static, ()> + Clone + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        let consumer = queue.consumer("worker-1", slots, shutdown.clone());
        let worker = WorkerBuilder::new("worker-1").backend(consumer).build(
            move |job: SyncJob, trace: TraceContext, delivery: Delivery| {
                handler(job, trace, delivery)
            },
        );
        Self {
            shutdown,
            task: tokio::spawn(worker.run()),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    pub(crate) async fn ended(self) {
        within("the worker ends", self.task).await.unwrap().unwrap();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    /// Drops the worker in the middle of what it does.
    pub(crate) fn abort(self) {
        self.task.abort();
    }
}

/// A safety net only: what is waited for happens much sooner.
const TOO_LONG: Duration = Duration::from_secs(30);

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(TOO_LONG, future)
        .await
        .unwrap_or_else(|_| panic!("took too long: {what}"))
}

/// For states that nobody announces, such as what Redis holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    within(what, async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Retries what may fail while a server is away.
pub(crate) async fn until_ok<T, E: Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    attempt: impl Fn() -> F,
) -> T {
    within(what, async {
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
}

//! What stops the start, and how it says so.

use std::time::{Duration, Instant};

use queue::{OpenError, QueueConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::world::{Server, World, free_port, within};

fn config(url: &str) -> QueueConfig {
    QueueConfig {
        redis_url: Some(url.parse().unwrap()),
        ..QueueConfig::default()
    }
}

async fn refusal(config: QueueConfig) -> OpenError {
    within("the answer", queue::open(config)).await.unwrap_err()
}

#[tokio::test]
async fn a_fitting_server_is_opened() {
    let world = World::new().await;
    world.queue().await.producer().ping().await.unwrap();
}

#[tokio::test]
async fn nobody_at_the_address_is_a_clear_error() {
    let port = free_port();
    let error = refusal(config(&format!("redis://user:hunter2@127.0.0.1:{port}"))).await;
    assert!(matches!(error, OpenError::Connect { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let before = Instant::now();
    let error = refusal(QueueConfig {
        connect_timeout: Duration::from_millis(200),
        ..config(&format!("redis://127.0.0.1:{port}"))
    })
    .await;
    assert!(matches!(error, OpenError::Connect { .. }), "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_wrong_password_is_a_clear_error() {
    let server = Server::start(&["--user", "guest", "on", ">right", "~*", "+@all"]).await;
    let url = server.url().replace("//", "//guest:hunter2@");
    let error = refusal(config(&url)).await;
    assert!(matches!(error, OpenError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("credentials"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    let url = server.url().replace("//", "//guest:right@");
    queue::open(config(&url)).await.unwrap();
}

#[tokio::test]
async fn a_plain_server_behind_a_tls_url_is_a_clear_error() {
    // As the binary does, once.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start(&[]).await;
    let url = server.url().replace("redis://", "rediss://");
    let error = refusal(config(&url)).await;
    assert!(matches!(error, OpenError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_cluster_is_refused_with_advice() {
    let server = Server::start(&["--cluster-enabled", "yes"]).await;
    let error = refusal(config(&server.url())).await;
    assert!(matches!(error, OpenError::Cluster { .. }), "{error:?}");
    assert!(error.to_string().contains("use a single redis"), "{error}");
}

#[tokio::test]
async fn a_server_before_version_7_is_refused_with_its_version() {
    let port = an_old_server().await;
    let error = refusal(config(&format!("redis://127.0.0.1:{port}"))).await;
    assert!(matches!(error, OpenError::Version { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("6.2.14") && text.contains("7 or later"),
        "{text}"
    );
}

#[tokio::test]
async fn a_namespace_that_breaks_keys_is_refused() {
    for namespace in ["", "a{b", "a b", "ä", &"x".repeat(65)] {
        let error = refusal(QueueConfig {
            namespace: namespace.to_owned(),
            ..QueueConfig::default()
        })
        .await;
        assert!(matches!(error, OpenError::Namespace(_)), "{error:?}");
    }
}

/// Says OK to everything, but PONG to PING and an old version to INFO.
async fn an_old_server() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                    let request = String::from_utf8_lossy(&buffer[..read]).to_uppercase();
                    let mut answer = String::new();
                    // One command for each array header; their first words are what matters.
                    for command in request.split('*').skip(1) {
                        let info = "redis_version:6.2.14\r\ncluster_enabled:0\r\n";
                        answer += &match command {
                            _ if command.contains("\r\nPING\r\n") => "+PONG\r\n".to_owned(),
                            _ if command.contains("\r\nINFO\r\n") => {
                                format!("${}\r\n{info}\r\n", info.len())
                            }
                            _ => "+OK\r\n".to_owned(),
                        };
                    }
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

use std::time::Duration;

use api::Config;
use sea_orm::TransactionTrait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::socket::serve;
use crate::world::World;

/// Sends a request whose connection is not closed by the client, and gives the answer in full.
async fn request(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_open_request_is_answered_although_shutdown_was_asked_for() {
    let world = World::sqlite().await;
    let config = Config {
        database_timeout: Duration::from_secs(20),
        ..Config::default()
    };
    let served = serve(&world.db, config).await;
    assert!(
        request(served.address, "/v1/events/search")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(world.db.read.begin().await.unwrap());
    }
    let open = tokio::spawn(request(served.address, "/v1/events/search"));
    // A second request on a connection made later is answered only after the first was taken.
    assert!(
        request(served.address, "/healthz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    served.shutdown.cancel();
    for transaction in held {
        transaction.rollback().await.unwrap();
    }
    assert!(open.await.unwrap().starts_with("HTTP/1.1 200"));
    served.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_holds_the_shutdown_up_to_its_deadline() {
    let world = World::sqlite().await;
    let config = Config {
        drain_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let served = serve(&world.db, config).await;
    // The head of a request, without its end.
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    request(served.address, "/healthz").await;
    served.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), served.running)
        .await
        .expect("the deadline ends it")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_shutdown_up() {
    let world = World::sqlite().await;
    let served = serve(&world.db, Config::default()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: api\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    served.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), served.running)
        .await
        .expect("nothing is open")
        .unwrap()
        .unwrap();
}

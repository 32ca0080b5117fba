use std::time::Duration;

use testkit::{eventually, free_listener, free_port};

const SAFETY_NET: Duration = Duration::from_secs(30);

#[tokio::test]
async fn eventually_returns_the_value_once_it_is_there() {
    let mut asked = 0;
    let value = eventually(SAFETY_NET, "the third answer", async || {
        asked += 1;
        (asked == 3).then_some("here")
    });
    assert_eq!(value.await, "here");
    eventually(SAFETY_NET, "the truth", || async { true }).await;
}

#[tokio::test]
#[should_panic(expected = "in vain: a miracle")]
async fn eventually_says_what_never_came() {
    eventually(Duration::from_millis(30), "a miracle", async || false).await;
}

#[tokio::test]
async fn ports_are_free_and_listeners_bound() {
    let listener = free_listener();
    let address = listener.local_addr().unwrap();
    tokio::net::TcpStream::connect(address).await.unwrap();

    let port = free_port();
    let bound = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
    assert!(bound.is_ok());
}

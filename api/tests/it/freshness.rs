//! How soon a commit is served, and how often a storm of them makes answers new.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use api::Config;
use axum::body::Body;
use axum::http::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::seed::{event, store};
use crate::socket::{Served, serve, whole};
use crate::world::World;

crate::on_both_databases!(
    a_commit_is_served_within_half_a_second,
    a_storm_of_commits_makes_answers_new_a_few_times_a_second,
);

/// One connection for many requests.
struct Client(SendRequest<Body>);

impl Client {
    async fn of(served: &Served) -> Self {
        let stream = TcpStream::connect(served.address).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// The number of the version of the answer, which is checked to be that version's.
    async fn version(&mut self, path: &str) -> i64 {
        let request = Request::builder().uri(path).header("host", "api");
        let request = request.body(Body::empty()).unwrap();
        self.0.ready().await.unwrap();
        let answer = whole(self.0.send_request(request).await.unwrap())
            .await
            .unwrap();
        let version = answer.header("dataset-version").rsplit_once('-').unwrap().1;
        let title = title(version.parse().unwrap());
        assert!(answer.text().contains(&title), "{title}: {}", answer.text());
        version.parse().unwrap()
    }
}

fn title(version: i64) -> String {
    format!("as of {version}.")
}

/// Makes that version, which is the next one.
async fn commit(world: &World, version: i64) {
    let mut stored = event("1", "2021-06-30T19:00:00Z");
    stored.title = title(version);
    store(&world.db, &[stored], &[]).await;
}

async fn a_commit_is_served_within_half_a_second(world: World) {
    const COMMITS: i64 = 12;
    commit(&world, 1).await;
    let served = serve(&world.db, Config::default()).await;
    let mut client = Client::of(&served).await;
    assert_eq!(client.version("/v1/events/search").await, 1);
    let mut took = Vec::new();
    for version in 2..=COMMITS {
        commit(&world, version).await;
        let committed = Instant::now();
        let safety_net = Duration::from_secs(20);
        testkit::eventually(safety_net, "the commit is served", async || {
            client.version("/v1/events/search").await == version
        })
        .await;
        took.push(committed.elapsed());
    }
    took.sort();
    // A busy machine may delay any of them, but hardly most.
    let median = took[took.len() / 2];
    assert!(median < Duration::from_millis(500), "{took:?}");
    assert!(took[took.len() - 1] < Duration::from_secs(5), "{took:?}");
}

async fn a_storm_of_commits_makes_answers_new_a_few_times_a_second(world: World) {
    const STORM: Duration = Duration::from_secs(2);
    /// Four a second, the one that was there before, and one for the ends.
    const MOST: usize = 10;
    commit(&world, 1).await;
    let served = serve(&world.db, Config::default()).await;
    let began = Instant::now();
    let storm = async {
        let mut version = 1;
        while began.elapsed() < STORM {
            version += 1;
            commit(&world, version).await;
        }
        version
    };
    let reading = |path: &'static str| {
        let client = Client::of(&served);
        async move {
            let mut client = client.await;
            let mut last = 0;
            let mut seen = BTreeSet::new();
            while began.elapsed() < STORM {
                let version = client.version(path).await;
                assert!(version >= last, "{version} after {last}");
                last = version;
                seen.insert(version);
            }
            seen
        }
    };
    let (commits, one, same, other) = tokio::join!(
        storm,
        reading("/v1/events/search"),
        reading("/v1/events/search"),
        reading("/v1/events/search?limit=1"),
    );
    let seen: BTreeSet<i64> = one.union(&same).copied().collect();
    for seen in [seen, other] {
        assert!(seen.len() <= MOST, "{} of {commits}: {seen:?}", seen.len());
        assert!(seen.len() > 2, "{seen:?}");
    }
    let commits = usize::try_from(commits).unwrap();
    assert!(commits > MOST, "{commits} are no storm");
}

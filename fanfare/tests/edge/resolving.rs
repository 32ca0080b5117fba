//! Replicas that come, go and move behind one name.

use testkit::eventually;

use crate::apis::{Apis, v4};
use crate::caching::{AT_ONCE, kept};
use crate::conf::Conf;
use crate::nginx::{Edge, Program, programs};
use crate::world::PATIENCE;

const SEARCH: &str = "/v1/events/search";

/// Each nginx that can look up names again: the one that is installed may, besides the newest.
async fn resolving() -> impl Iterator<Item = Program> {
    let programs = programs().await.into_iter();
    programs.filter(|program| program.resolves)
}

async fn edge(program: &Program, apis: &Apis) -> Edge {
    Edge::start(program, apis, Conf::shipped().unlimited()).await
}

#[tokio::test]
async fn replicas_are_found_by_their_name_without_a_reload() {
    for program in resolving().await {
        let mut apis = Apis::start(&[]).await;
        let [first, second] = apis.addresses.map(v4);
        apis.names.set(&[first]);
        let edge = edge(&program, &apis).await;
        let mut numbers = 0..;
        let mut ask = async || {
            let path = format!("{SEARCH}?min_price={}", numbers.next().unwrap());
            let answer = edge.client.get(&path).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        };
        for _ in 0..10 {
            ask().await;
        }
        let asked = apis.asked().await;
        assert!(asked[0] >= 10 && asked[1] == 0, "{asked:?}");

        // One more.
        apis.names.set(&[first, second]);
        eventually(PATIENCE, "the second one is asked", async || {
            ask().await;
            apis.asked().await[1] > 0
        })
        .await;

        // One moves: the first is gone, and nobody missed an answer.
        apis.names.set(&[second]);
        let begun = apis.asked().await;
        eventually(PATIENCE, "the second one alone is asked", async || {
            let before = apis.asked().await;
            for _ in 0..10 {
                ask().await;
            }
            let after = apis.asked().await;
            after[0] == before[0] && after[1] >= begun[1] + 10
        })
        .await;
        apis.stop(0).await;
        for _ in 0..10 {
            ask().await;
        }
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_is_an_outage_like_others() {
    for program in resolving().await {
        let mut apis = Apis::start(&[AT_ONCE]).await;
        let addresses = apis.addresses.map(v4);
        apis.names.set(&[]);
        let edge = edge(&program, &apis).await;
        // It starts before there is an API.
        assert_eq!(edge.client.get(SEARCH).await.status, 503);
        apis.names.set(&addresses);
        eventually(PATIENCE, "the APIs are found", async || {
            edge.client.get(SEARCH).await.status == 200
        })
        .await;
        kept(&edge, SEARCH).await;
        apis.names.set(&[]);
        apis.kill(0).await;
        apis.kill(1).await;
        let never = "/v1/events/search?limit=7";
        eventually(PATIENCE, "the APIs are not found any more", async || {
            edge.client.get(never).await.status == 503
        })
        .await;
        let answer = eventually(PATIENCE, "its time is over", async || {
            let answer = edge.client.get(SEARCH).await;
            (!answer.is_hit()).then_some(answer)
        })
        .await;
        assert_eq!(
            (answer.status, answer.edge()),
            (200, Some("hit; detail=STALE"))
        );
    }
}

//! APIs that are gone, and a database that is.

use std::net::SocketAddr;

use sea_orm::ConnectionTrait;
use testkit::eventually;

use crate::apis::Apis;
use crate::caching::{AT_ONCE, kept};
use crate::client::Answer;
use crate::nginx::Edge;
use crate::world::PATIENCE;

const SEARCH: &str = "/v1/events/search";

#[tokio::test]
async fn while_one_api_is_down_the_other_one_answers() {
    let mut apis = Apis::start(&[]).await;
    let edges = Edge::each(&apis).await;
    for (round, edge) in edges.iter().enumerate() {
        let ask = async |numbers: std::ops::Range<usize>| {
            for number in numbers {
                let path = format!("{SEARCH}?min_price={round}{number:04}");
                let answer = edge.client.get(&path).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        };
        ask(0..20).await;
        let asked = apis.asked().await;
        assert!(asked[0] > 0 && asked[1] > 0, "{asked:?}");
        apis.kill(0).await;
        ask(20..120).await;
        apis.start_api(0).await;
        let mut numbers = 120..10_000;
        eventually(PATIENCE, "the first one is asked again", async || {
            let number = numbers.next().unwrap();
            ask(number..number + 1).await;
            apis.asked().await[0] > 0
        })
        .await;
    }
}

#[tokio::test]
async fn while_no_api_answers_what_was_asked_before_is_answered_on() {
    let mut apis = Apis::start(&[AT_ONCE]).await;
    for edge in Edge::each(&apis).await {
        let before = kept(&edge, SEARCH).await;
        apis.kill(0).await;
        apis.kill(1).await;
        let after = eventually(PATIENCE, "its time is over", async || {
            let answer = edge.client.get(SEARCH).await;
            (!answer.is_hit()).then_some(answer)
        })
        .await;
        assert_eq!(
            (after.status, after.edge()),
            (200, Some("hit; detail=STALE"))
        );
        assert_eq!(after.body, before.body);
        let never = edge.client.get("/v1/providers").await;
        assert_eq!(never.status, 503);
        assert_eq!(never.header("retry-after"), Some("2"));
        assert_eq!(never.json()["error"]["code"], "unavailable");
        apis.start_api(0).await;
        apis.start_api(1).await;
        eventually(PATIENCE, "it is up to date again", async || {
            let answer = edge.client.get(SEARCH).await;
            answer.status == 200 && answer.edge() != Some("hit; detail=STALE")
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_too_old_is_not_answered_while_no_api_is_there() {
    let settings = [AT_ONCE, ("FANFARE_CACHE_STALE_IF_ERROR", "2s")];
    let mut apis = Apis::start(&settings).await;
    let edges = Edge::each(&apis).await;
    for edge in &edges {
        kept(edge, SEARCH).await;
    }
    apis.kill(0).await;
    apis.kill(1).await;
    for edge in &edges {
        eventually(PATIENCE, "it is too old", async || {
            edge.client.get(SEARCH).await.status == 503
        })
        .await;
    }
}

#[tokio::test]
async fn what_could_not_be_brought_up_to_date_is_passed_on_and_not_kept() {
    let apis = Apis::start(&[AT_ONCE]).await;
    for edge in Edge::each(&apis).await {
        let known = "/v1/events/search?limit=3";
        for which in [0, 1] {
            assert_eq!(apis.client(which).get(known).await.status, 200);
        }
        cut_off(&apis, known).await;
        assert_eq!(unsure(&edge, known).await, Ok(()));
        allow_database(&apis, true).await;
        eventually(PATIENCE, "it is up to date again", async || {
            let answer = edge.client.get(known).await;
            answer.is_hit() && !answer.headers.contains_key("dataset-stale")
        })
        .await;
    }
}

#[tokio::test]
async fn what_an_api_without_its_database_can_not_answer_is_answered_from_what_is_kept() {
    let mut apis = Apis::start(&[AT_ONCE]).await;
    for edge in Edge::each(&apis).await {
        let (path, known_to) = kept_alone(&mut apis, &edge).await;
        assert_eq!(answered_on(&edge, &path).await, Ok(()));
        let head = edge.client.request(reqwest::Method::HEAD, &path);
        assert_eq!(Answer::of(head).await.unwrap().status, 200);
        let unknown = edge.client.get("/v1/events/search?limit=4").await;
        assert_eq!(unknown.status, 503);
        assert_eq!(unknown.header("retry-after"), Some("2"));
        assert_eq!(unknown.json()["error"]["code"], "unavailable");
        allow_database(&apis, true).await;
        apis.start_api(known_to).await;
        eventually(PATIENCE, "it is up to date again", async || {
            edge.client.get(&path).await.text().contains(edge.name())
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_kept_is_too_old_at_last_for_an_api_without_its_database_as_well() {
    let settings = [AT_ONCE, ("FANFARE_CACHE_STALE_IF_ERROR", "3s")];
    let mut apis = Apis::start(&settings).await;
    for edge in Edge::each(&apis).await {
        let (path, known_to) = kept_alone(&mut apis, &edge).await;
        eventually(PATIENCE, "it is too old", async || {
            let answer = edge.client.get(&path).await;
            answer.status == 503 && answer.json()["error"]["code"] == "unavailable"
        })
        .await;
        allow_database(&apis, true).await;
        apis.start_api(known_to).await;
    }
}

/// Holds that an answer whose time is over is given out on, and said to be stale.
pub(crate) async fn answered_on(edge: &Edge, path: &str) -> Result<(), String> {
    let answer = eventually(PATIENCE, "its time is over", async || {
        let answer = edge.client.get(path).await;
        (!answer.is_hit()).then_some(answer)
    })
    .await;
    match (answer.status, answer.edge()) {
        (200, Some("hit; detail=STALE")) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Makes nginx the only one that has an answer, and that one past its time: there is a newer version, the
/// database is gone, and so is the API that gave it. Gives the answer's address, and that API.
pub(crate) async fn kept_alone(apis: &mut Apis, edge: &Edge) -> (String, usize) {
    let mut limits = 100..;
    let (path, known_to) = eventually(PATIENCE, "one API was asked, and was sure", async || {
        let path = format!("{SEARCH}?limit={}", limits.next().unwrap());
        let known_to = kept_of_one(apis, edge, &path).await?;
        Some((path, known_to))
    })
    .await;
    apis.change(edge.name()).await;
    cut_off(apis, "/v1/events/search?limit=1").await;
    apis.kill(known_to).await;
    (path, known_to)
}

/// Asks twice, and gives which API answered if that was one alone and its answer is kept.
async fn kept_of_one(apis: &Apis, edge: &Edge, path: &str) -> Option<usize> {
    edge.client.get(path).await;
    let is_kept = edge.client.get(path).await.is_hit();
    let lines = eventually(PATIENCE, "both lines of the log", async || {
        let lines = edge.log_of(path);
        (lines.len() >= 2).then_some(lines)
    })
    .await;
    let upstreams = lines.iter().filter_map(|line| line["upstream"].as_str());
    let asked: Vec<_> = upstreams.filter(|upstream| !upstream.is_empty()).collect();
    let is_it = |address: &SocketAddr| asked == [address.to_string()];
    apis.addresses.iter().position(is_it).filter(|_| is_kept)
}

/// Throws the processes out of their database, and returns when the APIs know it. They have the answer to
/// this question in memory.
pub(crate) async fn cut_off(apis: &Apis, known: &str) {
    allow_database(apis, false).await;
    eventually(
        PATIENCE,
        "the APIs know that they are cut off",
        async || {
            let stale = async |which| {
                let answer = apis.client(which).get(known).await;
                answer.headers.contains_key("dataset-stale")
            };
            stale(0).await && stale(1).await
        },
    )
    .await;
}

/// Holds that an answer is passed on as stale, and not kept.
pub(crate) async fn unsure(edge: &Edge, path: &str) -> Result<(), String> {
    for _ in 0..3 {
        let answer = edge.client.get(path).await;
        let is_marked = answer.headers.contains_key("dataset-stale");
        if (answer.status, answer.edge(), is_marked) != (200, Some("fwd=uri-miss"), true) {
            return Err(format!("{answer:?}"));
        }
    }
    Ok(())
}

/// Lets the processes into their database, or throws them out.
pub(crate) async fn allow_database(apis: &Apis, allowed: bool) {
    let command = apis.world.command(&[]);
    let mut settings = command.get_envs();
    let url = settings.find(|(name, _)| *name == "FANFARE_DATABASE_URL");
    let url = url.unwrap().1.unwrap().to_str().unwrap();
    let (server, name) = url.rsplit_once('/').unwrap();
    let admin = sea_orm::Database::connect(format!("{server}/postgres"))
        .await
        .unwrap();
    let run = async |sql: String| admin.execute_unprepared(&sql).await.unwrap();
    run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")).await;
    if !allowed {
        run(format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
    }
    admin.close().await.unwrap();
}

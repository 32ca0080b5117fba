//! What is kept, for whom, and for how long.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Instant;

use futures::FutureExt;
use reqwest::Method;
use testkit::eventually;

use crate::apis::{Apis, PROVIDER, TOKEN};
use crate::client::{Answer, unsure};
use crate::nginx::Edge;
use crate::world::PATIENCE;

const SEARCH: &str = "/v1/events/search";
pub(crate) const LONG: (&str, &str) = ("FANFARE_CACHE_MAX_AGE", "1h");

/// What nginx itself puts on an answer, or takes from it, and when the API made it.
const NOT_THE_APIS: [&str; 8] = [
    "server",
    "date",
    "connection",
    "transfer-encoding",
    "cache-status",
    "x-request-id",
    "keep-alive",
    "content-length",
];

fn essence(answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    for name in NOT_THE_APIS {
        answer.headers.remove(name);
    }
    answer
}

/// Asks until the answer is kept, for nginx keeps none that the API was not sure of.
pub(crate) async fn kept(edge: &Edge, path: &str) -> Answer {
    eventually(PATIENCE, "it is kept", async || {
        let answer = edge.client.get(path).await;
        answer.is_hit().then_some(answer)
    })
    .await
}

/// Runs a scenario at an address that nobody has asked for, and once more at another one if an API said
/// amid it that it was not sure: a busy machine may keep it from its database for a second, and then
/// nginx is to keep nothing.
pub(crate) async fn while_sure(scenario: impl AsyncFn(&str)) {
    let deadline = Instant::now() + PATIENCE;
    for limit in 10.. {
        let before = unsure();
        let path = format!("{SEARCH}?limit={limit}");
        let held = AssertUnwindSafe(scenario(&path)).catch_unwind().await;
        match held {
            Ok(()) => break,
            Err(_) if unsure() > before && Instant::now() < deadline => {}
            Err(fault) => resume_unwind(fault),
        }
    }
}

#[tokio::test]
async fn what_was_asked_before_is_answered_without_an_api() {
    let apis = Apis::start(&[LONG]).await;
    for edge in Edge::each(&apis).await {
        while_sure(async |path| {
            let before = apis.asked().await;
            let first = edge.client.get(path).await;
            assert_eq!((first.status, first.edge()), (200, Some("fwd=uri-miss")));
            let asked = apis.asked().await;
            assert_eq!(asked.iter().sum::<u64>(), before.iter().sum::<u64>() + 1);
            for _ in 0..20 {
                let again = edge.client.get(path).await;
                assert!(again.is_hit(), "{again:?}");
                assert_eq!(essence(&again), essence(&first));
            }
            let head = Answer::of(edge.client.request(Method::HEAD, path)).await;
            let head = head.unwrap();
            assert!(head.is_hit() && head.body.is_empty());
            assert_eq!(head.header("etag"), first.header("etag"));
            assert_eq!(apis.asked().await, asked);
            let direct = apis.client(0).get(path).await;
            assert_eq!(essence(&direct), essence(&first));
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_whose_time_is_over_is_asked_for_by_its_etag() {
    let apis = Apis::start(&[AT_ONCE]).await;
    for edge in Edge::each(&apis).await {
        let first = kept(&edge, SEARCH).await;
        let again = eventually(PATIENCE, "it is asked for again", async || {
            let answer = edge.client.get(SEARCH).await;
            (!answer.is_hit()).then_some(answer)
        })
        .await;
        assert_eq!(again.edge(), Some("fwd=stale; fwd-status=304"));
        assert_eq!(essence(&again), essence(&first));
        let line = eventually(PATIENCE, "its line in the log", async || {
            let mut log = edge.log().into_iter();
            log.find(|line| line["cache"] == "REVALIDATED")
        })
        .await;
        assert_eq!(
            (&line["status"], &line["upstream_status"]),
            (&200.into(), &"304".into())
        );
    }
}

#[tokio::test]
async fn a_change_is_seen_as_soon_as_the_api_allows_even_where_nobody_asked_for_long() {
    let apis = Apis::start(&[AT_ONCE]).await;
    for edge in Edge::each(&apis).await {
        assert_eq!(changes(&apis, &edge).await, Ok(()));
    }
}

/// An answer that is no longer fresh is asked for before it is given out.
pub(crate) const AT_ONCE: (&str, &str) = ("FANFARE_CACHE_STALE_WHILE_REVALIDATE", "0s");

/// Holds that the first answer past an answer's time is the new one.
pub(crate) async fn changes(apis: &Apis, edge: &Edge) -> Result<(), String> {
    let title = edge.name();
    let (quiet, other) = (format!("{SEARCH}?limit=2"), format!("{SEARCH}?limit=3"));
    kept(edge, &quiet).await;
    kept(edge, &other).await;
    apis.change(title).await;
    // Younger than the quiet one: when its time is over, so is the other's.
    eventually(PATIENCE, "the change is seen", async || {
        edge.client.get(&other).await.text().contains(title)
    })
    .await;
    let first = edge.client.get(&quiet).await;
    if first.edge() != Some("fwd=stale") || !first.text().contains(title) {
        return Err(format!("{:?}: {}", first.edge(), first.text()));
    }
    Ok(())
}

#[tokio::test]
async fn what_may_be_stale_for_a_while_is_renewed_behind_the_clients_back() {
    let settings = [("FANFARE_CACHE_STALE_WHILE_REVALIDATE", "1h")];
    let apis = Apis::start(&settings).await;
    for edge in Edge::each(&apis).await {
        let title = edge.name();
        kept(&edge, SEARCH).await;
        apis.change(title).await;
        let stale = eventually(PATIENCE, "its time is over", async || {
            let answer = edge.client.get(SEARCH).await;
            (!answer.is_hit()).then_some(answer)
        })
        .await;
        assert_eq!(stale.edge(), Some("hit; detail=STALE"));
        assert!(!stale.text().contains(title));
        eventually(PATIENCE, "it was renewed", async || {
            edge.client.get(SEARCH).await.text().contains(title)
        })
        .await;
    }
}

#[tokio::test]
async fn nobody_gets_an_answer_in_a_coding_that_was_anothers() {
    let apis = Apis::start(&[LONG]).await;
    for edge in Edge::each(&apis).await {
        while_sure(async |path| {
            assert_eq!(codings(&apis, &edge, path).await, Ok(()));
            // Spellings that mean the same share what is kept.
            for same in ["gzip", "gzip, deflate", "deflate,gzip", "GZIP"] {
                let headers = [("accept-encoding", same)];
                let answer = edge.client.get_with(path, &headers).await;
                assert!(answer.is_hit(), "{same}: {answer:?}");
                assert_eq!(answer.header("content-encoding"), Some("gzip"));
            }
        })
        .await;
    }
}

/// Holds the answers for all kinds of clients, new and kept, against the API's own.
pub(crate) async fn codings(apis: &Apis, edge: &Edge, path: &str) -> Result<(), String> {
    // Ten times as many events.
    let another = format!("{path}0");
    let fields = [
        "gzip",
        "br",
        "zstd",
        "identity",
        "gzip, deflate, br, zstd",
        "gzip, deflate, br",
        "gzip, deflate",
        "deflate",
        "br;q=0.5, gzip",
        "gzip;q=0, br;q=0",
        "zstd;q=0, *",
        "*",
        "",
        "zstdx, xbr, gzip-2",
        "identity, gzip",
    ];
    for round in ["new", "kept"] {
        for field in fields {
            let headers = [("accept-encoding", field)];
            for path in [path, &another] {
                let direct = essence(&apis.client(0).get_with(path, &headers).await);
                let ours = edge.client.get_with(path, &headers).await;
                if essence(&ours) != direct {
                    return Err(format!("{round} {path} {field:?}: {:?}", ours.headers));
                }
                if round == "kept" && !ours.is_hit() {
                    return Err(format!("{field:?} is not kept: {:?}", ours.edge()));
                }
            }
        }
        let none = edge.client.get(path).await;
        if none.header("content-encoding").is_some() {
            return Err(format!("a coding nobody asked for: {:?}", none.headers));
        }
    }
    Ok(())
}

#[tokio::test]
async fn pages_of_other_origins_each_get_the_leave_that_is_theirs() {
    let apis = Apis::start(&[LONG, ORIGINS]).await;
    for edge in Edge::each(&apis).await {
        assert_eq!(leaves(&edge).await, Ok(()));
    }
}

pub(crate) const ORIGINS: (&str, &str) = (
    "FANFARE_CORS_ORIGINS",
    "https://one.example,https://two.example",
);

pub(crate) async fn leaves(edge: &Edge) -> Result<(), String> {
    for _ in 0..2 {
        for (origin, expected) in [
            ("https://one.example", Some("https://one.example")),
            ("https://two.example", Some("https://two.example")),
            ("https://three.example", None),
        ] {
            let answer = edge.client.get_with(SEARCH, &[("origin", origin)]).await;
            let leave = answer.header("access-control-allow-origin");
            if leave != expected {
                return Err(format!("{origin} gets the leave {leave:?}"));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_has_the_answer_is_told_so_from_what_is_kept() {
    let apis = Apis::start(&[LONG]).await;
    for edge in Edge::each(&apis).await {
        let first = kept(&edge, SEARCH).await;
        let etag = first.header("etag").unwrap().to_owned();
        let asked = apis.asked().await;
        for condition in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}")] {
            let headers = [("if-none-match", condition.as_str())];
            let answer = edge.client.get_with(SEARCH, &headers).await;
            assert_eq!((answer.status, answer.edge()), (304, Some("hit")));
            assert!(answer.body.is_empty());
            for name in ["etag", "cache-control", "vary", "dataset-version"] {
                assert_eq!(answer.header(name), first.header(name), "{name}");
            }
        }
        let other = edge.client.get_with(SEARCH, &[("if-none-match", "\"x\"")]);
        assert!(other.await.is_hit());
        assert_eq!(apis.asked().await, asked);
    }
}

#[tokio::test]
async fn who_shows_a_token_is_answered_by_the_api_and_nothing_of_it_is_kept() {
    let apis = Apis::start(&[LONG]).await;
    for edge in Edge::each(&apis).await {
        while_sure(async |path| {
            assert_eq!(tokens(&edge, path).await, Ok(()));
            let log = eventually(PATIENCE, "all lines of the log", async || {
                let lines = edge.log_of(path);
                (lines.len() >= 4).then(|| edge.log())
            })
            .await;
            assert!(!log.iter().any(|line| line.to_string().contains(TOKEN)));
        })
        .await;
    }
}

pub(crate) async fn tokens(edge: &Edge, path: &str) -> Result<(), String> {
    let bearer = format!("Bearer {TOKEN}");
    for (headers, expected) in [
        (&[("authorization", bearer.as_str())][..], "fwd=bypass"),
        (&[], "fwd=uri-miss"),
        (&[("authorization", bearer.as_str())], "fwd=bypass"),
        (&[], "hit"),
    ] {
        let answer = edge.client.get_with(path, headers).await;
        if (answer.status, answer.edge()) != (200, Some(expected)) {
            return Err(format!("{:?} instead of {expected}", answer.edge()));
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_operators_ask_for_reaches_the_api_each_time() {
    let apis = Apis::start(&[LONG]).await;
    for edge in Edge::each(&apis).await {
        let admin = async |action: &str, token: &str| {
            let path = format!("/v1/providers/{PROVIDER}/{action}");
            let request = edge.client.request(Method::POST, &path);
            Answer::of(request.bearer_auth(token)).await.unwrap()
        };
        for _ in 0..2 {
            for (action, state) in [("pause", "paused"), ("resume", "active")] {
                let answer = admin(action, TOKEN).await;
                assert_eq!((answer.status, answer.edge()), (200, None));
                assert_eq!(answer.json()["data"]["state"], state);
            }
        }
        assert_eq!(admin("sync", TOKEN).await.status, 202);
        let refused = admin("pause", "another-token-altogether").await;
        assert_eq!(refused.json()["error"]["code"], "unauthorized");
        let too_large = edge
            .client
            .request(Method::POST, &format!("/v1/providers/{PROVIDER}/pause"))
            .body(vec![b' '; 70_000]);
        let too_large = Answer::of(too_large).await.unwrap();
        assert_eq!(too_large.status, 413);
        assert_eq!(too_large.json()["error"]["code"], "body_too_large");
    }
}

#[tokio::test]
async fn what_must_not_be_kept_is_not() {
    let apis = Apis::start(&[LONG]).await;
    for edge in Edge::each(&apis).await {
        for path in [
            "/v1/health",
            "/v1/events/search?starts_at=tomorrow",
            "/v1/nothing",
            "/openapi.json",
        ] {
            while_sure(async |_| {
                for _ in 0..2 {
                    let answer = edge.client.get(path).await;
                    assert_ne!(answer.edge(), Some("hit"), "{path}");
                    let direct = apis.client(0).get(path).await;
                    assert_eq!(essence(&answer), essence(&direct), "{path}");
                }
            })
            .await;
        }
        assert_eq!(edge.files("fanfare-cache"), []);
    }
}

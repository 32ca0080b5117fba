//! How much a client may ask, and who counts as one.

use std::time::Instant;

use reqwest::Method;
use testkit::eventually;

use crate::apis::{Apis, PROVIDER};
use crate::client::Answer;
use crate::conf::Conf;
use crate::nginx::Edge;
use crate::world::PATIENCE;

const SEARCH: &str = "/v1/events/search";

#[tokio::test]
async fn who_asks_too_much_is_told_so_in_the_apis_words_and_comes_again() {
    let apis = Apis::start(&[]).await;
    for edge in Edge::each_with(&apis, Conf::shipped()).await {
        let begun = Instant::now();
        let (mut well, mut refused) = (0, Vec::new());
        // On a busy machine one round may take so long that all are answered.
        eventually(PATIENCE, "more than a hundred are refused", async || {
            let asking = (0..400).map(|_| edge.client.get(SEARCH));
            let answers = futures::future::join_all(asking).await;
            let (right, wrong): (Vec<_>, Vec<_>) =
                answers.into_iter().partition(|one| one.status == 200);
            well += right.len();
            refused.extend(wrong);
            refused.len() > 100
        })
        .await;
        // The burst, of which nginx's own probe may have taken some, and what came back meanwhile.
        let most = most(100, 50.0, begun);
        assert!(
            (90..=most).contains(&well),
            "{well} of {most} were answered"
        );
        for answer in refused {
            assert_eq!(answer.status, 429);
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let message =
                "too many requests: send the next one after the seconds in the header Retry-After";
            let expected = serde_json::json!({
                "error": {"code": "rate_limited", "message": message}, "data": null
            });
            assert_eq!(answer.json(), expected);
        }
        eventually(PATIENCE, "the client may ask again", async || {
            edge.client.get(SEARCH).await.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn who_tries_tokens_has_few_tries() {
    let apis = Apis::start(&[]).await;
    for edge in Edge::each_with(&apis, Conf::shipped()).await {
        let path = format!("/v1/providers/{PROVIDER}/pause");
        let begun = Instant::now();
        let trying = (0..60).map(|number| {
            let request = edge.client.request(Method::POST, &path);
            Answer::of(request.bearer_auth(format!("0123456789abcdef{number}")))
        });
        let answers = futures::future::join_all(trying).await;
        let statuses: Vec<_> = answers.into_iter().map(|one| one.unwrap().status).collect();
        let count = |status| statuses.iter().filter(|one| **one == status).count();
        assert_eq!(count(401) + count(429), 60, "{statuses:?}");
        let most = most(20, 2.0, begun);
        assert!((20..=most).contains(&count(401)), "{statuses:?}");
    }
}

/// How many may have been let through since then: the burst after the first one, and what came back.
fn most(burst: usize, per_second: f64, begun: Instant) -> usize {
    let back = begun.elapsed().mul_f64(per_second).as_secs();
    burst + 2 + usize::try_from(back).unwrap()
}

#[tokio::test]
async fn who_passes_for_another_is_counted_all_the_same() {
    let settings = [("FANFARE_RATE_LIMIT", "0.01"), ("FANFARE_RATE_BURST", "5")];
    for which in 0..2 {
        // Each nginx has APIs of its own, for they would go on counting.
        let apis = Apis::start(&settings).await;
        let mut edges = Edge::each(&apis).await;
        if which >= edges.len() {
            continue;
        }
        let edge = edges.swap_remove(which);
        assert_eq!(counted(&edge).await, Ok(()));
    }
}

/// Holds that the API takes all requests for those of one client, who names another one each time.
pub(crate) async fn counted(edge: &Edge) -> Result<(), String> {
    let mut refused = 0;
    for number in 0..30 {
        let path = format!("{SEARCH}?min_price={number}");
        let another = format!("203.0.113.{number}");
        let forwarded = format!("for={another}");
        let headers = [
            ("x-forwarded-for", another.as_str()),
            ("forwarded", &forwarded),
        ];
        let answer = edge.client.get_with(&path, &headers).await;
        if answer.headers.contains_key("ratelimit") {
            return Err("what one client may still ask would be kept for all".to_owned());
        }
        refused += usize::from(answer.status == 429);
    }
    // Two APIs of five each, and one each that comes back while this machine is busy.
    if refused < 18 {
        return Err(format!("only {refused} of 30 were refused"));
    }
    Ok(())
}

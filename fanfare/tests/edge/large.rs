//! Answers that are too large to keep.

use chrono::{Days, NaiveDate};
use futures::StreamExt;
use reqwest::Method;

use crate::apis::Apis;
use crate::caching::kept;
use crate::feed::{base, plan_list};
use crate::nginx::Edge;

const SEARCH: &str = "/v1/events/search";

/// Its answer takes some 4 MB, of which the API keeps none above 2 MiB.
const EVENTS: u64 = 20_000;

fn feed() -> String {
    let first = NaiveDate::from_ymd_opt(2130, 1, 1).unwrap();
    let day = |number| first.checked_add_days(Days::new(number)).unwrap();
    let starts: Vec<_> = (0..EVENTS)
        .map(|number| format!("{}T{:02}:00:00", day(number / 24), number % 24))
        .collect();
    let starts: Vec<_> = starts.iter().map(String::as_str).collect();
    plan_list(&[base("1", "online", "A show", &starts)])
}

#[tokio::test]
async fn a_large_answer_goes_to_its_client_as_it_comes_and_is_not_kept() {
    let apis = Apis::serving(&[("FANFARE_CACHE_MAX_AGE", "1h")], feed()).await;
    let direct = apis.client(0).get(SEARCH).await;
    assert!(direct.body.len() > 3_000_000, "{} bytes", direct.body.len());
    for edge in Edge::each(&apis).await {
        for _ in 0..2 {
            let answer = edge.client.get(SEARCH).await;
            assert_eq!((answer.status, answer.edge()), (200, Some("fwd=uri-miss")));
            assert_eq!(answer.body, direct.body);
        }
        // One who takes the beginning and waits: the rest waits with the API.
        let request = edge
            .client
            .request(Method::GET, SEARCH)
            .send()
            .await
            .unwrap();
        let mut body = request.bytes_stream();
        let mut taken = body.next().await.unwrap().unwrap().len();
        let written = |folder| {
            edge.files(folder)
                .iter()
                .map(|(_, bytes)| bytes)
                .sum::<u64>()
        };
        assert_eq!((written("fanfare-cache"), written("fanfare-proxy")), (0, 0));
        while let Some(piece) = body.next().await {
            taken += piece.unwrap().len();
        }
        assert_eq!(taken, direct.body.len());
        // A part of it is kept as ever.
        let page = format!("{SEARCH}?limit=1000");
        kept(&edge, &page).await;
    }
}

//! Each way to behave, as a client meets it.

use std::time::{Duration, Instant};

use reqwest::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER,
};
use reqwest::{Response, StatusCode, redirect};
use simulator::{Behavior, Config};

use crate::{Running, reader, start, until};

const NAME: &str = "provider-0003";

async fn behaving(behavior: Behavior) -> Running {
    let running = start(Config::default()).await;
    running.simulator.set_behavior(NAME, behavior).unwrap();
    running
}

async fn answer(behavior: Behavior) -> Response {
    behaving(behavior).await.get(NAME).await
}

/// A 200 with this body.
async fn document(behavior: Behavior) -> String {
    let running = behaving(behavior).await;
    let answer = running.get(NAME).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.text().await.unwrap()
}

#[tokio::test]
async fn slow_first_byte_waits_before_the_status_line() {
    let started = Instant::now();
    let body = document(Behavior::SlowFirstByte { millis: 150 }).await;
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert!(reader::read(&body).is_ok());
}

#[tokio::test]
async fn slow_body_drips_at_its_rate() {
    let running = start(Config {
        events: 10,
        ..Config::default()
    })
    .await;
    let whole = running.feed(NAME).await;
    let rate = whole.len() as u64 * 4;
    running
        .simulator
        .set_behavior(
            NAME,
            Behavior::SlowBody {
                bytes_per_second: rate,
            },
        )
        .unwrap();
    let started = Instant::now();
    let request = running
        .client
        .get(running.simulator.feed_url(NAME))
        .header("accept-encoding", "identity");
    let mut answer = request.send().await.unwrap();
    let first = answer.chunk().await.unwrap().unwrap();
    assert!(
        first.len() < whole.len(),
        "the first piece is not the whole"
    );
    let mut body = first.to_vec();
    while let Some(piece) = answer.chunk().await.unwrap() {
        body.extend_from_slice(&piece);
    }
    assert_eq!(body, whole.as_bytes());
    assert!(started.elapsed() >= Duration::from_millis(240));
}

#[tokio::test]
async fn hang_ends_when_the_client_leaves() {
    let running = behaving(Behavior::Hang).await;
    let url = running.simulator.feed_url(NAME);
    let request = tokio::spawn(running.client.get(url).send());
    until(|| running.simulator.stats().total.concurrent == 1).await;
    assert!(!request.is_finished());
    request.abort();
    until(|| running.simulator.stats().total.concurrent == 0).await;
    assert_eq!(running.simulator.stats().total.ok, 0);
}

#[tokio::test]
async fn shutdown_ends_what_hangs_drips_or_never_ends() {
    let running = start(Config {
        providers: 4,
        events: 2_000,
        ..Config::default()
    })
    .await;
    let names = running.simulator.provider_names();
    let behaviors = [
        Behavior::Hang,
        Behavior::SlowFirstByte { millis: 3_600_000 },
        Behavior::SlowBody {
            bytes_per_second: 1,
        },
        Behavior::Endless,
    ];
    let (kept, _unread) = std::sync::mpsc::channel();
    let mut requests = Vec::new();
    for (name, behavior) in names.iter().zip(behaviors) {
        running.simulator.set_behavior(name, behavior).unwrap();
        let request = running.client.get(running.simulator.feed_url(name)).send();
        let kept = kept.clone();
        requests.push(tokio::spawn(async move {
            // The endless one is not read any further: the server is then stuck in writing.
            let answer = request.await?;
            if answer.headers().contains_key(LAST_MODIFIED) {
                answer.bytes().await?;
            } else {
                kept.send(answer).ok();
            }
            Ok::<(), reqwest::Error>(())
        }));
    }
    until(|| {
        let total = running.simulator.stats().total;
        total.requests == 4 && total.ok == 2
    })
    .await;
    running.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), running.simulator.stopped())
        .await
        .unwrap();
    let mut failed = 0;
    for request in requests {
        failed += usize::from(request.await.unwrap().is_err());
    }
    assert!(failed >= 3, "{failed} requests were cut off");
    until(|| running.simulator.stats().total.concurrent == 0).await;
    assert!(
        names
            .iter()
            .all(|name| running.simulator.served(name).unwrap().is_empty())
    );
}

#[tokio::test]
async fn statuses_come_as_they_are_asked_for() {
    for (behavior, code, retry_after) in [
        (Behavior::Status { code: 404 }, 404, None),
        (Behavior::Status { code: 599 }, 599, None),
        (Behavior::Status { code: 100 }, 500, None),
        (Behavior::TooManyRequests { retry_after: 7 }, 429, Some("7")),
        (
            Behavior::Unavailable {
                retry_after: Some(120),
            },
            503,
            Some("120"),
        ),
        (Behavior::Unavailable { retry_after: None }, 503, None),
        (Behavior::ServerError, 500, None),
        (
            Behavior::Redirect {
                to: "bad\nvalue".to_owned(),
            },
            500,
            None,
        ),
    ] {
        let answer = answer(behavior.clone()).await;
        assert_eq!(answer.status().as_u16(), code, "{behavior:?}");
        let told = answer
            .headers()
            .get(RETRY_AFTER)
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), retry_after, "{behavior:?}");
    }
}

#[tokio::test]
async fn truncated_breaks_off_below_the_promised_length() {
    let running = behaving(Behavior::Truncated).await;
    let mut answer = running.get(NAME).await;
    let promised: usize = answer.headers()[CONTENT_LENGTH]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let mut received = 0;
    let broken = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => received += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken);
    assert!(
        received > 0 && received < promised,
        "{received} of {promised}"
    );

    let tag = running.get(NAME).await.headers()[ETAG].clone();
    let again = running
        .client
        .get(running.simulator.feed_url(NAME))
        .header(IF_NONE_MATCH, tag);
    assert_eq!(
        again.send().await.unwrap().status(),
        StatusCode::OK,
        "no condition keeps it from breaking off"
    );
}

#[tokio::test]
async fn a_cut_document_is_a_complete_response() {
    let body = document(Behavior::CutDocument).await;
    let whole = document(Behavior::Normal).await;
    assert_eq!(body, whole[..whole.len() / 2]);
    assert!(reader::read(&body).is_err());
}

#[tokio::test]
async fn not_xml_is_a_page() {
    let answer = answer(Behavior::NotXml).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(
        answer.headers()[CONTENT_TYPE]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
}

#[tokio::test]
async fn malformed_has_a_mismatched_end_tag() {
    let error = reader::read(&document(Behavior::Malformed).await)
        .err()
        .unwrap();
    assert_eq!(error, "`event_plan` closes Some(\"output\")");
}

#[tokio::test]
async fn wrong_root_is_well_formed_under_another_name() {
    let read = reader::read(&document(Behavior::WrongRoot).await).unwrap();
    assert_eq!(read.root, "catalogue");
    assert!(!read.events.is_empty());
}

#[tokio::test]
async fn empty_is_a_valid_list_of_nothing() {
    let read = reader::read(&document(Behavior::Empty).await).unwrap();
    assert_eq!((read.root.as_str(), read.events.len()), ("eventList", 0));
}

#[tokio::test]
async fn a_bad_document_has_a_tag_of_its_own() {
    let running = behaving(Behavior::Malformed).await;
    let bad = running.get(NAME).await.headers()[ETAG].clone();
    let again = running
        .client
        .get(running.simulator.feed_url(NAME))
        .header(IF_NONE_MATCH, &bad)
        .send();
    assert_eq!(again.await.unwrap().status(), StatusCode::NOT_MODIFIED);
    running
        .simulator
        .set_behavior(NAME, Behavior::Normal)
        .unwrap();
    let sound = running
        .client
        .get(running.simulator.feed_url(NAME))
        .header(IF_NONE_MATCH, &bad)
        .send();
    assert_eq!(sound.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_redirect_loop_never_arrives() {
    let running = behaving(Behavior::RedirectLoop).await;
    let error = running
        .client
        .get(running.simulator.feed_url(NAME))
        .send()
        .await
        .unwrap_err();
    assert!(error.is_redirect(), "{error:?}");
}

#[tokio::test]
async fn a_redirect_leads_to_where_it_says() {
    let running = behaving(Behavior::Redirect {
        to: "/providers/provider-0001/feed".to_owned(),
    })
    .await;
    let arrived = running.get(NAME).await;
    assert_eq!(
        arrived.url().as_str(),
        running.simulator.feed_url("provider-0001")
    );
    assert_eq!(arrived.status(), StatusCode::OK);
    let stays = crate::Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap();
    let answer = stays
        .get(running.simulator.feed_url(NAME))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(answer.headers()[LOCATION], "/providers/provider-0001/feed");
}

#[tokio::test]
async fn fail_times_fails_and_then_is_normal() {
    let running = behaving(Behavior::FailTimes { times: 2 }).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(running.get(NAME).await.status().as_u16());
    }
    assert_eq!(codes, [500, 500, 200, 200]);
    assert_eq!(running.simulator.behavior(NAME), Ok(Behavior::Normal));
}

#[tokio::test]
async fn a_bad_provider_does_not_hurt_another() {
    let running = behaving(Behavior::Hang).await;
    let hanging = tokio::spawn(running.client.get(running.simulator.feed_url(NAME)).send());
    until(|| running.simulator.stats().providers[NAME].concurrent == 1).await;
    assert!(reader::read(&running.feed("provider-0001").await).is_ok());
    assert!(!hanging.is_finished());
}

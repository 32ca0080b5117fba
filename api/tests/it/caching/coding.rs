//! Content codings give the same answer in fewer bytes.

use std::io::Read;

use api::Config;
use entity::event::Content;

use crate::caching::{HIT, MISS};
use crate::seed::{event, store};
use crate::world::{Answer, Send, World, service};

crate::on_both_databases!(
    every_coding_gives_the_same_answer,
    a_small_answer_is_sent_as_it_is,
    the_first_of_a_coding_is_made_from_what_is_kept,
);

/// Below what goes through a spool, and past it.
const SIZES: [usize; 2] = [100, 12_000];

fn many(count: usize) -> Vec<Content> {
    (0..count)
        .map(|n| event(&n.to_string(), "2021-06-30T19:00:00Z"))
        .collect()
}

fn decoded(answer: &Answer) -> Vec<u8> {
    let body = &answer.body[..];
    let mut decoded = Vec::new();
    match answer.headers.get("content-encoding") {
        None => return body.to_vec(),
        Some(coding) if coding == "br" => brotli::Decompressor::new(body, 4096)
            .read_to_end(&mut decoded)
            .unwrap(),
        Some(coding) if coding == "zstd" => {
            decoded = zstd::decode_all(body).unwrap();
            0
        }
        Some(coding) if coding == "gzip" => flate2::read::MultiGzDecoder::new(body)
            .read_to_end(&mut decoded)
            .unwrap(),
        Some(other) => panic!("nobody asked for {other:?}"),
    };
    decoded
}

async fn every_coding_gives_the_same_answer(world: World) {
    for size in SIZES {
        store(&world.db, &many(size), &[]).await;
        let plain = world.get("/v1/events/search").await;
        assert!(!plain.headers.contains_key("content-encoding"));
        let events = plain.json()["data"]["events"].as_array().unwrap().len();
        assert_eq!(events, size);
        for (accepted, coding) in [
            ("br", Some("br")),
            ("zstd", Some("zstd")),
            ("gzip", Some("gzip")),
            ("gzip;q=0.5, zstd;q=0.9, br;q=0.1", Some("zstd")),
            ("identity", None),
            ("compress", None),
            ("br;q=0", None),
        ] {
            let headers = [("accept-encoding", accepted)];
            // By a process that has never made it, and by one that has.
            let other = service(&world.db, Config::default());
            for answer in [
                other.send("GET", "/v1/events/search", &headers).await,
                other.send("GET", "/v1/events/search", &headers).await,
                world.get_with("/v1/events/search", &headers).await,
            ] {
                let named = answer.headers.get("content-encoding");
                let named = named.map(|name| name.to_str().unwrap());
                assert_eq!(named, coding, "{accepted}");
                assert_eq!(answer.header("vary"), "accept-encoding");
                assert_eq!(answer.header("content-type"), "application/json");
                assert!(
                    decoded(&answer) == plain.body,
                    "{size} events as {accepted}"
                );
                if coding.is_some() {
                    assert!(answer.body.len() < plain.body.len() / 2, "{accepted}");
                }
            }
        }
    }
}

async fn a_small_answer_is_sent_as_it_is(world: World) {
    store(&world.db, &many(1), &[]).await;
    let plain = world.get("/v1/events/search").await;
    for coding in ["br", "zstd", "gzip"] {
        for cached in [MISS, HIT] {
            let answer = world
                .get_with("/v1/events/search", &[("accept-encoding", coding)])
                .await;
            assert_eq!(answer.header("cache-status"), cached);
            assert!(!answer.headers.contains_key("content-encoding"));
            assert_eq!(answer.header("vary"), "accept-encoding");
            assert_eq!(answer.body, plain.body);
        }
    }
}

/// The database is gone by then.
async fn the_first_of_a_coding_is_made_from_what_is_kept(world: World) {
    store(&world.db, &many(100), &[]).await;
    let plain = world.get("/v1/events/search").await;
    world.db.clone().close().await;
    let headers = [("accept-encoding", "br")];
    let answer = world
        .service
        .send("GET", "/v1/events/search", &headers)
        .await;
    assert_eq!(answer.header("content-encoding"), "br");
    assert_eq!(decoded(&answer), plain.body);
}

//! Compressed bodies: sound, cut off, and out to do harm.

use std::io::Write;

use brotli::enc::BrotliEncoderParams;
use flate2::write::GzEncoder;
use worker::fetch::{FetchError, Limits, Request};

use super::server::{Server, answer, header};
use super::{body, fetch, fetcher, plain, request, text};
use crate::world::PATIENCE;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn brotli_with(bytes: &[u8], params: &BrotliEncoderParams) -> Vec<u8> {
    let mut encoded = Vec::new();
    brotli::BrotliCompress(&mut &*bytes, &mut encoded, params).unwrap();
    encoded
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let params = BrotliEncoderParams {
        quality: 3,
        ..BrotliEncoderParams::default()
    };
    brotli_with(bytes, &params)
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ALL: [(&str, Encode); 3] = [("gzip", gzip), ("br", brotli), ("zstd", zstd)];

async fn serving(coding: &str, encoded: &[u8]) -> Server {
    Server::saying(answer(200, &[("content-encoding", coding)], encoded)).await
}

async fn decoded(coding: &str, encoded: &[u8]) -> Vec<u8> {
    let server = serving(coding, encoded).await;
    let fetched = fetch(&plain(), &server.url("/")).await.unwrap();
    assert_eq!(fetched.wire, encoded.len() as u64, "{coding}");
    body(fetched)
}

async fn refused(coding: &str, encoded: &[u8]) -> FetchError {
    let server = serving(coding, encoded).await;
    super::error(&plain(), &server.url("/")).await
}

#[tokio::test]
async fn each_coding_is_asked_for_and_undone() {
    for len in [1, 1_000, 2_000_000] {
        let sent = text(len);
        for (coding, encode) in ALL {
            assert!(decoded(coding, &encode(&sent)).await == sent, "{coding}");
        }
        assert!(decoded("x-gzip", &gzip(&sent)).await == sent);
        assert!(decoded("identity", &sent).await == sent);
    }
    let server = serving("gzip", &gzip(b"x")).await;
    fetch(&plain(), &server.url("/")).await.unwrap();
    let asked = &server.asked()[0];
    assert_eq!(header(asked, "accept-encoding"), Some("gzip, br, zstd"));
}

#[tokio::test]
async fn several_members_or_frames_are_one_body() {
    let sent = [text(100_000), text(10)];
    for (coding, encode) in [ALL[0], ALL[2]] {
        let encoded = sent
            .iter()
            .flat_map(|part| encode(part))
            .collect::<Vec<_>>();
        assert!(decoded(coding, &encoded).await == sent.concat(), "{coding}");
    }
}

/// A decoder could be fed by the one below it for hours without anything to show for it.
#[tokio::test]
async fn one_coding_over_another_is_refused() {
    let sent = text(1_000);
    for (inner, encode_inner) in ALL {
        for (outer, encode_outer) in ALL {
            let encoded = encode_outer(&encode_inner(&sent));
            let error = refused(&format!("{inner}, {outer}"), &encoded).await;
            assert!(matches!(error, FetchError::SeveralCodings), "{error}");
            assert_eq!(
                error.to_string(),
                "the body is compressed several times over, which is not understood"
            );
        }
    }
}

#[tokio::test]
async fn a_compressed_body_that_ends_early_is_an_error_wherever_it_ends() {
    let sent = text(200_000);
    for (coding, encode) in ALL {
        let encoded = encode(&sent);
        for len in [
            0,
            1,
            5,
            20,
            encoded.len() / 2,
            encoded.len() - 5,
            encoded.len() - 1,
        ] {
            let error = refused(coding, &encoded[..len]).await;
            assert!(matches!(error, FetchError::Decode { .. }), "{coding} {len}");
            let told = error.to_string();
            let start = format!("the body can't be decompressed ({coding}): ");
            assert!(told.starts_with(&start), "{told}");
        }
    }
    let second_member = [gzip(b"one"), gzip(b"two")].concat();
    let error = refused("gzip", &second_member[..second_member.len() - 3]).await;
    assert!(matches!(error, FetchError::Decode { .. }), "{error}");
}

#[tokio::test]
async fn a_body_that_is_damaged_or_followed_by_something_is_an_error() {
    for (coding, encode) in ALL {
        let sound = encode(&text(100_000));
        let mut wrong = vec![b"<planList/>".to_vec()];
        for more in [1, 100, 100_000] {
            wrong.push([&sound[..], &vec![0x55; more]].concat());
        }
        // Brotli has no checksum.
        if coding != "br" {
            let mut damaged = sound.clone();
            damaged[sound.len() / 2] ^= 1;
            wrong.push(damaged);
        }
        for (at, wrong) in wrong.iter().enumerate() {
            let error = refused(coding, wrong).await;
            assert!(matches!(error, FetchError::Decode { .. }), "{coding} {at}");
        }
    }
}

#[tokio::test]
async fn a_coding_nobody_asked_for_is_refused_by_name() {
    let error = refused("deflate", b"x").await;
    assert_eq!(
        error.to_string(),
        "the body has the content coding `deflate`, which was not asked for: only gzip, br, zstd \
         are understood"
    );
}

#[tokio::test]
async fn a_window_larger_than_http_knows_is_refused() {
    let sent = text(100);
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&sent).unwrap();
    encoder.flush().unwrap();
    let large = encoder.finish().unwrap();
    let error = refused("zstd", &large).await;
    assert!(matches!(error, FetchError::Decode { .. }), "{error}");
    let params = BrotliEncoderParams {
        quality: 3,
        large_window: true,
        lgwin: 28,
        ..BrotliEncoderParams::default()
    };
    let error = refused("br", &brotli_with(&sent, &params)).await;
    assert!(matches!(error, FetchError::Decode { .. }), "{error}");
}

#[tokio::test]
async fn a_bomb_is_left_at_the_ratio_whatever_it_is_made_of() {
    let zeros = vec![0; 40 << 20];
    for (coding, encode) in ALL {
        let bomb = encode(&zeros);
        assert!(bomb.len() < 64 << 10, "{coding} is no bomb: {}", bomb.len());
        let limits = Limits {
            ratio: 50,
            ..Limits::default()
        };
        let server = serving(coding, &bomb).await;
        let error = super::error(&fetcher(limits), &server.url("/")).await;
        assert!(
            matches!(error, FetchError::RatioTooLarge { limit: 50 }),
            "{error}"
        );
        assert_eq!(
            error.to_string(),
            "the body decompresses to more than the limit of 50 times its size on the wire"
        );
    }
}

#[tokio::test]
async fn the_ratio_of_a_small_body_is_not_judged() {
    let zeros = vec![0; 15 << 20];
    assert!(decoded("zstd", &zstd(&zeros)).await == zeros);
}

#[tokio::test]
async fn a_bomb_is_left_at_the_limit_of_a_body_long_before_its_end() {
    let zeros = vec![0; 40 << 20];
    for (coding, encode) in ALL {
        let server = serving(coding, &encode(&zeros)).await;
        let fetcher = plain();
        let url = server.url("/");
        let limited = Request {
            max_body: Some(5 << 20),
            ..request(&url)
        };
        let error = fetcher.fetch(&limited).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the body exceeds the limit of 5242880 bytes",
            "{coding}"
        );
        let is_free = async || fetcher.spools().on_disk() == 0;
        testkit::eventually(PATIENCE, "nothing is left", is_free).await;
    }
}

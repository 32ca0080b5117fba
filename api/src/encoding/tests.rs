use std::cell::Cell;
use std::io::Read;

use futures::{TryStreamExt, stream};
use proptest::collection::vec;
use proptest::prelude::*;

use super::Encoding::{Br, Gzip, Identity, Zstd};
use super::*;

const CODINGS: [Encoding; 3] = [Br, Zstd, Gzip];

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn negotiated(fields: &[&str]) -> Encoding {
    let fields: Vec<HeaderValue> = fields.iter().map(|f| f.parse().unwrap()).collect();
    Encoding::negotiate(&fields)
}

fn decompress(encoding: Encoding, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match encoding {
        Identity => body.extend_from_slice(bytes),
        Br => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut body)?),
        Zstd => body = zstd::decode_all(bytes)?,
        Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut body)?),
    }
    Ok(body)
}

fn streamed(encoding: Encoding, pieces: Vec<io::Result<Bytes>>) -> (Vec<u8>, Vec<io::Error>) {
    let items: Vec<_> = block_on(encoding.compress_stream(stream::iter(pieces)).collect());
    let (mut bytes, mut errors) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Ok(piece) => {
                assert!(errors.is_empty(), "something came after an error");
                bytes.extend_from_slice(&piece);
            }
            Err(error) => errors.push(error),
        }
    }
    (bytes, errors)
}

/// Like a search's answer: much of it again and again.
fn answer(events: usize) -> Vec<u8> {
    let event = |at: usize| {
        let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, &at.to_be_bytes());
        format!(r#"{{"id":"{id}","title":"Concert {at}","start_date":"2021-06-30"}},"#)
    };
    (0..events).map(event).collect::<String>().into_bytes()
}

#[test]
fn the_coding_of_the_highest_weight_is_taken() {
    for (field, encoding) in [
        ("gzip, deflate, br, zstd", Zstd),
        ("gzip, deflate, br", Br),
        ("gzip, zstd", Zstd),
        ("gzip, deflate", Gzip),
        ("x-gzip", Gzip),
        ("GZip, BR;Q=0.1", Gzip),
        ("br;q=0.8, zstd;q=0.9, gzip;q=0.85", Zstd),
        ("br;q=0.999, gzip;q=1.000", Gzip),
        ("br ; q=0.5 ,\tgzip\t;\tq=0.7", Gzip),
        ("br;q=0.5, gzip;q=0.5", Br),
        ("gzip, x-gzip;q=0.5, br;q=0.7", Gzip),
        ("x-gzip;q=0.5, gzip, br;q=0.7", Gzip),
    ] {
        assert_eq!(negotiated(&[field]), encoding, "{field}");
    }
}

#[test]
fn the_star_stands_for_what_is_not_named() {
    for (field, encoding) in [
        ("*", Zstd),
        ("zstd;q=0, *", Br),
        ("br;q=0, zstd;q=0, *;q=0.1", Gzip),
        ("gzip;q=0.5, *;q=0.4", Gzip),
        ("identity;q=0.5, *;q=0.4", Identity),
        ("*;q=0, gzip", Gzip),
        ("identity;q=0, *", Zstd),
    ] {
        assert_eq!(negotiated(&[field]), encoding, "{field}");
    }
}

#[test]
fn the_body_stays_as_it_is_for_who_prefers_that_or_takes_nothing_else() {
    for field in [
        "",
        " , ",
        "identity",
        "deflate, compress",
        "br;q=0, gzip;q=0.0, zstd;q=0.000",
        "*;q=0",
        "identity;q=0",
        "gzip;q=0.5, identity",
        "gzip;q=0.5, identity;q=0.501, br;q=0.3",
    ] {
        assert_eq!(negotiated(&[field]), Identity, "{field}");
    }
    assert_eq!(negotiated(&[]), Identity);
    for field in ["identity, gzip", "gzip;q=0.5, identity;q=0.5", "gzip;q=0.1"] {
        assert_eq!(negotiated(&[field]), Gzip, "{field}");
    }
}

#[test]
fn what_cannot_be_read_is_skipped() {
    for member in [
        "br;q=2",
        "br;q=1.001",
        "br;q=0.1234",
        "br;q=",
        "br;q=a",
        "br;q=1a",
        "br;q=-1",
        "br;q=.5",
        "br;q",
        "br;level=5",
        "br;q=1;x=2",
        "br;",
        "b r",
        ";q=1",
        "br=1",
        "q=1",
    ] {
        assert_eq!(negotiated(&[member]), Identity, "{member}");
        assert_eq!(
            negotiated(&[&format!("{member}, gzip;q=0.2")]),
            Gzip,
            "{member}"
        );
    }
    let odd = HeaderValue::from_bytes(b"br\xff, \xfe;q=1, zstd;q=0.5").unwrap();
    assert_eq!(Encoding::negotiate(Some(&odd)), Zstd);
}

#[test]
fn several_fields_are_one_list() {
    assert_eq!(negotiated(&["gzip", "br"]), Br);
    assert_eq!(negotiated(&["br", "br;q=0.5", "gzip;q=0.2"]), Br);
    assert_eq!(negotiated(&["br;q=0.2", "zstd;q=0.5", "gzip"]), Gzip);
    assert_eq!(negotiated(&["gzip", "identity"]), Gzip);
}

#[test]
fn the_short_cut_answers_as_the_long_way_does() {
    let codings = ["gzip", "deflate", "br", "zstd", "identity", "*", ""];
    let mut short = 0;
    for a in codings {
        for b in codings {
            for c in codings {
                for d in codings {
                    for separator in [",", ", "] {
                        let names: Vec<_> =
                            [a, b, c, d].into_iter().filter(|n| !n.is_empty()).collect();
                        let field = names.join(separator);
                        let mut weights = Weights::default();
                        weights.add(field.as_bytes());
                        if let Some(encoding) = of_common(field.as_bytes()) {
                            short += 1;
                            assert_eq!(encoding, weights.choose(), "{field}");
                        }
                    }
                }
            }
        }
    }
    assert!(short > 14, "only {short} took the short cut");
}

#[test]
fn content_encoding_names_the_coding() {
    let names = [Identity, Br, Zstd, Gzip].map(|encoding| encoding.name());
    let names = names
        .each_ref()
        .map(|name| name.as_ref().map(|name| name.to_str().unwrap()));
    assert_eq!(names, [None, Some("br"), Some("zstd"), Some("gzip")]);
}

#[test]
fn an_answer_becomes_much_smaller() {
    let body = answer(500);
    for encoding in CODINGS {
        let compressed = encoding.compress(&body).unwrap();
        assert!(
            compressed.len() * 3 < body.len(),
            "{encoding:?}: {}",
            compressed.len()
        );
    }
}

#[test]
fn what_would_not_become_smaller_stays_as_it_is() {
    let mut noise = vec![0; 5_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    for encoding in CODINGS {
        assert_eq!(encoding.compress(&noise), None, "{encoding:?}");
        assert_eq!(encoding.compress(&[b' '; WORTH - 1]), None, "{encoding:?}");
        assert!(encoding.compress(&[b' '; WORTH]).is_some(), "{encoding:?}");
    }
    assert_eq!(Identity.compress(&answer(100)), None);
}

#[test]
fn no_more_than_a_part_of_a_stream_is_held_back() {
    let pieces: Vec<_> = answer(20_000)
        .chunks(64 << 10)
        .map(<[u8]>::to_vec)
        .collect();
    for encoding in CODINGS {
        let taken = Cell::new(0);
        let source = stream::iter(&pieces).map(|piece| {
            taken.set(taken.get() + 1);
            Ok(Bytes::from(piece.clone()))
        });
        let mut given = 0;
        block_on(encoding.compress_stream(source).try_for_each(|_| {
            let held_back = taken.replace(0);
            given += 1;
            async move {
                assert!(held_back <= 4, "{encoding:?}: {held_back} of 64 KiB");
                Ok(())
            }
        }))
        .unwrap();
        assert!(given > 4, "{encoding:?}: {given}");
    }
}

#[test]
fn an_error_of_the_source_ends_the_stream_without_the_codings_end() {
    let broken = || io::Error::other("the source broke");
    for len in [0, 100, 300_000] {
        let part = answer(5_000)[..len].to_vec();
        for encoding in [Identity, Br, Zstd, Gzip] {
            let pieces = vec![
                Ok(part.clone().into()),
                Err(broken()),
                Ok(part.clone().into()),
            ];
            let source = stream::iter(pieces).take(2);
            let items: Vec<_> = block_on(encoding.compress_stream(source).collect());
            let (last, given) = items.split_last().unwrap();
            assert_eq!(last.as_ref().unwrap_err().to_string(), "the source broke");
            let given: Vec<u8> = given
                .iter()
                .flat_map(|piece| piece.as_ref().unwrap().to_vec())
                .collect();
            if encoding != Identity {
                assert!(decompress(encoding, &given).is_err(), "{encoding:?}, {len}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_body_comes_back_as_it_was(
        body in prop_oneof![vec(0_u8..4, WORTH..20_000), vec(any::<u8>(), 0..5_000)],
    ) {
        for encoding in CODINGS {
            if let Some(compressed) = encoding.compress(&body) {
                prop_assert!(compressed.len() < body.len());
                prop_assert_eq!(&decompress(encoding, &compressed).unwrap(), &body);
            } else {
                prop_assert!(body.len() < WORTH || body.iter().any(|byte| *byte > 3));
            }
        }
    }

    #[test]
    fn a_stream_comes_back_as_it_was(
        pieces in vec(prop_oneof![vec(0_u8..4, 0..40_000), vec(any::<u8>(), 0..2_000)], 0..6),
    ) {
        let body = pieces.concat();
        for encoding in [Identity, Br, Zstd, Gzip] {
            let source = pieces.iter().map(|piece| Ok(piece.clone().into())).collect();
            let (bytes, errors) = streamed(encoding, source);
            prop_assert!(errors.is_empty());
            prop_assert_eq!(&decompress(encoding, &bytes).unwrap(), &body);
        }
    }
}

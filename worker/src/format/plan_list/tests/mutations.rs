//! Broken feeds by the thousand, always the same ones.

use super::{fixture, fixtures, read_within};
use crate::format::{Limits, ParseError};

/// `SplitMix64` (Steele, Lea and Flood, 2014): no dependency, the same numbers everywhere.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as usize % limit
    }
}

/// Pieces that mean something to an XML parser or to this format.
const PIECES: [&[u8]; 24] = [
    b"<",
    b">",
    b"/>",
    b"\"",
    b"'",
    b"&",
    b"&#0;",
    b"&#x110000;",
    b"&amp;",
    b"]]>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"<!DOCTYPE x [",
    b"<?xml",
    b"?>",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"=",
    b"</plan>",
    b"<zone price='1'>",
    b"99999999999999999999",
    b"9999-12-31T23:59:60",
];

fn mutate(feed: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(feed.len() + 1);
        let end = (at + numbers.below(40)).min(feed.len());
        match numbers.below(12) {
            0 if at < feed.len() => feed[at] ^= 1 << numbers.below(8),
            1 => drop(feed.drain(at..end)),
            2 => {
                let copy = feed[at..end].to_vec();
                let to = numbers.below(feed.len() + 1);
                feed.splice(to..to, copy);
            }
            3 => feed.truncate(at),
            4 => drop(feed.splice(at..at, PIECES[numbers.below(PIECES.len())].iter().copied())),
            // Most of the time another letter or digit in a value, which leaves the document whole.
            _ => {
                let mut rest = feed.iter_mut().skip(at);
                if let Some(digit) = rest.find(|byte| byte.is_ascii_digit()) {
                    *digit = b"0123456789-. x"[numbers.below(14)];
                }
            }
        }
    }
}

#[test]
fn mutated_feeds_never_panic_and_never_yield_a_broken_event() {
    let limits = Limits {
        batch_events: 3,
        max_set_aside: 2,
        ..Limits::default()
    };
    let mut names: Vec<_> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut numbers = Numbers(20_210_931);
    let (mut read, mut refused, mut events) = (0, 0, 0);
    for name in names {
        let original = fixture(&name);
        for _ in 0..80 {
            let mut feed = original.clone();
            mutate(&mut feed, &mut numbers);
            let result = match read_within(&feed, &limits) {
                Ok(result) => result,
                Err(error) => {
                    assert!(!matches!(error, ParseError::Read(_) | ParseError::Stopped));
                    refused += 1;
                    continue;
                }
            };
            read += 1;
            events += result.events.len();
            for event in result.events {
                for text in [&event.base_id, &event.event_id, &event.title] {
                    assert!(!text.trim().is_empty() && !text.contains('\0'), "{event:?}");
                }
                assert!(
                    event.ends_at.is_none_or(|end| end >= event.starts_at),
                    "{event:?}"
                );
                assert_eq!(event.ends_at.is_some(), event.ends_local.is_some());
                let prices = || event.zones.iter().filter_map(|zone| zone.price);
                assert_eq!(event.min_price, prices().min(), "{event:?}");
                assert_eq!(event.max_price, prices().max(), "{event:?}");
                assert!(event.min_price.is_none_or(|price| price >= 0), "{event:?}");
            }
            for item in result.set_aside {
                assert!(item.position > 0 && item.snippet.len() <= 512 + '…'.len_utf8());
            }
        }
    }
    // A generator that breaks every feed, or none, would test nothing.
    assert!(
        read > 500 && refused > 1000 && events > 1000,
        "{read} {refused} {events}"
    );
}

//! What is fuzzed, within bounds: the same properties over the fixtures, what fuzzing has
//! found worth keeping, and some thousands of mutations that are always the same ones.

#[path = "../../fuzz/properties/caching.rs"]
mod caching;
#[path = "../../fuzz/properties/plan_list.rs"]
mod plan_list;

use std::path::Path;

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

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// The files of a folder below the crate's, in the order of their names.
fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

const NAMES: [&str; 16] = [
    "base_plan_id",
    "plan_id",
    "title",
    "sell_mode",
    "organizer_company_id",
    "plan_start_date",
    "plan_end_date",
    "sell_from",
    "sell_to",
    "sold_out",
    "zone_id",
    "capacity",
    "price",
    "max_price",
    "name",
    "numbered",
];

const VALUES: [&str; 24] = [
    "",
    " ",
    "1",
    " 1 ",
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.9999999",
    "9999-12-31T23:59:59-23:59",
    "2011-12-30T12:00:00",
    "2021-03-28T02:30:00",
    "2021-09-31T00:00:00",
    "2020-02-29 24:00:00",
    "1900-01-01T00:00:00Z",
    "true",
    "ONLINE",
    "0.00001",
    "922337203685477.5807",
    "922337203685477.5808",
    "99999999999999999999999999",
    "&#10;&#x9;a&amp;b",
    "&#0;",
    "a 24 bytes long value...",
    "a value of 25 bytes, yes..",
    "ééééééééééééééééééééééééééééééééééééé",
];

const PIECES: [&[u8]; 22] = [
    b"<",
    b">",
    b"/>",
    b"\"",
    b"&",
    b"]]>",
    b"<!-- -- -->",
    b"<!-- \xff -->",
    b"<![CDATA[<plan/>]]>",
    b"<!DOCTYPE x [<!ENTITY y 'z'>]>",
    b"<?xml version='1.0' encoding='UTF-16'?>",
    b"<?xml version='1.0' encoding='Shift_JIS'?>",
    b"<?x?>",
    b"\0",
    b"\x0b",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"<plan plan_id='9' plan_start_date='2021-06-30T21:00:00'/>",
    b"<zone price='1'/>",
    b"<output>",
    b"</output>",
];

/// Changes a feed by its tags and attributes, so that most of what comes of it is still a document.
fn mutate(feed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut tags = vec![Vec::new()];
    for byte in feed {
        if *byte == b'<' {
            tags.push(Vec::new());
        }
        tags.last_mut().unwrap().push(*byte);
    }
    for _ in 0..=numbers.below(3) {
        let (at, other) = (numbers.below(tags.len()), numbers.below(tags.len()));
        match numbers.below(32) {
            0 => tags.swap(at, other),
            1 => tags.insert(at, tags[other].clone()),
            2 if tags.len() > 1 => drop(tags.remove(at)),
            3 => tags.insert(at, numbers.pick(&PIECES).to_vec()),
            4 => tags.truncate(at + 1),
            5 => {
                let bit = 1 << numbers.below(8);
                let within = numbers.below(tags[at].len().max(1));
                if let Some(byte) = tags[at].get_mut(within) {
                    *byte ^= bit;
                }
            }
            6 => {
                let within = numbers.below(tags[at].len() + 1);
                let piece = numbers.pick(&PIECES);
                tags[at].splice(within..within, piece.iter().copied());
            }
            // One that opens and closes again, with all that stands between.
            7 => {
                let (from, to) = (at.min(other), at.max(other));
                let copy = tags[from..to].to_vec();
                tags.splice(from..from, copy);
            }
            8..16 => set_name(&mut tags[at], numbers),
            _ => set_value(&mut tags[at], numbers),
        }
    }
    let mutated = tags.concat();
    match (numbers.below(20), String::from_utf8(mutated)) {
        (0, Ok(text)) => in_utf16(&text, u16::to_le_bytes),
        (1, Ok(text)) => in_utf16(&text, u16::to_be_bytes),
        (_, Ok(text)) => text.into_bytes(),
        (_, Err(error)) => error.into_bytes(),
    }
}

fn in_utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let marked = std::iter::once(0xFEFF).chain(text.encode_utf16());
    marked.flat_map(bytes).collect()
}

/// Where a tag's attributes have their values, quotes excluded.
fn values(tag: &[u8]) -> Vec<std::ops::Range<usize>> {
    let quotes: Vec<usize> = (0..tag.len()).filter(|at| tag[*at] == b'"').collect();
    quotes
        .chunks_exact(2)
        .map(|pair| pair[0] + 1..pair[1])
        .collect()
}

fn set_value(tag: &mut Vec<u8>, numbers: &mut Numbers) {
    let values = values(tag);
    if !values.is_empty() {
        let value = numbers.pick(&VALUES).bytes();
        tag.splice(values[numbers.below(values.len())].clone(), value);
    }
}

fn set_name(tag: &mut Vec<u8>, numbers: &mut Numbers) {
    let values = values(tag);
    if !values.is_empty() {
        let end = values[numbers.below(values.len())].start.saturating_sub(2);
        let start = tag[..end].iter().rposition(|byte| *byte == b' ');
        tag.splice(
            start.map_or(0, |at| at + 1)..end,
            numbers.pick(&NAMES).bytes(),
        );
    }
}

#[test]
fn what_holds_of_feeds_holds_of_what_fuzzing_came_across() {
    let found = files("fuzz/corpus/plan_list");
    let read = found.iter().filter(|feed| plan_list::holds(feed).is_ok());
    let read = read.count();
    let refused = found.len() - read;
    assert!(read > 5 && refused > 100, "{read} {refused}");
}

#[test]
fn what_holds_of_feeds_holds_of_mutations() {
    let mut numbers = Numbers(20_210_931);
    let (mut read, mut refused, mut events) = (0, 0, 0);
    for feed in files("fixtures/plan_list") {
        let _ = plan_list::holds(&feed);
        for _ in 0..100 {
            match plan_list::holds(&mutate(&feed, &mut numbers)) {
                Ok(of_it) => (read, events) = (read + 1, events + of_it),
                Err(()) => refused += 1,
            }
        }
    }
    // A generator that breaks every feed, or none, would test nothing.
    assert!(
        read > 2_000 && refused > 1_000 && events > 2_500,
        "{read} {refused} {events}"
    );
}

const DIRECTIVES: [&str; 20] = [
    "max-age=",
    "max-age",
    "60",
    "0",
    "99999999999999999999",
    "-1",
    ",",
    " ",
    "\"",
    "\\",
    "=",
    "no-cache",
    "no-store",
    "private",
    "Thu, 01 Jan 2026 10:00:00 GMT",
    "Fri, 15 Jan 2027 08:10:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Thursday, 01-Jan-26 10:00:00 GMT",
    "Thu Jan  1 10:00:00 2026",
    "Thu, 01 Jan -262143 10:00:00 GMT",
];

#[test]
fn what_holds_of_caching_holds_of_whatever_providers_say() {
    let mut numbers = Numbers(20_270_115);
    let mut said = 0;
    for _ in 0..20_000 {
        let mut head = Vec::new();
        for _ in 0..=numbers.below(4) {
            head.push(b"abcde"[numbers.below(5)]);
            for _ in 0..=numbers.below(3) {
                head.extend_from_slice(numbers.pick(&DIRECTIVES).as_bytes());
            }
            head.push(b'\n');
        }
        said += usize::from(caching::holds(&head));
    }
    let found = files("fuzz/corpus/caching");
    let says = found.iter().filter(|head| caching::holds(head)).count();
    assert!(
        (2_000..18_000).contains(&said) && says > 10,
        "{said} {says}"
    );
}

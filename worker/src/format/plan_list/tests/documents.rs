//! Which documents are read at all.

use std::fmt::Write as _;
use std::io::{self, BufReader, Read as _};
use std::ops::ControlFlow;

use jiff::tz::TimeZone;

use super::{chain, fixture, read, read_within};
use crate::format::{Context, Fault, Format, Limits, ParseError, parse};

fn error(name: &str) -> ParseError {
    match read(fixture(name)) {
        Err(error) => error,
        Ok(read) => panic!("{name} was read: {} events", read.events.len()),
    }
}

#[test]
fn a_document_that_is_not_well_formed_is_refused() {
    for name in [
        "planList_malformed.xml",
        "truncated_between_tags.xml",
        "truncated_within_tag.xml",
        "two_roots.xml",
        "text_after_root.xml",
        "declaration_after_blank.xml",
        "duplicate_attribute.xml",
        "duplicate_attribute_in_unknown_element.xml",
        "unescaped_ampersand.xml",
        "character_nul.xml",
        "character_control.xml",
        "doctype_with_entity_used.xml",
        "doctype_with_file_used.xml",
    ] {
        let error = error(name);
        assert!(
            matches!(error, ParseError::NotWellFormed { .. }),
            "{name}: {}",
            chain(&error)
        );
    }
}

#[test]
fn an_error_tells_the_line_and_the_rule() {
    let ParseError::NotWellFormed { line, .. } = error("planList_malformed.xml") else {
        panic!("not the expected kind of error");
    };
    assert_eq!(line, 7);
    assert!(chain(&error("planList_malformed.xml")).contains("expected `</plan>`"));
    assert!(matches!(
        error("truncated_between_tags.xml"),
        ParseError::NotWellFormed {
            source: Fault::CutOff,
            ..
        }
    ));
}

#[test]
fn what_is_no_document_of_this_format_is_refused() {
    for (name, expected) in [
        (
            "html_page.xml",
            "the root element is `html`, expected `planList` or `eventList`",
        ),
        (
            "fsfe_event_20220609-03.en.xml",
            "the root element is `eventset`, expected `planList` or `eventList`",
        ),
        (
            "reverbnation_shows.rss",
            "the root element is `rss`, expected `planList` or `eventList`",
        ),
        (
            "json_body.xml",
            r#"the feed is not XML: it starts with `{"error": "maintenance", "html": "<b>soo…`"#,
        ),
        (
            "icalendar_invalid_start.ics",
            r"the feed is not XML: it starts with `BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:tes…`",
        ),
        (
            "text_before_root.xml",
            "the feed is not XML: it starts with `Warning: Undefined variable in feed.php\\…`",
        ),
        (
            "empty_body.xml",
            "the feed is empty, expected an XML document",
        ),
        (
            "blank_body.xml",
            "the feed is empty, expected an XML document",
        ),
        (
            "encoding_unknown.xml",
            "the declared encoding `klingon` is not known",
        ),
        ("not_utf_8.xml", "the text at line 3 is not UTF-8"),
    ] {
        assert_eq!(error(name).to_string(), expected, "{name}");
    }
}

#[test]
fn every_encoding_gives_the_same_events() {
    let expected = read(fixture("utf_8_with_mark.xml")).unwrap().events;
    assert_eq!(expected[0].title, "Óssa – Ñandú");
    for name in ["utf_16_le.xml", "utf_16_be.xml", "windows_1252.xml"] {
        assert_eq!(read(fixture(name)).unwrap().events, expected, "{name}");
    }
    let latin_1 = read(fixture("latin_1.xml")).unwrap().events;
    assert_eq!(latin_1[0].title, "Óssa Ñandú");
}

#[test]
fn a_doctype_is_allowed_and_nothing_of_it_is_used() {
    assert_eq!(read(fixture("doctype_unused.xml")).unwrap().events.len(), 1);
}

/// Every prefix of a document is a feed that was cut off: none may pass for a whole one.
#[test]
fn a_feed_cut_at_any_byte_is_refused() {
    for name in ["planList_partially_valid.xml", "utf_16_le.xml"] {
        let whole = fixture(name);
        let end = whole.len() - whole.iter().rev().take_while(|byte| **byte != b'>').count();
        for length in 0..end {
            assert!(read(&whole[..length]).is_err(), "{name} cut at {length}");
        }
        assert!(read(&whole).is_ok(), "{name}");
    }
}

/// However the bytes arrive, the same is read.
#[test]
fn chunks_of_any_size_give_the_same_events() {
    for name in [
        "planList_response_1.xml",
        "utf_16_be.xml",
        "utf_8_with_mark.xml",
        "doctype_unused.xml",
    ] {
        let feed = fixture(name);
        let expected = read(&feed).unwrap().events;
        for size in [1, 2, 3, 7, 64] {
            let limits = &Limits::default();
            let timezone = &TimeZone::get("Europe/Madrid").unwrap();
            let mut events = Vec::new();
            let reader = BufReader::with_capacity(size, &feed[..]);
            parse(
                Format::PlanList,
                reader,
                &Context { timezone, limits },
                &mut |batch| {
                    events.extend(batch.events);
                    ControlFlow::Continue(())
                },
            )
            .unwrap();
            assert_eq!(events, expected, "{name} in chunks of {size}");
        }
    }
}

#[test]
fn a_feed_past_a_limit_is_refused() {
    let limits = Limits {
        max_depth: 4,
        max_attributes: 3,
        max_attribute_bytes: 10,
        max_token_bytes: 100,
        ..Limits::default()
    };
    let refused = |inner: &str| match read_within(format!("<planList>{inner}</planList>"), &limits)
    {
        Err(ParseError::LimitExceeded { what, limit, .. }) => format!("{what} {limit}"),
        Err(error) => panic!("{inner}: {}", chain(&error)),
        Ok(_) => String::new(),
    };
    assert_eq!(refused("<a><b><c/></b></a>"), "");
    assert_eq!(refused("<a><b><c><d/></c></b></a>"), "");
    assert_eq!(
        refused("<a><b><c><d></d></c></b></a>"),
        "the depth of elements 4"
    );
    assert_eq!(refused("<a b='' c='' d=''/>"), "");
    assert_eq!(
        refused("<a b='' c='' d='' e=''/>"),
        "the number of attributes 3"
    );
    assert_eq!(refused("<a b='1234567890'/>"), "");
    assert_eq!(
        refused("<a b='12345678901'/>"),
        "the bytes of an attribute 10"
    );
    assert_eq!(refused(&"x".repeat(90)), "");
    for long in [
        "x".repeat(101),
        format!("<!--{}-->", "x".repeat(101)),
        format!("<{}/>", "x".repeat(101)),
    ] {
        assert_eq!(refused(&long), "the bytes of a tag or text 100");
    }
}

/// A tag that never ends costs the memory of the limit, not that of the feed.
#[test]
fn an_endless_tag_is_refused_after_its_limit() {
    let endless = io::Cursor::new("<planList ").chain(BufReader::new(io::repeat(b'a')));
    let limits = &Limits::default();
    let timezone = &TimeZone::UTC;
    let error = parse(
        Format::PlanList,
        endless,
        &Context { timezone, limits },
        &mut |_| ControlFlow::Continue(()),
    )
    .unwrap_err();
    assert!(matches!(
        error,
        ParseError::LimitExceeded {
            limit: 1_048_576,
            line: 1,
            ..
        }
    ));
}

#[test]
fn a_reader_that_fails_is_told_apart_from_a_bad_feed() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone"))
        }
    }
    let limits = &Limits::default();
    let timezone = &TimeZone::UTC;
    let context = Context { timezone, limits };
    for bytes in [0, 5, 2000] {
        let padding = " ".repeat(2000);
        let feed = format!("<planList>{padding}");
        let reader = io::Cursor::new(feed)
            .take(bytes)
            .chain(BufReader::new(Broken));
        let error = parse(Format::PlanList, reader, &context, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap_err();
        assert!(matches!(&error, ParseError::Read(cause) if cause.to_string() == "gone"));
    }
}

/// Memory follows the batch: a long feed arrives in many batches before its end is read.
#[test]
fn batches_arrive_while_the_feed_is_still_being_read() {
    let mut feed = String::from("<planList><output><base_plan base_plan_id='1' title='A'>");
    for id in 0..2000 {
        write!(
            feed,
            "<plan plan_id='{id}' plan_start_date='2021-06-30T21:00:00'/>"
        )
        .unwrap();
    }
    feed.push_str("</base_plan></output></planList>");
    let limits = &Limits::default();
    let timezone = &TimeZone::UTC;
    let consumed = std::cell::Cell::new(0);
    let reader = BufReader::with_capacity(1024, Counted(feed.as_bytes(), &consumed));
    let mut seen = Vec::new();
    parse(
        Format::PlanList,
        reader,
        &Context { timezone, limits },
        &mut |batch| {
            seen.push((batch.events.len(), consumed.get()));
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(seen.iter().map(|(events, _)| events).sum::<usize>(), 2000);
    assert_eq!(seen.len(), 4);
    assert!(seen[0].1 < feed.len() / 3, "{seen:?}");

    struct Counted<'a>(&'a [u8], &'a std::cell::Cell<usize>);
    impl io::Read for Counted<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(into)?;
            self.1.set(self.1.get() + read);
            Ok(read)
        }
    }
}

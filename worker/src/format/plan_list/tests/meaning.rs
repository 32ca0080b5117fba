//! What a feed means, a sentence each.

use chrono::{DateTime, Utc};

use super::{Read, fixture, read, read_within};
use crate::format::{Item, Limits, ParseError, Reason, SellMode, Spelling, WarningKind};

fn ids(read: &Read) -> Vec<(&str, &str)> {
    read.events
        .iter()
        .map(|event| (&*event.base_id, &*event.event_id))
        .collect()
}

fn reasons(read: &Read) -> Vec<Reason> {
    read.set_aside.iter().map(|item| item.reason).collect()
}

fn read_fixture(name: &str) -> Read {
    read(fixture(name)).unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn the_same_event_id_under_two_bases_is_two_events() {
    let read = read_fixture("same_event_id_under_two_bases.xml");
    assert_eq!(ids(&read), [("1", "1642"), ("2", "1642")]);
}

#[test]
fn an_identity_twice_in_one_feed_is_delivered_twice_in_order() {
    let read = read_fixture("event_twice.xml");
    assert_eq!(ids(&read), [("1", "2"), ("1", "2")]);
    assert!(read.events[0].starts_at < read.events[1].starts_at);
}

#[test]
fn prices_span_all_zones_repeated_ones_and_those_without_capacity_too() {
    let read = read_fixture("zone_repeated_or_without_capacity.xml");
    let event = &read.events[0];
    assert_eq!(event.zones.len(), 3);
    assert_eq!(event.min_price, Some(655_000));
    assert_eq!(event.max_price, Some(750_000));
}

#[test]
fn no_priced_zone_gives_no_price() {
    let read = read_fixture("zone_without_price.xml");
    assert_eq!(read.events[0].zones.len(), 1);
    assert_eq!(read.events[0].min_price, None);
    assert_eq!(read.events[0].max_price, None);
}

#[test]
fn a_zone_with_a_bad_price_is_set_aside_and_its_siblings_stay() {
    let read = read_fixture("zone_with_bad_price.xml");
    let zones: Vec<_> = read.events[0].zones.iter().map(|zone| zone.price).collect();
    assert_eq!(zones, [Some(200_000), Some(300_000)]);
    assert_eq!(reasons(&read), [Reason::BadPrice; 6]);
    for item in &read.set_aside {
        assert_eq!(item.item, Item::Zone);
        assert_eq!(item.identity, Some(("1".into(), "2".into())));
        assert_eq!(item.position, 1);
    }
    assert_eq!(
        read.set_aside[1].path,
        "planList/output/base_plan[1]/plan[1]/zone[3]"
    );
    assert_eq!(read.set_aside[1].snippet, r#"<zone zone_id="2" price=""/>"#);
}

#[test]
fn a_start_on_a_missing_day_sets_the_event_aside_with_its_identity() {
    let read = read_fixture("start_on_missing_day.xml");
    assert_eq!(ids(&read), [("1", "3")]);
    let item = &read.set_aside[0];
    assert_eq!(item.reason, Reason::NoSuchDay);
    assert_eq!(item.item, Item::Event);
    assert_eq!(item.identity, Some(("1".into(), "2".into())));
    assert_eq!(item.position, 1);
    assert_eq!(item.path, "planList/output/base_plan[1]/plan[1]");
    assert_eq!(
        item.snippet,
        r#"<plan plan_id="2" plan_start_date="2021-09-31T20:00:00"/>"#
    );
}

#[test]
fn an_end_on_a_missing_day_sets_the_event_aside() {
    let read = read_fixture("end_on_missing_day.xml");
    assert!(read.events.is_empty());
    assert_eq!(reasons(&read), [Reason::NoSuchDay]);
}

#[test]
fn missing_ids_set_the_event_aside_without_an_identity() {
    let read = read_fixture("ids_missing.xml");
    assert!(read.events.is_empty());
    assert_eq!(
        reasons(&read),
        [
            Reason::MissingBaseId,
            Reason::MissingEventId,
            Reason::MissingEventId
        ]
    );
    assert!(read.set_aside.iter().all(|item| item.identity.is_none()));
    assert_eq!(read.set_aside[0].snippet, r#"<base_plan title="A">"#);
}

#[test]
fn a_missing_title_sets_every_event_of_the_base_aside() {
    let read = read_fixture("title_missing.xml");
    assert!(read.events.is_empty());
    assert_eq!(reasons(&read), [Reason::MissingTitle; 2]);
    assert_eq!(read.set_aside[1].identity, Some(("1".into(), "3".into())));
}

#[test]
fn a_start_that_is_missing_or_no_time_sets_the_event_aside() {
    let read = read_fixture("start_missing.xml");
    assert_eq!(
        reasons(&read),
        [Reason::MissingStart, Reason::MissingStart, Reason::BadStart]
    );
}

#[test]
fn bad_sale_times_become_null_with_a_warning() {
    let read = read_fixture("sale_on_missing_day.xml");
    assert_eq!(read.events[0].sell_from, None);
    assert_eq!(read.events[0].sell_to, None);
    assert_eq!(read.summary.warnings[&WarningKind::BadSellFrom], 1);
    assert_eq!(read.summary.warnings[&WarningKind::BadSellTo], 1);
}

#[test]
fn bad_details_of_a_zone_become_null_with_a_warning() {
    let read = read_fixture("zone_with_bad_details.xml");
    let zones = &read.events[0].zones;
    assert_eq!(zones.len(), 2);
    assert_eq!((zones[0].capacity, zones[0].numbered), (None, None));
    assert_eq!((&zones[0].id, zones[1].id.as_deref()), (&None, Some("4")));
    assert_eq!(read.summary.warnings[&WarningKind::BadCapacity], 2);
    assert_eq!(read.summary.warnings[&WarningKind::BadNumbered], 1);
    assert_eq!(read.summary.warnings[&WarningKind::MissingZoneId], 1);
    assert_eq!(read.events[0].max_price, Some(20_000));
}

#[test]
fn a_missing_organizer_is_null_with_a_warning_and_a_missing_sell_mode_is_offline() {
    let read = read_fixture("organizer_and_sell_mode_missing.xml");
    assert_eq!(read.events[0].organizer_company_id, None);
    assert_eq!(read.events[0].sell_mode, SellMode::Offline);
    assert_eq!(read.summary.warnings.len(), 1);
    assert_eq!(read.summary.warnings[&WarningKind::MissingOrganizer], 1);
}

#[test]
fn an_unknown_sell_mode_is_offline_with_a_warning() {
    let read = read_fixture("sell_mode_unknown.xml");
    assert_eq!(read.events[0].sell_mode, SellMode::Offline);
    assert_eq!(read.summary.warnings[&WarningKind::BadSellMode], 1);
}

#[test]
fn an_end_before_the_start_or_that_is_no_time_becomes_null_with_a_warning() {
    let read = read_fixture("end_before_start.xml");
    let ends: Vec<_> = read.events.iter().map(|event| event.ends_at).collect();
    assert_eq!(ends, [None, Some(utc("2021-06-30T19:00:00Z")), None]);
    assert_eq!(read.events[0].ends_local, None);
    assert_eq!(read.summary.warnings[&WarningKind::EndBeforeStart], 1);
    assert_eq!(read.summary.warnings[&WarningKind::BadEnd], 1);
}

#[test]
fn sold_out_is_read_and_doubted() {
    let read = read_fixture("sold_out.xml");
    let sold_out: Vec<_> = read.events.iter().map(|event| event.sold_out).collect();
    assert_eq!(sold_out, [true, true, false]);
    assert_eq!(read.summary.warnings[&WarningKind::BadSoldOut], 1);
}

#[test]
fn naive_times_are_local_to_the_provider_and_offsets_are_honoured() {
    let naive = &read_fixture("start_on_missing_day.xml").events[0];
    let offset = &read_fixture("times_with_offset.xml").events[0];
    for event in [naive, offset] {
        assert_eq!(event.starts_at, utc("2021-06-30T19:00:00Z"));
        assert_eq!(event.starts_local.to_string(), "2021-06-30 21:00:00");
    }
    assert_eq!(offset.ends_at, Some(utc("2021-06-30T19:30:00Z")));
}

#[test]
fn times_that_clocks_skip_or_repeat_resolve_as_rfc_5545_says() {
    let read = read_fixture("times_skipped_and_repeated.xml");
    assert_eq!(read.events[0].starts_at, utc("2021-03-28T01:30:00Z"));
    assert_eq!(read.events[1].starts_at, utc("2021-10-31T00:30:00Z"));
}

#[test]
fn the_oldest_spelling_has_a_start_but_no_end_and_calls_the_price_max_price() {
    let read = read_fixture("eventList_2020_event_date.xml");
    assert_eq!(read.summary.spelling, Spelling::EventDate);
    assert_eq!(read.events.len(), 3);
    assert!(read.events.iter().all(|event| event.ends_at.is_none()));
    assert_eq!(read.events[0].starts_at, utc("2019-06-30T19:00:00Z"));
    assert_eq!(read.events[0].min_price, Some(0));
    assert_eq!(read.events[0].max_price, Some(200_000));
}

#[test]
fn an_end_beside_a_single_date_is_not_read() {
    let read = read_fixture("old_and_older_spelling_mixed.xml");
    assert_eq!(read.events[0].ends_at, None);
    assert_eq!(read.events[0].max_price, Some(50_000));
    assert!(read.events[1].ends_at.is_some());
    assert_eq!(read.events[1].max_price, Some(60_000));
}

#[test]
fn both_later_spellings_tell_the_same() {
    for number in 1..=3 {
        let plans = read_fixture(&format!("planList_response_{number}.xml"));
        let events = read_fixture(&format!("eventList_response_{number}.xml"));
        assert_eq!(plans.summary.spelling, Spelling::PlanList);
        assert_eq!(events.summary.spelling, Spelling::EventList);
        let plans: Vec<_> = plans
            .events
            .into_iter()
            .filter(|event| event.event_id != "1643")
            .collect();
        assert!(!plans.is_empty());
        assert_eq!(plans, events.events);
    }
}

#[test]
fn unknown_elements_and_attributes_are_ignored() {
    let read = read_fixture("unknown_elements_and_attributes.xml");
    assert_eq!(ids(&read), [("1", "2")]);
    assert_eq!(read.events[0].zones.len(), 1);
    assert_eq!(read.events[0].max_price, Some(200_000));
    assert!(read.set_aside.is_empty());
    assert!(read.summary.warnings.is_empty());
}

#[test]
fn misplaced_events_are_set_aside_and_keep_their_identity() {
    let read = read_fixture("misplaced_elements.xml");
    assert_eq!(ids(&read), [("2", "4"), ("2", "7")]);
    assert_eq!(read.events[0].max_price, Some(20_000));
    let found: Vec<_> = read
        .set_aside
        .iter()
        .map(|item| {
            let identity = item.identity.as_ref();
            (
                item.position,
                identity.map(|(base, event)| (&**base, &**event)),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (1, None),
            (2, Some(("1", "2"))),
            (3, None),
            (5, Some(("2", "5"))),
            (6, Some(("3", "6"))),
            (8, Some(("4", "8"))),
        ]
    );
    assert_eq!(
        read.set_aside[5].path,
        "planList/output[2]/base_plan[1]/plan[1]"
    );
    assert_eq!(read.summary.warnings[&WarningKind::MisplacedZone], 2);
}

#[test]
fn values_are_normalised_and_trimmed() {
    let read = read_fixture("references_and_white_space.xml");
    assert_eq!(ids(&read), [("1", "2")]);
    assert_eq!(read.events[0].title, "Tom & Jerry “Live\" <3");
}

#[test]
fn comments_cdata_and_instructions_are_harmless() {
    let read = read_fixture("comments_cdata_instructions.xml");
    assert_eq!(ids(&read), [("1", "2")]);
    assert_eq!(read.events[0].max_price, Some(10_000));
}

#[test]
fn a_feed_without_events_is_a_feed() {
    for name in [
        "planList_empty.xml",
        "root_without_content.xml",
        "base_without_events.xml",
    ] {
        let read = read_fixture(name);
        assert_eq!(read.summary.events + read.summary.set_aside, 0, "{name}");
    }
}

#[test]
fn ids_and_titles_past_their_limit_set_the_event_aside() {
    let feed = |base: usize, event: usize, title: usize| {
        let x = |length| "x".repeat(length);
        format!(
            "<planList><output><base_plan base_plan_id='{}' title='{}' organizer_company_id='1'>\
             <plan plan_id='{}' plan_start_date='2021-06-30T21:00:00'/></base_plan></output></planList>",
            x(base),
            x(title),
            x(event)
        )
    };
    assert_eq!(read(feed(255, 255, 4096)).unwrap().events.len(), 1);
    for (feed, known) in [
        (feed(256, 1, 1), false),
        (feed(1, 256, 1), false),
        (feed(1, 1, 4097), true),
    ] {
        let read = read(feed).unwrap();
        assert_eq!(reasons(&read), [Reason::TooLong]);
        assert_eq!(read.set_aside[0].identity.is_some(), known);
        assert!(read.set_aside[0].snippet.len() < 520);
    }
}

#[test]
fn an_event_with_too_many_zones_is_set_aside_once() {
    let limits = Limits {
        max_zones_per_event: 2,
        ..Limits::default()
    };
    let feed = |zones: usize| {
        format!(
            "<planList><output><base_plan base_plan_id='1' title='A'>\
             <plan plan_id='2' plan_start_date='2021-06-30T21:00:00'>{}</plan>\
             </base_plan></output></planList>",
            "<zone zone_id='1' price='1'/>".repeat(zones)
        )
    };
    assert_eq!(read_within(feed(2), &limits).unwrap().events.len(), 1);
    let read = read_within(feed(5), &limits).unwrap();
    assert_eq!(read.events, []);
    assert_eq!(reasons(&read), [Reason::TooManyZones]);
    assert_eq!(read.set_aside[0].identity, Some(("1".into(), "2".into())));
    assert!(
        !read
            .summary
            .warnings
            .contains_key(&WarningKind::MisplacedZone)
    );
}

#[test]
fn past_the_limit_items_set_aside_keep_only_their_identity_and_reason() {
    let limits = Limits {
        max_set_aside: 1,
        batch_events: 1,
        ..Limits::default()
    };
    let read = read_within(fixture("title_missing.xml"), &limits).unwrap();
    assert_eq!(read.set_aside.len(), 2);
    assert!(!read.set_aside[0].snippet.is_empty());
    assert_eq!(read.set_aside[1].snippet, "");
    assert_eq!(read.set_aside[1].path, "");
    assert_eq!(read.set_aside[1].identity, Some(("1".into(), "3".into())));
    assert_eq!(read.summary.set_aside_by_reason[&Reason::MissingTitle], 2);
}

#[test]
fn a_sink_that_breaks_stops_the_reading() {
    use std::ops::ControlFlow;
    let limits = &Limits {
        batch_events: 2,
        ..Limits::default()
    };
    let timezone = &jiff::tz::TimeZone::UTC;
    let mut batches = 0;
    let stopped = crate::format::parse(
        crate::format::Format::PlanList,
        &fixture("planList_response_1.xml")[..],
        &crate::format::Context { timezone, limits },
        &mut |batch| {
            batches += 1;
            assert_eq!(batch.events.len(), 2);
            ControlFlow::Break(())
        },
    );
    assert!(matches!(stopped, Err(ParseError::Stopped)));
    assert_eq!(batches, 1);
}

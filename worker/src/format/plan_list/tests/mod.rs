//! Whole feeds through the parser.

mod documents;
mod meaning;
mod mutations;

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;

use jiff::tz::TimeZone;

use crate::format::{Batch, Context, Event, Format, Limits, ParseError, SetAside, Summary, parse};

/// Everything that one feed came to.
struct Read {
    events: Vec<Event>,
    set_aside: Vec<SetAside>,
    summary: Summary,
}

/// Reads a feed of a provider in Madrid.
fn read(feed: impl AsRef<[u8]>) -> Result<Read, ParseError> {
    read_within(feed, &Limits::default())
}

fn read_within(feed: impl AsRef<[u8]>, limits: &Limits) -> Result<Read, ParseError> {
    let timezone = &TimeZone::get("Europe/Madrid").unwrap();
    let context = Context { timezone, limits };
    let (mut events, mut set_aside) = (Vec::new(), Vec::new());
    let summary = parse(
        Format::PlanList,
        feed.as_ref(),
        &context,
        &mut |batch: Batch| {
            let items = batch.events.len() + batch.set_aside.len();
            assert!((1..=limits.batch_events).contains(&items));
            events.extend(batch.events);
            set_aside.extend(batch.set_aside);
            ControlFlow::Continue(())
        },
    )?;
    assert_eq!(summary.events, events.len() as u64);
    assert_eq!(summary.set_aside, set_aside.len() as u64);
    Ok(Read {
        events,
        set_aside,
        summary,
    })
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/plan_list")
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |chain, cause| {
        format!("{chain}: {cause}")
    })
}

#[test]
fn every_fixture_reads_as_its_snapshot() {
    let mut names: Vec<String> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() > 50, "fixtures are missing: {names:?}");
    for name in names {
        let told = match read(fixture(&name)) {
            Ok(read) => told(&read),
            Err(error) => format!("error: {}\n", chain(&error)),
        };
        let settings = {
            let mut settings = insta::Settings::clone_current();
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings.set_snapshot_path("../snapshots");
            settings
        };
        settings.bind(|| insta::assert_snapshot!(name, told));
    }
}

/// A feed's records, a line each.
fn told(read: &Read) -> String {
    let mut told = String::new();
    for event in &read.events {
        let or_null = |time: Option<String>| time.unwrap_or_else(|| "null".into());
        let instant = |time: Option<chrono::DateTime<chrono::Utc>>| {
            or_null(time.map(|time| time.format("%FT%T%.fZ").to_string()))
        };
        write!(
            told,
            "event {:?}/{:?} {:?}\n  starts {} local {}\n  ends {} local {}\n  sale {} to {}\n  \
             sold_out {} sell_mode {} organizer {:?} price {:?} to {:?}\n",
            event.base_id,
            event.event_id,
            event.title,
            instant(Some(event.starts_at)),
            event.starts_local,
            instant(event.ends_at),
            or_null(event.ends_local.map(|time| time.to_string())),
            instant(event.sell_from),
            instant(event.sell_to),
            event.sold_out,
            event.sell_mode.as_str(),
            event.organizer_company_id,
            event.min_price,
            event.max_price,
        )
        .unwrap();
        for zone in &event.zones {
            writeln!(told, "  zone {}", serde_json::to_string(zone).unwrap()).unwrap();
        }
    }
    for item in &read.set_aside {
        let SetAside {
            position,
            path,
            item,
            reason,
            identity,
            snippet,
        } = item;
        writeln!(
            told,
            "set aside {item:?} #{position} at {path}: {reason} ({}), identity {identity:?}\n  {snippet}",
            reason.slug()
        )
        .unwrap();
    }
    let Summary {
        spelling, warnings, ..
    } = &read.summary;
    for (warning, count) in warnings {
        writeln!(told, "{count} × {warning} ({})", warning.slug()).unwrap();
    }
    writeln!(
        told,
        "{spelling:?}: {} events, {} set aside {:?}",
        read.summary.events, read.summary.set_aside, read.summary.set_aside_by_reason
    )
    .unwrap();
    told
}

//! A look at what a sync would do: it tells what the sync then does, and writes nothing.

use std::path::PathBuf;
use std::str::FromStr;

use entity::event::Content;
use entity::provider;
use entity::run::Outcome;
use jiff::tz::TimeZone;
use worker::fetch::{Fetcher, Limits, Request};
use worker::format::Format;
use worker::{Check, CheckError, Checked, Subject, check};

use crate::feeds::{Answer, Feeds, base, feed, upcoming, upcoming_feed};
use crate::on_both_databases;
use crate::truth::{content, start};
use crate::world::{PATIENCE, World, fetch_config};

on_both_databases!(
    a_check_tells_what_the_sync_that_follows_it_does,
    a_check_of_what_is_served_tells_the_same_round_after_round,
    a_check_asks_without_condition_and_reads_also_what_is_remembered,
    a_check_shows_the_first_few_of_each_kind,
    a_check_of_a_file_is_that_of_the_same_feed,
    a_check_fails_with_what_a_sync_would_fail_with,
);

const NAME: &str = "acme";

fn request(provider: &provider::Model) -> Request<'_> {
    Request {
        url: &provider.url,
        timeout: PATIENCE,
        max_body: None,
        access: &provider.access,
        etag: provider.etag.as_deref(),
        last_modified: provider.last_modified.as_deref(),
    }
}

async fn look(
    world: &World,
    name: &str,
    file: Option<PathBuf>,
    few: usize,
) -> Result<Checked, CheckError> {
    let provider = world.provider(name).await;
    let subject = match file {
        Some(path) => Subject::File {
            path,
            max_body: None,
        },
        None => Subject::Fetched(request(&provider)),
    };
    let asked = Check {
        subject,
        format: Format::from_str(&provider.format).unwrap(),
        timezone: TimeZone::get(&provider.timezone).unwrap(),
        limits: &world.tools.format,
        against: Some((&world.db, &provider)),
        few,
    };
    let before = world.everything().await;
    let told = check(&world.tools.http, &asked).await;
    assert_eq!(world.everything().await, before, "it writes nothing");
    assert_eq!(world.tools.http.spools().on_disk(), 0);
    told
}

/// Looks, syncs, and compares the two.
async fn tells_the_truth(world: &World, name: &str) -> Checked {
    let told = look(world, name, None, usize::MAX).await.unwrap();
    let before = world.events(name).await;
    let (finish, run) = world.sync(name).await;
    assert_eq!(finish.outcome, Outcome::Stored, "{:?}", finish.error);
    assert_eq!(told.counts, finish.counts);
    assert_eq!(Some(told.bytes), finish.bytes);
    assert_eq!(told.wire_bytes, finish.wire_bytes);
    assert_eq!(told.http_status, finish.http_status);
    assert_eq!(told.moved_to, finish.moved_to);
    let counts = &told.counts;
    assert_eq!(told.added.len() as u64, counts.new);
    assert_eq!(told.gone.len() as u64, counts.gone + counts.held);
    assert_eq!(told.set_aside.len() as u64, counts.set_aside);
    // Whatever the run logged as changed was shown with the same difference.
    let logged = world.changes(run.id).await.into_iter();
    let mut logged: Vec<_> = logged
        .filter_map(|change| Some((change.event_id, change.changes?)))
        .filter(|(_, changes)| changes.as_object().is_some_and(|it| !it.is_empty()))
        .collect();
    logged.sort_by_key(|(id, _)| *id);
    let shown = told.changed.iter().map(|changed| {
        let Content {
            base_id, event_id, ..
        } = &changed.content;
        let id = entity::event::id(name, base_id, event_id);
        (id, changed.changes.clone().into())
    });
    assert_eq!(shown.collect::<Vec<_>>(), logged);
    let after: Vec<_> = world.events(name).await.into_iter().map(content).collect();
    let stored = told
        .added
        .iter()
        .chain(told.changed.iter().map(|it| &it.content));
    assert!(stored.into_iter().all(|event| after.contains(event)));
    let before: Vec<_> = before.into_iter().map(content).collect();
    assert!(told.gone.iter().all(|event| before.contains(event)));
    told
}

async fn serve(world: &World, feed: String) -> Feeds {
    let feeds = Feeds::start(Answer::feed(feed)).await;
    world.add(NAME, &feeds.url).await;
    feeds
}

async fn a_check_tells_what_the_sync_that_follows_it_does(world: World) {
    let feeds = serve(&world, upcoming_feed(0..60)).await;
    let told = tells_the_truth(&world, NAME).await;
    assert_eq!((told.counts.new, told.http_status), (60, Some(200)));

    let bad = upcoming("9", "Nine").replace("2999-06-30T21", "2999-06-31T21")
        + &upcoming("200", "No price").replace("20.00", "much");
    let changed = upcoming_feed((0..9).chain(15..60).chain(100..104))
        .replace("\"Event 20\"", "\"Twenty\"")
        .replace("</output>", &format!("{bad}</output>"));
    feeds.answer(Answer::feed(changed));
    let counts = tells_the_truth(&world, NAME).await.counts;
    assert_eq!((counts.new, counts.changed, counts.gone), (5, 1, 5));
    assert_eq!((counts.set_aside, counts.unchanged), (2, 53));
    assert_eq!(counts.set_aside_reasons.len(), 2);

    let back = upcoming_feed(0..60).replace("\"Event 10\"", "\"Ten\"");
    feeds.answer(Answer::feed(back));
    let counts = tells_the_truth(&world, NAME).await.counts;
    assert_eq!((counts.returned, counts.changed, counts.gone), (5, 1, 5));

    feeds.answer(Answer::feed(upcoming_feed(50..60)));
    let told = tells_the_truth(&world, NAME).await;
    assert_eq!((told.counts.held, told.counts.gone), (50, 0));
    assert_eq!(told.gone.len(), 50);
    let again = tells_the_truth(&world, NAME).await;
    assert_eq!(again.counts, told.counts);

    feeds.answer(Answer::feed(upcoming_feed(5..60)));
    let counts = tells_the_truth(&world, NAME).await.counts;
    assert_eq!((counts.held, counts.gone, counts.changed), (0, 5, 1));
}

async fn a_check_of_what_is_served_tells_the_same_round_after_round(world: World) {
    let simulated = start(200);
    simulated.add_all(&world).await;
    let names = simulated.simulator.provider_names();
    for step in [0, 1, 60] {
        for _ in 0..step {
            simulated.simulator.advance();
        }
        for name in &names[..3] {
            tells_the_truth(&world, name).await;
        }
    }
}

async fn a_check_asks_without_condition_and_reads_also_what_is_remembered(world: World) {
    let feeds = serve(&world, String::new()).await;
    feeds.answer(Answer::feed(upcoming_feed(0..3)).with("etag", "\"v1\""));
    tells_the_truth(&world, NAME).await;
    let told = look(&world, NAME, None, 1).await.unwrap();
    assert_eq!((told.counts.new, told.counts.unchanged), (0, 3));
    let asked = feeds.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|it| !it.contains_key("if-none-match")));
}

async fn a_check_shows_the_first_few_of_each_kind(world: World) {
    let feeds = serve(&world, upcoming_feed(0..30)).await;
    world.sync(NAME).await;
    let bad: String = (0..5)
        .map(|number| upcoming(&format!("5{number}"), "Bad").replace("2999-06-30T21", "soon"))
        .collect();
    let changed = upcoming_feed((5..30).chain(100..110))
        .replace("\"Event 1", "\"Number 1")
        .replace("</output>", &format!("{bad}</output>"));
    feeds.answer(Answer::feed(changed));
    let all = look(&world, NAME, None, usize::MAX).await.unwrap();
    let lengths = |told: &Checked| {
        let Checked {
            added,
            changed,
            gone,
            set_aside,
            ..
        } = told;
        (added.len(), changed.len(), gone.len(), set_aside.len())
    };
    assert_eq!(lengths(&all), (10, 10, 5, 5));
    for few in [0, 1, 3] {
        let told = look(&world, NAME, None, few).await.unwrap();
        assert_eq!(told.counts, all.counts);
        assert_eq!(told.added, all.added[..few]);
        assert_eq!(told.changed, all.changed[..few]);
        assert_eq!(told.gone, all.gone[..few]);
        assert_eq!(told.set_aside, all.set_aside[..few]);
    }
    let positions: Vec<_> = all.set_aside.iter().map(|item| item.position).collect();
    assert_eq!(positions, [36, 37, 38, 39, 40]);
    let id = |event: &Content| entity::event::id(NAME, &event.base_id, &event.event_id);
    assert!(all.added.is_sorted_by_key(id) && all.gone.is_sorted_by_key(id));
    assert!(all.changed.is_sorted_by_key(|changed| id(&changed.content)));
    let keys = all.changed[0].changes.keys();
    assert_eq!(keys.collect::<Vec<_>>(), ["title"]);
}

async fn a_check_of_a_file_is_that_of_the_same_feed(world: World) {
    let feeds = serve(&world, upcoming_feed(0..30)).await;
    world.sync(NAME).await;
    let changed = upcoming_feed(3..33).replace("Event 4", "Four");
    feeds.answer(Answer::feed(changed.clone()));
    let fetched = look(&world, NAME, None, 2).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("feed.xml");
    std::fs::write(&file, changed).unwrap();
    let told = look(&world, NAME, Some(file), 2).await.unwrap();
    let expected = Checked {
        http_status: None,
        wire_bytes: None,
        fetch: told.fetch,
        parse: told.parse,
        compare: told.compare,
        ..fetched
    };
    assert_eq!(told, expected);
    assert_eq!(
        (told.counts.new, told.counts.gone, told.counts.changed),
        (3, 3, 1)
    );
}

async fn a_check_fails_with_what_a_sync_would_fail_with(mut world: World) {
    let feeds = serve(&world, "<planList>".to_owned()).await;
    for answer in [
        Answer::feed("<planList>"),
        Answer::status(500),
        Answer::feed("{}"),
    ] {
        feeds.answer(answer);
        let told = look(&world, NAME, None, 1).await.unwrap_err();
        let (finish, _) = world.sync(NAME).await;
        let error = finish.error.unwrap();
        assert!(error.starts_with(&told.to_string()), "{told}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("feed.xml");
    let told = look(&world, NAME, Some(file.clone()), 1).await.unwrap_err();
    let expected = format!("can't read {}: No such file", file.display());
    assert!(told.to_string().starts_with(&expected), "{told}");
    let told = look(&world, NAME, Some(folder.path().to_owned()), 1).await;
    assert!(matches!(told, Err(CheckError::File { .. })), "{told:?}");

    let limits = || Limits {
        body: 1000,
        ..Limits::default()
    };
    world.limit(limits());
    for (length, fits) in [(1000, true), (1001, false)] {
        let start = feed("");
        std::fs::write(
            &file,
            format!("{start}{}", " ".repeat(length - start.len())),
        )
        .unwrap();
        let told = look(&world, NAME, Some(file.clone()), 1).await;
        match told {
            Ok(told) => assert!(fits && told.bytes == 1000),
            Err(error) => {
                assert!(!fits);
                let expected = "the file exceeds the limit of 1000 bytes";
                assert_eq!(error.to_string(), expected);
            }
        }
    }
}

#[tokio::test]
async fn without_a_provider_everything_is_new() {
    let feeds = Feeds::start(Answer::feed(feed(&base("1", "One")))).await;
    let access = entity::provider::Access::default();
    let asked = Check {
        subject: Subject::Fetched(Request {
            url: &feeds.url,
            timeout: PATIENCE,
            max_body: None,
            access: &access,
            etag: None,
            last_modified: None,
        }),
        format: Format::PlanList,
        timezone: TimeZone::get("Asia/Tokyo").unwrap(),
        limits: &worker::format::Limits::default(),
        against: None,
        few: 10,
    };
    let http = Fetcher::new(fetch_config(Limits::default())).unwrap();
    let told = check(&http, &asked).await.unwrap();
    assert_eq!((told.counts.new, told.added.len()), (1, 1));
    let start = told.added[0].starts_at.to_rfc3339();
    assert_eq!(start, "2021-06-30T12:00:00+00:00");
    assert!(told.changed.is_empty() && told.gone.is_empty());
}

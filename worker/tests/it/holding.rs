//! Half a feed: most of what was there is not there any more, and stays nevertheless until somebody
//! confirms it or a feed has it again.

use entity::claim;
use entity::commit::Finish;
use entity::event;
use entity::event_change::Kind;
use entity::fan_out::{self, Request, Trigger};
use entity::provider::Hold;
use entity::run::{Model, Outcome};
use entity::search::{self, Search};

use crate::feeds::{Answer, Feeds, base, feed, upcoming, upcoming_feed};
use crate::on_both_databases;
use crate::world::{World, spec};

on_both_databases!(
    what_half_a_feed_lacks_is_held_and_nothing_of_it_shows,
    a_held_feed_is_not_remembered_and_goes_on_being_held,
    an_empty_feed_is_held,
    a_whole_feed_clears_the_marks_without_a_change,
    an_event_that_comes_back_otherwise_loses_its_mark_as_well,
    what_still_lacks_when_most_is_back_has_gone,
    only_more_than_half_and_more_than_twenty_are_held,
    events_that_are_over_do_not_count_towards_it,
    each_provider_has_thresholds_of_its_own,
    what_half_a_feed_has_is_stored,
    an_item_that_is_set_aside_is_not_missing,
    a_feed_that_fails_leaves_the_marks,
    a_run_with_leave_makes_what_was_held_gone,
    a_run_with_leave_reads_also_the_feed_that_is_remembered,
);

const NAME: &str = "acme";
const ETAG: &str = "\"v1\"";

/// A provider of whom so many events are stored.
async fn stored(world: &World, events: usize) -> Feeds {
    let feeds = Feeds::start(answer(upcoming_feed(0..events))).await;
    world.add(NAME, &feeds.url).await;
    sync(world).await;
    feeds
}

/// With a validator, so that a server could tell that nothing is new.
fn answer(feed: String) -> Answer {
    Answer::feed(feed).with("etag", ETAG)
}

async fn sync(world: &World) -> (Finish, Model) {
    let (finish, run) = world.sync(NAME).await;
    assert_eq!(finish.outcome, Outcome::Stored, "{:?}", finish.error);
    (finish, run)
}

async fn next(world: &World, feeds: &Feeds, feed: String) -> (Finish, Model) {
    feeds.answer(answer(feed));
    sync(world).await
}

/// As (held, gone).
fn left((finish, run): &(Finish, Model)) -> (u64, u64) {
    let counts = (finish.counts.held, finish.counts.gone);
    let recorded = (run.events_held, run.events_gone);
    assert_eq!((recorded.0 as u64, recorded.1 as u64), counts);
    counts
}

/// Events that are marked as missing, by their numbers.
async fn missing(world: &World) -> Vec<usize> {
    numbers(world, |event| event.missing_since.is_some()).await
}

async fn gone(world: &World) -> Vec<usize> {
    numbers(world, |event| event.gone_at.is_some()).await
}

async fn numbers(world: &World, is: impl Fn(&event::Model) -> bool) -> Vec<usize> {
    let events = world.events(NAME).await;
    let found = events.iter().filter(|event| is(event));
    let mut numbers: Vec<usize> = found.map(|event| event.base_id.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// What readers can see: the events as they stand, the log and the version.
async fn seen(world: &World) -> impl PartialEq + std::fmt::Debug + use<> {
    let (version, found) = search::all(world.db.reader(), &Search::default())
        .await
        .unwrap();
    let rows = world.events(NAME).await.into_iter().map(|mut event| {
        event.missing_since = None;
        event
    });
    (version.number, found, rows.collect::<Vec<_>>())
}

fn conditional(feeds: &Feeds) -> Vec<bool> {
    let asked = feeds.asked();
    asked
        .iter()
        .map(|headers| headers.contains_key("if-none-match"))
        .collect()
}

fn range(from: usize, to: usize) -> Vec<usize> {
    (from..to).collect()
}

async fn what_half_a_feed_lacks_is_held_and_nothing_of_it_shows(world: World) {
    let feeds = stored(&world, 60).await;
    let before = seen(&world).await;
    let ended = next(&world, &feeds, upcoming_feed(0..20)).await;
    assert_eq!(left(&ended), (40, 0));
    let (finish, run) = ended;
    assert_eq!((finish.counts.unchanged, run.error), (20, None));
    assert_eq!(missing(&world).await, range(20, 60));
    assert!(gone(&world).await.is_empty());
    assert_eq!(seen(&world).await, before);
    assert!(world.changes(run.id).await.is_empty());
    let provider = world.provider(NAME).await;
    assert_eq!(provider.events_held, 40);
    assert!(provider.last_success_at >= run.started_at);
    assert_eq!(provider.consecutive_failures, 0);
}

async fn a_held_feed_is_not_remembered_and_goes_on_being_held(world: World) {
    let feeds = stored(&world, 60).await;
    next(&world, &feeds, upcoming_feed(0..20)).await;
    let provider = world.provider(NAME).await;
    assert_eq!((provider.etag, provider.body_digest), (None, None));
    assert_eq!(
        (provider.memory_parser, provider.memory_revision),
        (None, None)
    );
    let marks = world.stored(NAME).await;
    // The same bytes, under the same validator.
    for _ in 0..2 {
        assert_eq!(left(&sync(&world).await), (40, 0));
    }
    // Asked on condition of what was there before; never of half of it.
    assert_eq!(conditional(&feeds), [false, true, false, false]);
    assert_eq!(world.stored(NAME).await, marks, "they are marked once");
    // Less still: what lacks newly is marked, and the older marks stay as they are.
    let since = |events: Vec<event::Model>| -> Vec<_> {
        let of = events
            .into_iter()
            .map(|event| (event.id, event.missing_since));
        of.filter(|(_, since)| since.is_some()).collect()
    };
    let older = since(world.events(NAME).await);
    assert_eq!(
        left(&next(&world, &feeds, upcoming_feed(0..10)).await),
        (50, 0)
    );
    let newer = since(world.events(NAME).await);
    assert_eq!((older.len(), newer.len()), (40, 50));
    assert!(older.iter().all(|mark| newer.contains(mark)));
    assert_eq!(world.provider(NAME).await.events_held, 50);
}

async fn an_empty_feed_is_held(world: World) {
    let feeds = stored(&world, 21).await;
    let ended = next(&world, &feeds, feed("")).await;
    assert_eq!(left(&ended), (21, 0));
    assert_eq!(missing(&world).await, range(0, 21));
}

async fn a_whole_feed_clears_the_marks_without_a_change(world: World) {
    let feeds = stored(&world, 60).await;
    let before = seen(&world).await;
    next(&world, &feeds, upcoming_feed(0..20)).await;
    let ended = next(&world, &feeds, upcoming_feed(0..60)).await;
    assert_eq!(left(&ended), (0, 0));
    let (finish, run) = ended;
    assert_eq!((finish.counts.unchanged, finish.counts.returned), (60, 0));
    assert!(missing(&world).await.is_empty());
    assert_eq!(seen(&world).await, before);
    assert!(world.changes(run.id).await.is_empty());
    let provider = world.provider(NAME).await;
    assert_eq!(
        (provider.events_held, provider.etag.as_deref()),
        (0, Some(ETAG))
    );
}

async fn an_event_that_comes_back_otherwise_loses_its_mark_as_well(world: World) {
    let feeds = stored(&world, 60).await;
    next(&world, &feeds, upcoming_feed(0..20)).await;
    let other = upcoming_feed(0..60).replace("Event 59", "Something else");
    let (finish, run) = next(&world, &feeds, other).await;
    assert_eq!((finish.counts.changed, finish.counts.unchanged), (1, 59));
    assert!(missing(&world).await.is_empty());
    let kinds: Vec<_> = world
        .changes(run.id)
        .await
        .iter()
        .map(|it| it.kind)
        .collect();
    assert_eq!(kinds, [Kind::Updated]);
}

async fn what_still_lacks_when_most_is_back_has_gone(world: World) {
    let feeds = stored(&world, 60).await;
    next(&world, &feeds, upcoming_feed(0..20)).await;
    let ended = next(&world, &feeds, upcoming_feed(0..50)).await;
    assert_eq!(left(&ended), (0, 10));
    assert_eq!(gone(&world).await, range(50, 60));
    assert!(missing(&world).await.is_empty());
    assert_eq!(world.provider(NAME).await.events_held, 0);
}

async fn only_more_than_half_and_more_than_twenty_are_held(world: World) {
    // Known, lacking, and whether that is held.
    for (known, lacking, held) in [
        (21, 20, false),
        (40, 20, false),
        (42, 21, false),
        (41, 21, true),
        (21, 21, true),
        (20, 20, false),
    ] {
        let name = format!("of-{known}-{lacking}");
        let feeds = Feeds::start(Answer::feed(upcoming_feed(0..known))).await;
        world.add(&name, &feeds.url).await;
        world.sync(&name).await;
        feeds.answer(Answer::feed(upcoming_feed(lacking..known)));
        let expected = if held {
            (lacking as u64, 0)
        } else {
            (0, lacking as u64)
        };
        assert_eq!(left(&world.sync(&name).await), expected, "{name}");
    }
}

async fn events_that_are_over_do_not_count_towards_it(world: World) {
    let over = (0..60).map(|number| base(&format!("10{number:02}"), "Over"));
    let over: String = over.collect();
    let of = |upcoming_events: std::ops::Range<usize>, over: &str| {
        upcoming_feed(upcoming_events).replace("</output>", &format!("{over}</output>"))
    };
    let feeds = Feeds::start(answer(of(0..50, &over))).await;
    world.add(NAME, &feeds.url).await;
    sync(&world).await;
    // 85 of 110 events lack, but only 25 of the 50 to come: not more than half.
    let ended = next(&world, &feeds, of(0..25, "")).await;
    assert_eq!(left(&ended), (0, 85));
    let ended = next(&world, &feeds, of(0..50, &over)).await;
    assert_eq!(ended.0.counts.returned, 85);
    // 26 of the 50 to come lack, and 60 that are over: all of it is held.
    let ended = next(&world, &feeds, of(0..24, "")).await;
    assert_eq!(left(&ended), (86, 0));
    // Of those that are over all may go at any time.
    let ended = next(&world, &feeds, of(0..50, "")).await;
    assert_eq!(left(&ended), (0, 60));
}

async fn each_provider_has_thresholds_of_its_own(world: World) {
    let holds = |percent, events| Hold { percent, events };
    for (name, hold, held) in [
        ("sensitive", holds(10, 1), true),
        ("as-usual", Hold::default(), false),
        ("many", holds(10, 10), false),
        ("most", holds(30, 1), false),
        ("never", holds(100, 0), false),
    ] {
        let feeds = Feeds::start(Answer::feed(upcoming_feed(0..10))).await;
        let mut spec = spec(name, &feeds.url);
        spec.hold = hold;
        world.apply(&spec).await;
        world.sync(name).await;
        feeds.answer(Answer::feed(upcoming_feed(0..7)));
        let expected = if held { (3, 0) } else { (0, 3) };
        assert_eq!(left(&world.sync(name).await), expected, "{name}");
        if name == "never" {
            feeds.answer(Answer::feed(feed("")));
            assert_eq!(left(&world.sync(name).await), (0, 7));
        }
    }
}

async fn what_half_a_feed_has_is_stored(world: World) {
    let feeds = stored(&world, 60).await;
    let version = world.version().await;
    let half: Vec<_> = (0..20).chain(100..103).collect();
    let half = upcoming_feed(half).replace("\"Event 7\"", "\"Seven\"");
    let ended = next(&world, &feeds, half).await;
    assert_eq!(left(&ended), (40, 0));
    let (finish, run) = ended;
    let counts = finish.counts;
    assert_eq!((counts.new, counts.changed, counts.unchanged), (3, 1, 19));
    let changes = world.changes(run.id).await;
    let of = |kind| changes.iter().filter(|change| change.kind == kind).count();
    assert_eq!(
        (of(Kind::Created), of(Kind::Updated), changes.len()),
        (3, 1, 4)
    );
    assert_eq!(world.version().await, version + 1);
    let events = world.events(NAME).await;
    assert_eq!(events.len(), 63);
    assert!(events.iter().any(|event| event.title == "Seven"));
}

async fn an_item_that_is_set_aside_is_not_missing(world: World) {
    let feeds = stored(&world, 60).await;
    let impossible = |numbers: std::ops::Range<usize>| {
        let of = |number: usize| upcoming(&number.to_string(), "Other");
        let bases: String = numbers.map(of).collect();
        bases.replace("2999-06-30T21", "2999-06-31T21")
    };
    let with = |taken: usize, aside: std::ops::Range<usize>| {
        let aside = impossible(aside);
        upcoming_feed(0..taken).replace("</output>", &format!("{aside}</output>"))
    };
    // 20 are there, 5 are there in a way, 35 are not.
    let ended = next(&world, &feeds, with(20, 20..25)).await;
    assert_eq!(left(&ended), (35, 0));
    assert_eq!(
        (ended.0.counts.set_aside, ended.0.counts.unchanged),
        (5, 20)
    );
    assert_eq!(missing(&world).await, range(25, 60));
    // One that was missing is found in that way, and stays what it was.
    let ended = next(&world, &feeds, with(20, 20..26)).await;
    assert_eq!(left(&ended), (34, 0));
    assert_eq!(missing(&world).await, range(26, 60));
    assert!(world.changes(ended.1.id).await.is_empty());
    // With 30 there in a way, only 10 lack: not enough to hold them.
    let ended = next(&world, &feeds, with(20, 20..50)).await;
    assert_eq!(left(&ended), (0, 10));
    assert_eq!(gone(&world).await, range(50, 60));
    assert!(missing(&world).await.is_empty());
    let titles = numbers(&world, |event| event.title == "Other").await;
    assert!(titles.is_empty(), "what is stored stands");
}

async fn a_feed_that_fails_leaves_the_marks(world: World) {
    let feeds = stored(&world, 60).await;
    next(&world, &feeds, upcoming_feed(0..20)).await;
    let before = world.stored(NAME).await;
    for broken in [Answer::status(500), answer("<planList>".to_owned())] {
        feeds.answer(broken);
        let (finish, _) = world.sync(NAME).await;
        assert_eq!(finish.outcome, Outcome::Failed);
        assert_eq!(world.stored(NAME).await, before);
        let provider = world.provider(NAME).await;
        assert_eq!((provider.events_held, provider.etag), (40, None));
    }
    assert_eq!(
        left(&next(&world, &feeds, upcoming_feed(0..20)).await),
        (40, 0)
    );
}

/// Asks for a sync of the provider that may take for gone whatever its feed lacks.
async fn confirm(world: &World) {
    let providers = [world.provider(NAME).await.id];
    let request = Request {
        trigger: Trigger::Command,
        traceparent: None,
        providers: &providers,
        accept_gone: true,
    };
    fan_out::request(&world.db, request).await.unwrap();
    let taken = claim::take_requests(&world.db, 10).await.unwrap();
    assert_eq!(taken.unwrap().len(), 1);
}

async fn a_run_with_leave_makes_what_was_held_gone(world: World) {
    let feeds = stored(&world, 60).await;
    next(&world, &feeds, upcoming_feed(0..20)).await;
    let version = world.version().await;
    confirm(&world).await;
    let ended = sync(&world).await;
    assert_eq!(left(&ended), (0, 40));
    assert!(ended.1.accept_gone);
    assert_eq!(gone(&world).await, range(20, 60));
    assert!(missing(&world).await.is_empty());
    let changes = world.changes(ended.1.id).await;
    assert_eq!(changes.len(), 40);
    assert!(changes.iter().all(|change| change.kind == Kind::Gone));
    assert_eq!(world.version().await, version + 1);
    let provider = world.provider(NAME).await;
    assert_eq!(
        (provider.events_held, provider.etag.as_deref()),
        (0, Some(ETAG))
    );
    // It is what the feed is now: remembered, and compared with from now on.
    assert_eq!(world.sync(NAME).await.0.outcome, Outcome::Unchanged);
    assert_eq!(conditional(&feeds), [false, true, false, true]);
}

async fn a_run_with_leave_reads_also_the_feed_that_is_remembered(world: World) {
    let feeds = stored(&world, 60).await;
    // As if its settings, and not the feed, had made it lack something.
    let memory = "UPDATE provider SET hold_percent = 100";
    world.execute(memory).await;
    next(&world, &feeds, upcoming_feed(0..30)).await;
    world.execute("UPDATE event SET gone_at = NULL").await;
    world.execute("UPDATE provider SET hold_percent = 10").await;
    assert_eq!(
        world.sync(NAME).await.0.outcome,
        Outcome::Unchanged,
        "it is remembered"
    );
    confirm(&world).await;
    let ended = sync(&world).await;
    assert_eq!(left(&ended), (0, 30));
    assert_eq!(ended.0.counts.unchanged, 30);
    assert_eq!(conditional(&feeds), [false, true, true, false]);
}

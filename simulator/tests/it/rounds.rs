//! How feeds move on, and what a reader of several rounds must know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use simulator::{Behavior, Config, ExpectedEvent, Simulator, TruthEvent};

use crate::{start, until};

const NAME: &str = "provider-0001";

type Identity = (String, String);

fn identity(event: &TruthEvent) -> Identity {
    (event.base_id.clone(), event.event_id.clone())
}

fn by_identity(simulator: &Simulator, round: u64) -> BTreeMap<Identity, TruthEvent> {
    simulator
        .truth(NAME, round)
        .unwrap()
        .into_iter()
        .map(|event| (identity(&event), event))
        .collect()
}

#[tokio::test]
async fn a_round_changes_a_few_events_only() {
    let running = start(Config {
        events: 10_000,
        ..Config::default()
    })
    .await;
    for first in [0, 399, 1_000_000] {
        let (before, after) = (
            by_identity(&running.simulator, first),
            by_identity(&running.simulator, first + 1),
        );
        let gone = before
            .keys()
            .filter(|key| !after.contains_key(*key))
            .count();
        let new = after
            .keys()
            .filter(|key| !before.contains_key(*key))
            .count();
        let changed = after
            .iter()
            .filter(|(key, event)| before.get(*key).is_some_and(|old| old != *event))
            .count();
        let all = gone + new + changed;
        assert!(
            (100..=300).contains(&all),
            "{all} of 10,000 differ from round {first} to the next"
        );
        assert!(
            gone > 10 && new > 10 && changed > 50,
            "{gone} gone, {new} new, {changed} changed"
        );
    }
}

#[tokio::test]
async fn events_change_in_every_way() {
    let running = start(Config {
        events: 10_000,
        bad_items: false,
        ..Config::default()
    })
    .await;
    let (before, after) = (
        by_identity(&running.simulator, 0),
        by_identity(&running.simulator, 20),
    );
    let pairs: Vec<_> = after
        .iter()
        .filter_map(|(key, new)| before.get(key).map(|old| (old, new)))
        .collect();
    let differing = |differ: fn(&TruthEvent, &TruthEvent) -> bool| {
        pairs.iter().any(|(old, new)| differ(old, new))
    };
    assert!(differing(|old, new| old.title != new.title));
    assert!(differing(|old, new| old.ends_local != new.ends_local));
    assert!(differing(|old, new| old.sold_out != new.sold_out));
    assert!(differing(|old, new| old.min_price != new.min_price));
    assert!(differing(|old, new| old
        .zones
        .iter()
        .zip(&new.zones)
        .any(|(old, new)| old.capacity != new.capacity)));
    assert!(differing(|old, new| old.online && !new.online));
    assert!(differing(|old, new| !old.online && new.online));
    assert!(!differing(|old, new| old.starts_local != new.starts_local));
}

#[tokio::test]
async fn a_late_round_costs_no_more_than_the_first() {
    let running = start(Config {
        events: 20_000,
        ..Config::default()
    })
    .await;
    let cost = |round| {
        let started = Instant::now();
        running.simulator.truth(NAME, round).unwrap();
        started.elapsed()
    };
    cost(0);
    let (early, late) = (cost(1), cost(u64::MAX));
    // Work that followed the round's number would not end at all.
    assert!(
        late < early * 20 + Duration::from_secs(5),
        "{early:?} for round 1, {late:?} for the last"
    );
}

#[tokio::test]
async fn expected_is_the_truth_after_one_round() {
    let running = start(Config {
        events: 500,
        ..Config::default()
    })
    .await;
    running.feed(NAME).await;
    let expected = running.simulator.expected(NAME).unwrap();
    let truth = by_identity(&running.simulator, 0);
    assert_eq!(expected.len(), truth.len());
    for ExpectedEvent {
        event,
        gone,
        ever_online,
    } in expected
    {
        assert_eq!(truth[&identity(&event)], event);
        assert!(!gone);
        assert_eq!(ever_online, event.online);
    }
}

#[tokio::test]
async fn expected_folds_vanish_and_return() {
    let running = start(Config {
        events: 2_000,
        ..Config::default()
    })
    .await;
    let simulator = &running.simulator;
    let (rounds, mut vanished, mut returned) = ([0, 6, 12], 0, 0);
    let [first, middle, last] = rounds.map(|round| by_identity(simulator, round));
    let after_two = simulator.expected_for_rounds(NAME, &rounds[..2]).unwrap();
    let after_three = simulator.expected_for_rounds(NAME, &rounds).unwrap();
    let find = |among: &[ExpectedEvent], key: &Identity| {
        among
            .iter()
            .find(|expected| identity(&expected.event) == *key)
            .unwrap()
            .clone()
    };
    let held: BTreeSet<Identity> = simulator
        .set_aside(NAME, 6)
        .unwrap()
        .into_iter()
        .filter(|item| item.zone_id.is_none())
        .filter_map(|item| item.base_id.zip(item.event_id))
        .collect();
    for (key, event) in &first {
        if middle.contains_key(key) || held.contains(key) {
            continue;
        }
        vanished += 1;
        let stored = find(&after_two, key);
        assert!(stored.gone);
        assert_eq!(stored.event, *event, "a gone event keeps its last values");
        if let Some(back) = last.get(key) {
            returned += 1;
            let stored = find(&after_three, key);
            assert!(!stored.gone);
            assert_eq!(stored.event, *back);
        }
    }
    assert!(
        vanished > 0 && returned > 0,
        "{vanished} vanished, {returned} returned"
    );
}

#[tokio::test]
async fn a_set_aside_item_keeps_its_stored_values_and_is_not_gone() {
    let running = start(Config {
        events: 10_000,
        ..Config::default()
    })
    .await;
    let simulator = &running.simulator;
    let before = by_identity(simulator, 0);
    let expected = simulator.expected_for_rounds(NAME, &[0, 30]).unwrap();
    let mut kept = 0;
    for item in simulator.set_aside(NAME, 30).unwrap() {
        let Some(key) = item
            .base_id
            .zip(item.event_id)
            .filter(|_| item.zone_id.is_none())
        else {
            continue;
        };
        let stored = expected
            .iter()
            .find(|expected| identity(&expected.event) == key);
        match before.get(&key) {
            Some(event) => {
                let stored = stored.unwrap();
                assert_eq!(stored.event, *event);
                assert!(!stored.gone);
                kept += 1;
            }
            None => assert!(
                stored.is_none(),
                "an event that was never readable is not known"
            ),
        }
    }
    assert!(kept > 0);
}

#[tokio::test]
async fn an_identity_is_never_set_aside_right_after_it_was_absent() {
    let running = start(Config {
        events: 20_000,
        ..Config::default()
    })
    .await;
    let simulator = &running.simulator;
    let aside = |round| -> BTreeSet<Identity> {
        let items = simulator.set_aside(NAME, round).unwrap();
        let whole = items.into_iter().filter(|item| item.zone_id.is_none());
        whole
            .filter_map(|item| item.base_id.zip(item.event_id))
            .collect()
    };
    let mut known = BTreeSet::new();
    let mut absent: BTreeSet<Identity> = BTreeSet::new();
    let mut checked = 0;
    for round in (0..90).step_by(5) {
        let present: BTreeSet<Identity> = by_identity(simulator, round).into_keys().collect();
        let aside = aside(round);
        assert!(aside.is_disjoint(&absent));
        checked += aside.len();
        absent = known
            .iter()
            .filter(|key| !present.contains(*key) && !aside.contains(*key))
            .cloned()
            .collect();
        known.extend(present);
    }
    assert!(checked > 100 && !absent.is_empty());
}

#[tokio::test]
async fn once_online_is_remembered() {
    let running = start(Config {
        events: 5_000,
        ..Config::default()
    })
    .await;
    let simulator = &running.simulator;
    let (before, after) = (by_identity(simulator, 0), by_identity(simulator, 20));
    let expected = simulator.expected_for_rounds(NAME, &[0, 20]).unwrap();
    let turned: Vec<_> = expected
        .iter()
        .filter(|known| {
            let key = identity(&known.event);
            before.get(&key).is_some_and(|old| old.online)
                && after.get(&key).is_some_and(|new| !new.online)
        })
        .collect();
    assert!(!turned.is_empty());
    assert!(
        turned
            .iter()
            .all(|known| known.ever_online && !known.event.online)
    );
    assert!(expected.iter().any(|known| !known.ever_online));
}

#[tokio::test]
async fn served_lists_only_rounds_that_went_out_whole() {
    let running = start(Config::default()).await;
    let simulator = &running.simulator;
    let behave = |behavior| simulator.set_behavior(NAME, behavior).unwrap();
    running.feed(NAME).await;
    running.feed(NAME).await;
    assert_eq!(
        simulator.served(NAME).unwrap(),
        [0],
        "a repeated round stands once"
    );
    for behavior in [
        Behavior::Malformed,
        Behavior::Empty,
        Behavior::CutDocument,
        Behavior::ServerError,
    ] {
        simulator.advance();
        behave(behavior);
        running.feed(NAME).await;
    }
    simulator.advance();
    behave(Behavior::Truncated);
    assert!(running.get(NAME).await.bytes().await.is_err());
    assert_eq!(simulator.served(NAME).unwrap(), [0]);
    behave(Behavior::SlowBody {
        bytes_per_second: 10_000_000,
    });
    running.feed(NAME).await;
    assert_eq!(simulator.served(NAME).unwrap(), [0, 5]);
    assert_eq!(
        simulator.expected(NAME).unwrap(),
        simulator.expected_for_rounds(NAME, &[0, 5]).unwrap()
    );
    assert!(simulator.served("provider-0002").unwrap().is_empty());
}

#[tokio::test]
async fn feeds_move_on_by_themselves_when_told_so() {
    let running = start(Config {
        round_every: Some(Duration::from_millis(5)),
        ..Config::default()
    })
    .await;
    until(|| running.simulator.round() >= 3).await;
    running.shutdown.cancel();
    running.simulator.stopped().await;
}

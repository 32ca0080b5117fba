//! What the bytes are, and that the truth is what they say.

use std::collections::{BTreeMap, BTreeSet};

use simulator::{Config, SetAsideCount};

use crate::{reader, start};

#[tokio::test]
async fn same_seed_same_round_same_bytes() {
    let config = Config {
        seed: 7,
        events: 40,
        providers: 3,
        first_round: 12,
        ..Config::default()
    };
    let (one, other) = (start(config.clone()).await, start(config.clone()).await);
    let differing = start(Config { seed: 8, ..config }).await;
    let mut all = String::new();
    for name in one.simulator.provider_names() {
        let bytes = one.feed(&name).await;
        assert_eq!(bytes, other.feed(&name).await);
        assert_ne!(bytes, differing.feed(&name).await);
        all.push_str(&bytes);
    }
    // If a change of the bytes is wanted: raise `GENERATION` in src/document.rs, then pin the new digest.
    assert_eq!(
        blake3::hash(all.as_bytes()).to_hex().as_str(),
        "c3272862a7bb02d78f41ca3eb3e8bbd4589192e3ca1ffeebb02de447b5cf737c"
    );
}

#[tokio::test]
async fn the_truth_is_what_the_bytes_say() {
    let running = start(Config {
        events: 3_000,
        providers: 3,
        ..Config::default()
    })
    .await;
    let simulator = &running.simulator;
    for name in simulator.provider_names() {
        for _ in 0..3 {
            let round = simulator.round();
            let read = reader::read(&running.feed(&name).await).unwrap();
            assert_eq!(read.events, simulator.truth(&name, round).unwrap());
            assert_eq!(
                read.set_aside,
                simulator.set_aside_count(&name, round).unwrap()
            );
            simulator.advance();
        }
    }
}

#[tokio::test]
async fn providers_use_all_three_spellings() {
    let running = start(Config::default()).await;
    let mut seen = BTreeSet::new();
    for name in running.simulator.provider_names() {
        let feed = running.feed(&name).await;
        let root = reader::read(&feed).unwrap().root;
        seen.insert((
            root,
            feed.contains(" event_date="),
            feed.contains(" max_price="),
            feed.contains("_end_date="),
        ));
    }
    let wanted = [
        ("eventList", false, false, true),
        ("eventList", true, true, false),
        ("planList", false, false, true),
    ];
    assert_eq!(
        seen,
        wanted
            .map(|(root, date, max, end)| (root.to_owned(), date, max, end))
            .into()
    );
}

#[tokio::test]
async fn the_quirks_of_real_feeds_are_all_there() {
    let running = start(Config {
        events: 4_000,
        ..Config::default()
    })
    .await;
    let name = "provider-0001";
    let feed = running.feed(name).await;
    let truth = running.simulator.truth(name, 0).unwrap();

    let mut bases_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for event in &truth {
        bases_of
            .entry(&event.event_id)
            .or_default()
            .insert(&event.base_id);
    }
    assert!(
        bases_of.values().any(|bases| bases.len() > 1),
        "a plan id under several bases"
    );
    let zones = || truth.iter().flat_map(|event| &event.zones);
    assert!(truth.iter().any(|event| {
        let ids: BTreeSet<&str> = event.zones.iter().map(|zone| zone.id.as_str()).collect();
        ids.len() < event.zones.len()
    }));
    assert!(zones().any(|zone| zone.capacity == Some(0)));
    assert!(zones().any(|zone| zone.price.is_none()));
    assert!(zones().any(|zone| zone.price.is_some_and(|price| price % 100 != 0)));
    assert!(
        truth
            .iter()
            .any(|event| event.organizer_company_id.is_none())
    );
    assert!(truth.iter().any(|event| event.base_id.starts_with('0')));
    assert!(truth.iter().any(|event| event.online) && truth.iter().any(|event| !event.online));
    let bases = || {
        feed.lines()
            .filter(|line| line.trim_start().starts_with("<base_plan "))
    };
    assert!(bases().any(|line| !line.contains("sell_mode=")));
    for wanted in [
        "<!-- ",
        " genre=",
        " popularity=",
        "<extras",
        "&amp;",
        "&lt;",
        "&quot;",
        "&apos;",
        "&#x",
        "Ñ",
    ] {
        assert!(feed.contains(wanted), "{wanted}");
    }
    let range = truth.iter().map(|event| event.starts_local.date());
    assert_eq!(
        range.clone().min().unwrap().to_string().as_str().get(..4),
        Some("2026")
    );
    assert_eq!(
        range.max().unwrap().to_string().as_str().get(..4),
        Some("2028")
    );
}

#[tokio::test]
async fn a_share_of_the_items_is_bad_in_every_way() {
    let running = start(Config {
        events: 20_000,
        providers: 1,
        ..Config::default()
    })
    .await;
    let simulator = &running.simulator;
    let name = "provider-0001";
    let set_aside = simulator.set_aside(name, 0).unwrap();
    let reasons: BTreeSet<String> = set_aside
        .iter()
        .map(|item| format!("{:?}", item.reason))
        .collect();
    let all = [
        "BadPrice",
        "ImpossibleDay",
        "MissingBaseId",
        "MissingEventId",
        "MissingStart",
        "MissingTitle",
    ];
    assert_eq!(reasons, all.map(str::to_owned).into());
    for item in &set_aside {
        let reason = format!("{:?}", item.reason);
        assert_eq!(item.base_id.is_none(), reason == "MissingBaseId");
        assert_eq!(item.event_id.is_none(), reason == "MissingEventId");
        assert_eq!(item.zone_id.is_some(), reason == "BadPrice");
    }

    let truth = simulator.truth(name, 0).unwrap();
    let kept = |bad: &dyn Fn(&simulator::TruthEvent) -> bool| {
        truth.iter().filter(|event| bad(event)).count()
    };
    let softened = [
        kept(&|event| event.sell_from.is_none()),
        kept(&|event| event.sell_to.is_none()),
        kept(&|event| event.ends_local.is_none()),
        kept(&|event| event.zones.iter().any(|zone| zone.capacity.is_none())),
    ];
    assert!(softened.iter().all(|count| *count > 0), "{softened:?}");
    let read = reader::read(&running.feed(name).await).unwrap();
    assert!(read.repeated > 0);

    let bad = set_aside.len() + softened.iter().sum::<usize>() + read.repeated;
    assert!(
        (50..=200).contains(&bad),
        "{bad} of 20,000 is not about 1 in 200"
    );
}

#[tokio::test]
async fn without_bad_items_everything_is_stored() {
    let running = start(Config {
        events: 5_000,
        bad_items: false,
        ..Config::default()
    })
    .await;
    for round in [0, 17, 1_000_000] {
        let count = running
            .simulator
            .set_aside_count("provider-0001", round)
            .unwrap();
        assert_eq!(count, SetAsideCount::default());
        let truth = running.simulator.truth("provider-0001", round).unwrap();
        assert!(
            truth
                .iter()
                .all(|event| event.ends_local.is_some() && event.sell_from.is_some())
        );
        assert!((4_850..5_000).contains(&truth.len()));
    }
}

#[tokio::test]
async fn sizes_of_nothing_are_valid_feeds() {
    let running = start(Config {
        events: 0,
        ..Config::default()
    })
    .await;
    assert!(
        reader::read(&running.feed("provider-0001").await)
            .unwrap()
            .events
            .is_empty()
    );
    let running = start(Config {
        zones: 0,
        events: 50,
        ..Config::default()
    })
    .await;
    let read = reader::read(&running.feed("provider-0001").await).unwrap();
    assert!(!read.events.is_empty());
    assert!(
        read.events
            .iter()
            .all(|event| event.zones.is_empty() && event.min_price.is_none())
    );
}

//! What means the same shares one answer, and what does not never does: held against a model over
//! generated searches in all their spellings.

use std::collections::HashMap;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use entity::event::Content;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use url::form_urlencoded;

use crate::caching::{HIT, MISS};
use crate::seed::{event, id, store};
use crate::world::World;

crate::on_both_databases!(
    what_means_the_same_shares_one_answer_and_nothing_else_does,
    a_cursor_alone_asks_for_a_page_of_a_hundred,
);

/// What a search asks for, apart from how it is spelled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Meaning {
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    overlaps: bool,
    min_price: Option<i64>,
    max_price: Option<i64>,
    available: Option<bool>,
    gone: &'static str,
    limit: Option<usize>,
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn meanings() -> impl Strategy<Value = Meaning> {
    let starts = [
        "2021-06-01T00:00:00Z",
        "2021-06-02T00:00:00Z",
        "2021-06-02T00:00:00.000001Z",
        "2021-06-02T20:00:00Z",
    ];
    let ends = [
        "2021-06-02T23:59:59.999999Z",
        "2021-06-03T00:00:00Z",
        "2021-06-04T23:59:59.999999Z",
    ];
    (
        proptest::option::of(proptest::sample::select(starts.map(at).to_vec())),
        proptest::option::of(proptest::sample::select(ends.map(at).to_vec())),
        any::<bool>(),
        proptest::sample::select(vec![None, None, Some(100_000), Some(255_000)]),
        proptest::sample::select(vec![None, None, Some(255_000), Some(400_000)]),
        proptest::sample::select(vec![None, None, Some(true), Some(false)]),
        proptest::sample::select(vec!["include", "include", "exclude", "only"]),
        proptest::sample::select(vec![None, None, Some(1), Some(3)]),
    )
        .prop_map(
            |(starts_at, ends_at, overlaps, min_price, max_price, available, gone, limit)| {
                Meaning {
                    starts_at,
                    ends_at,
                    overlaps,
                    min_price,
                    max_price,
                    available,
                    gone,
                    limit,
                }
            },
        )
}

/// One of the many ways to say the same.
fn spelling(meaning: &Meaning, pick: &mut impl FnMut(usize) -> usize) -> String {
    let mut parameters: Vec<(&str, String)> = Vec::new();
    if let Some(starts_at) = meaning.starts_at {
        parameters.push(("starts_at", instant(starts_at, Duration::zero(), pick)));
    }
    if let Some(ends_at) = meaning.ends_at {
        let last = Duration::days(1) - Duration::microseconds(1);
        parameters.push(("ends_at", instant(ends_at, last, pick)));
    }
    if meaning.overlaps || pick(2) == 0 {
        parameters.push(("overlaps", meaning.overlaps.to_string()));
    }
    for (name, price) in [
        ("min_price", meaning.min_price),
        ("max_price", meaning.max_price),
    ] {
        if let Some(price) = price {
            let (whole, tenths) = (price / 10_000, price % 10_000 / 1_000);
            let zeros = ["", "0", "000"][pick(3)];
            parameters.push((name, format!("{whole}.{tenths}{zeros}")));
        }
    }
    if let Some(available) = meaning.available {
        parameters.push(("available", available.to_string()));
    }
    if meaning.gone != "include" || pick(2) == 0 {
        parameters.push(("gone", meaning.gone.to_owned()));
    }
    if let Some(limit) = meaning.limit {
        let zeros = ["", "0"][pick(2)];
        parameters.push(("limit", format!("{zeros}{limit}")));
    }
    let mut query = String::from("?");
    while !parameters.is_empty() {
        let (name, value) = parameters.swap_remove(pick(parameters.len()));
        let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        query += &format!("{name}={value}&");
        if pick(8) == 0 {
            query.push('&');
        }
    }
    query
}

/// An instant in some zone and precision, or the date whose beginning or end it is.
fn instant(at: DateTime<Utc>, of_date: Duration, pick: &mut impl FnMut(usize) -> usize) -> String {
    let day = at - of_date;
    if day.time() == chrono::NaiveTime::MIN && pick(3) == 0 {
        return day.date_naive().to_string();
    }
    let precision = [
        SecondsFormat::Micros,
        SecondsFormat::Nanos,
        SecondsFormat::AutoSi,
    ][pick(3)];
    let hours = [0, 2, -5, 14][pick(4)];
    let zone = chrono::FixedOffset::east_opt(hours * 3600).unwrap();
    let text = at
        .with_timezone(&zone)
        .to_rfc3339_opts(precision, pick(2) == 0);
    match pick(4) {
        0 => text.replace('T', " "),
        1 if hours == 0 => text
            .trim_end_matches('Z')
            .trim_end_matches("+00:00")
            .to_owned(),
        _ => text,
    }
}

struct Stored {
    content: Content,
    gone: bool,
}

/// Events across some days, of all kinds, one hour to some days long.
fn events() -> Vec<Stored> {
    (0..48)
        .map(|n: i64| {
            let starts_at = at("2021-05-31T20:00:00Z") + Duration::hours(2 * n);
            let mut content = event(&n.to_string(), &starts_at.to_rfc3339());
            content.ends_at = match n % 5 {
                0 => None,
                1 => Some(starts_at + Duration::hours(40)),
                _ => content.ends_at,
            };
            content.min_price = Some(100_000 * (n % 4));
            content.max_price = Some(100_000 * (n % 4) + 55_000);
            if n % 7 == 0 {
                (content.min_price, content.max_price) = (None, None);
            }
            content.sold_out = n % 3 == 0;
            let gone = n % 4 == 1;
            Stored { content, gone }
        })
        .collect()
}

/// What a search is to find, in order.
fn expected(meaning: &Meaning, events: &[Stored]) -> Vec<String> {
    let mut found: Vec<&Content> = events
        .iter()
        .filter(|stored| {
            let Content {
                starts_at,
                ends_at,
                min_price,
                max_price,
                sold_out,
                ..
            } = stored.content;
            let ends_at = ends_at.unwrap_or(starts_at);
            let (first, last) = match meaning.overlaps {
                true => (ends_at, starts_at),
                false => (starts_at, ends_at),
            };
            meaning.starts_at.is_none_or(|from| first >= from)
                && meaning.ends_at.is_none_or(|to| last <= to)
                && meaning
                    .min_price
                    .is_none_or(|least| max_price >= Some(least))
                && meaning
                    .max_price
                    .is_none_or(|most| min_price.is_some_and(|price| price <= most))
                && meaning
                    .available
                    .is_none_or(|available| available != sold_out)
                && match meaning.gone {
                    "include" => true,
                    "only" => stored.gone,
                    _ => !stored.gone,
                }
        })
        .map(|stored| &stored.content)
        .collect();
    found.sort_by_key(|content| (content.starts_at, id(content)));
    found.truncate(meaning.limit.unwrap_or(usize::MAX));
    found.iter().map(|content| content.title.clone()).collect()
}

async fn what_means_the_same_shares_one_answer_and_nothing_else_does(world: World) {
    const SEARCHES: usize = 400;
    let stored = events();
    let contents: Vec<Content> = stored.iter().map(|stored| stored.content.clone()).collect();
    let gone = stored.iter().filter(|stored| stored.gone);
    let mut gone: Vec<_> = gone.map(|stored| id(&stored.content)).collect();
    gone.sort();
    store(&world.db, &contents, &[]).await;
    store(&world.db, &[], &gone).await;

    let mut runner = TestRunner::deterministic();
    let strategy = proptest::collection::vec(meanings(), SEARCHES);
    let searches = strategy.new_tree(&mut runner).unwrap().current();
    let mut pick = |of: usize| runner.rng().random_range(0..of);
    let mut by_meaning: HashMap<Meaning, String> = HashMap::new();
    let mut by_tag: HashMap<String, Meaning> = HashMap::new();
    let mut hits = 0;
    for meaning in searches {
        if meaning
            .starts_at
            .zip(meaning.ends_at)
            .is_some_and(|(from, to)| to < from)
            || meaning
                .min_price
                .zip(meaning.max_price)
                .is_some_and(|(least, most)| most < least)
        {
            continue;
        }
        let events = expected(&meaning, &stored);
        for _ in 0..2 {
            let query = spelling(&meaning, &mut pick);
            let answer = world.get(&format!("/v1/events/search{query}")).await;
            assert_eq!(answer.status, 200, "{query}: {}", answer.text());
            let json = answer.json();
            let found = json["data"]["events"].as_array().unwrap();
            let titles: Vec<_> = found
                .iter()
                .map(|event| event["title"].as_str().unwrap())
                .collect();
            assert_eq!(titles, events, "{query}");
            let tag = answer.header("etag").to_owned();
            let known = by_meaning.insert(meaning.clone(), tag.clone());
            let expected = if known.is_some() { HIT } else { MISS };
            assert_eq!(answer.header("cache-status"), expected, "{query}");
            hits += usize::from(known.is_some());
            assert!(known.is_none_or(|known| known == tag), "{query}");
            let before = by_tag.insert(tag, meaning.clone());
            assert!(before.is_none_or(|before| before == meaning), "{query}");
        }
    }
    assert!(by_meaning.len() > SEARCHES / 4 && hits > by_meaning.len());
}

async fn a_cursor_alone_asks_for_a_page_of_a_hundred(world: World) {
    let contents: Vec<Content> = events().into_iter().map(|stored| stored.content).collect();
    store(&world.db, &contents, &[]).await;
    let first = world.get("/v1/events/search?limit=2").await.json();
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    let alone = world
        .get(&format!("/v1/events/search?cursor={cursor}"))
        .await;
    assert_eq!(alone.header("cache-status"), MISS);
    for (query, status) in [("limit=100", HIT), ("limit=99", MISS)] {
        let address = format!("/v1/events/search?{query}&cursor={cursor}");
        let answer = world.get(&address).await;
        assert_eq!(answer.header("cache-status"), status, "{query}");
        assert_eq!(answer.body, alone.body, "{query}");
    }
}

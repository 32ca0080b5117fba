//! Page after page of a search.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use entity::event::Content;
use entity::search::{self, Found, Position, Search};
use futures::TryStreamExt;
use uuid::Uuid;

use crate::chance::Chance;
use crate::on_both_databases;
use crate::world::{World, bare, creating, replacing};

on_both_databases!(
    pages_of_any_length_are_the_whole,
    what_moves_between_pages_costs_no_other_event_its_place,
    a_page_of_the_end_is_empty_and_has_a_version,
);

const EVENTS: usize = 150;

fn start() -> DateTime<Utc> {
    "2021-06-01T00:00:00Z".parse().unwrap()
}

/// So few starts that many events share one, and lengths of which some are more than a day.
fn content(number: usize, chance: &mut Chance) -> Content {
    let hours =
        |below, chance: &mut Chance| TimeDelta::hours(i64::try_from(chance.below(below)).unwrap());
    let starts_at = start() + hours(40, chance);
    Content {
        starts_at,
        ends_at: Some(starts_at + hours(48, chance)),
        ..bare(&number.to_string())
    }
}

async fn fill(world: &World, chance: &mut Chance) {
    world.add(&["acme"]).await;
    let contents: Vec<Content> = (0..EVENTS).map(|number| content(number, chance)).collect();
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", contents)).await;
}

async fn page(world: &World, search: &Search) -> Vec<Found> {
    let (_, found) = search::find(world.db.reader(), search).await.unwrap();
    found.try_collect().await.unwrap()
}

async fn pages(world: &World, search: &Search, limit: usize) -> Vec<Position> {
    let mut search = Search {
        limit: Some(limit as u64),
        ..search.clone()
    };
    let mut all = Vec::new();
    loop {
        let page = page(world, &search).await;
        assert!(page.len() <= limit);
        all.extend(page.iter().map(Found::position));
        assert!(all.len() <= EVENTS, "pages do not end");
        if page.len() < limit {
            return all;
        }
        search.after = page.last().map(Found::position);
    }
}

async fn pages_of_any_length_are_the_whole(world: World) {
    fill(&world, &mut Chance::new(1)).await;
    let midst = Some(start() + TimeDelta::hours(30));
    let searches = [
        Search::default(),
        Search {
            starts_at: midst,
            ..Search::default()
        },
        Search {
            starts_at: midst,
            overlaps: true,
            ..Search::default()
        },
        Search {
            updated_since: Some(start()),
            ends_at: midst,
            ..Search::default()
        },
    ];
    for search in searches {
        let whole: Vec<Position> = page(&world, &search)
            .await
            .iter()
            .map(Found::position)
            .collect();
        assert!(whole.len() > 20 && whole.is_sorted(), "{}", whole.len());
        for limit in [1, 2, 3, 7, 31, 32, 33, whole.len() - 1, whole.len(), 500] {
            assert!(
                pages(&world, &search, limit).await == whole,
                "{limit} {search:?}"
            );
        }
    }
}

async fn what_moves_between_pages_costs_no_other_event_its_place(world: World) {
    let mut chance = Chance::new(2);
    fill(&world, &mut chance).await;
    let mut search = Search {
        limit: Some(5),
        ..Search::default()
    };
    let mut moved = HashSet::new();
    let mut seen: HashMap<Uuid, Vec<Position>> = HashMap::new();
    let mut last = None;
    loop {
        let found = page(&world, &search).await;
        for position in found.iter().map(Found::position) {
            assert!(last < Some(position), "{position:?} after {last:?}");
            last = Some(position);
            seen.entry(position.id).or_default().push(position);
        }
        if found.len() < 5 {
            break;
        }
        search.after = last;
        let numbers: HashSet<usize> = (0..4).map(|_| chance.below(EVENTS)).collect();
        let contents: Vec<Content> = numbers
            .into_iter()
            .map(|number| content(number, &mut chance))
            .collect();
        moved.extend(
            contents
                .iter()
                .map(|content| entity::event::id("acme", &content.base_id, &content.event_id)),
        );
        let begun = world.begun("acme").await;
        world.commit(&begun, &replacing("acme", contents)).await;
    }
    let all = page(&world, &Search::default()).await;
    let (moved, still): (Vec<_>, Vec<_>) = all.iter().partition(|event| moved.contains(&event.id));
    assert!(
        moved.len() > 20 && still.len() > 20,
        "{} moved",
        moved.len()
    );
    for event in still {
        assert_eq!(seen.get(&event.id), Some(&vec![event.position()]));
    }
    assert!(
        seen.values().any(|positions| positions.len() > 1),
        "none was seen twice"
    );
}

async fn a_page_of_the_end_is_empty_and_has_a_version(world: World) {
    fill(&world, &mut Chance::new(3)).await;
    let all = page(&world, &Search::default()).await;
    let end = Search {
        after: all.last().map(Found::position),
        limit: Some(20),
        ..Search::default()
    };
    let (version, found) = search::find(world.db.reader(), &end).await.unwrap();
    let found: Vec<Found> = found.try_collect().await.unwrap();
    assert_eq!((version.number, found.len()), (1, 0));
}

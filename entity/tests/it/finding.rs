//! The search against a filter that is too simple to be wrong.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::commit::Changes;
use entity::event::{self, Content, Model, SellMode, Zone, Zones};
use entity::search::{self, Found, Gone, Position, Search};
use futures::TryStreamExt;
use sea_orm::EntityTrait;
use uuid::Uuid;

use crate::chance::Chance;
use crate::on_both_databases;
use crate::world::{World, bare, creating, storing};

on_both_databases!(
    each_filter_alone_finds_what_it_should,
    filters_together_find_what_they_should,
    what_is_found_is_told_as_it_is_stored,
    an_answer_carries_its_version_also_when_nothing_is_found,
    one_event_comes_with_its_provider_and_without_its_runs,
    events_are_counted_by_provider,
);

const PROVIDERS: [&str; 3] = ["acme", "other", "third"];
/// More than a search for changed events sorts.
const EVENTS: usize = 2_000;

fn start() -> DateTime<Utc> {
    "2021-06-01T00:00:00Z".parse().unwrap()
}

/// An event whose values are few enough to coincide with others'.
fn content(number: usize, chance: &mut Chance) -> Content {
    let day = TimeDelta::days(1);
    let lengths = [
        TimeDelta::zero(),
        TimeDelta::hours(3),
        TimeDelta::hours(23),
        day - TimeDelta::microseconds(1),
        day,
        day + TimeDelta::microseconds(1),
        day + TimeDelta::seconds(1),
        TimeDelta::days(3),
        TimeDelta::days(40),
    ];
    let hours = i64::try_from(chance.below(24 * 30)).unwrap();
    let starts_at = start() + TimeDelta::hours(hours);
    let ends_at = (!chance.once_in(3)).then(|| starts_at + *chance.of(&lengths));
    let prices = (!chance.once_in(5)).then(|| {
        let least = i64::try_from(chance.below(10)).unwrap() * 10_000;
        (least, least + *chance.of(&[0, 10_000, 50_000]))
    });
    let local = |at: DateTime<Utc>| at.naive_utc() + TimeDelta::hours(2);
    Content {
        title: format!("Event {number}"),
        starts_at,
        ends_at,
        starts_local: local(starts_at),
        ends_local: ends_at.map(local),
        sold_out: chance.once_in(4),
        sell_mode: *chance.of(&[SellMode::Online, SellMode::Online, SellMode::Offline]),
        min_price: prices.map(|(least, _)| least),
        max_price: prices.map(|(_, greatest)| greatest),
        zones: vec![Zone {
            id: Some(number.to_string()),
            price: prices.map(|(least, _)| least),
            ..Zone::default()
        }],
        ..bare(&number.to_string())
    }
}

/// Events of several providers, some gone, changed at one time or another; and the names of their
/// providers.
async fn fill(world: &World, events: usize) -> Vec<(Model, String)> {
    let mut chance = Chance::new(1);
    world.add(&PROVIDERS).await;
    for (number, name) in PROVIDERS.into_iter().enumerate() {
        let contents: Vec<Content> = (0..events)
            .filter(|event| event % PROVIDERS.len() == number)
            .map(|event| content(event, &mut chance))
            .collect();
        let gone = contents
            .iter()
            .filter(|content| content.event_id.ends_with('7'))
            .map(|content| event::id(name, &content.base_id, &content.event_id));
        let gone = Changes {
            gone: gone.collect(),
            ..Changes::default()
        };
        let begun = world.begun(name).await;
        world.commit(&begun, &creating(name, contents)).await;
        let begun = world.begun(name).await;
        world.commit(&begun, &gone).await;
    }
    // By the hour, so that one instant is that of several.
    let hour = |hour: usize| start() - TimeDelta::hours(i64::try_from(hour).unwrap());
    for hours in 0..100 {
        let sql = "UPDATE event SET changed_at = $1 \
                   WHERE CAST(event_id AS integer) % 100 = CAST($2 AS integer)";
        let values = vec![hour(hours).into(), i64::try_from(hours).unwrap().into()];
        world.execute(sql, values).await;
    }
    stored(world).await
}

async fn stored(world: &World) -> Vec<(Model, String)> {
    let db = &world.db.write;
    let names: HashMap<i64, String> = entity::provider::active(db)
        .await
        .unwrap()
        .into_iter()
        .map(|provider| (provider.id, provider.name))
        .collect();
    let mut all: Vec<_> = event::Entity::find()
        .all(db)
        .await
        .unwrap()
        .into_iter()
        .map(|event| (event.clone(), names[&event.provider_id].clone()))
        .collect();
    all.sort_by_key(|(event, _)| position(event));
    all
}

fn position(event: &Model) -> Position {
    Position {
        starts_at: event.starts_at,
        id: event.id,
    }
}

fn matches(event: &Model, provider: &str, search: &Search) -> bool {
    let ends_at = event.ends_at.unwrap_or(event.starts_at);
    let window = if search.overlaps {
        search.starts_at.is_none_or(|from| ends_at >= from)
            && search.ends_at.is_none_or(|to| event.starts_at <= to)
    } else {
        search.starts_at.is_none_or(|from| event.starts_at >= from)
            && search.ends_at.is_none_or(|to| ends_at <= to)
    };
    let gone = match search.gone {
        Gone::Include => true,
        Gone::Exclude => event.gone_at.is_none(),
        Gone::Only => event.gone_at.is_some(),
    };
    let at_least = |price| event.max_price.is_some_and(|greatest| greatest >= price);
    let at_most = |price| event.min_price.is_some_and(|least| least <= price);
    event.ever_online
        && window
        && gone
        && search.provider.as_ref().is_none_or(|name| name == provider)
        && search.min_price.is_none_or(at_least)
        && search.max_price.is_none_or(at_most)
        && search.available.is_none_or(|yes| yes != event.sold_out)
        && search
            .updated_since
            .is_none_or(|since| event.changed_at >= since)
        && search.after.is_none_or(|after| position(event) > after)
}

fn expected(events: &[(Model, String)], search: &Search) -> Vec<Uuid> {
    let matching = events
        .iter()
        .filter(|(event, provider)| matches(event, provider, search))
        .map(|(event, _)| event.id);
    let limit = search.limit.map_or(usize::MAX, |limit| limit as usize);
    matching.take(limit).collect()
}

async fn find(world: &World, search: &Search) -> Vec<Found> {
    let (_, found) = search::find(world.db.reader(), search).await.unwrap();
    found.try_collect().await.unwrap()
}

/// Gives how many were found.
async fn check(world: &World, events: &[(Model, String)], search: &Search) -> usize {
    let found: Vec<Uuid> = find(world, search).await.iter().map(|it| it.id).collect();
    assert!(found == expected(events, search), "{search:?}");
    found.len()
}

/// Narrows a search, given two instants and a place amid all events.
type Narrow = fn(&mut Search, DateTime<Utc>, DateTime<Utc>, Position);

async fn each_filter_alone_finds_what_it_should(world: World) {
    let events = fill(&world, EVENTS).await;
    let all = check(&world, &events, &Search::default()).await;
    assert!(all > EVENTS / 2, "{all}");
    let noon = start() + TimeDelta::hours(12 + 24 * 14);
    let later = noon + TimeDelta::days(2);
    let middle = position(&events[EVENTS / 2].0);
    let searches: [Narrow; 24] = [
        |search, noon, _, _| search.starts_at = Some(noon),
        |search, _, later, _| search.ends_at = Some(later),
        |search, noon, later, _| (search.starts_at, search.ends_at) = (Some(noon), Some(later)),
        |search, noon, _, _| (search.starts_at, search.overlaps) = (Some(noon), true),
        |search, _, later, _| (search.ends_at, search.overlaps) = (Some(later), true),
        |search, noon, later, _| {
            (search.starts_at, search.ends_at) = (Some(noon), Some(later));
            search.overlaps = true;
        },
        // An instant.
        |search, noon, _, _| {
            (search.starts_at, search.ends_at) = (Some(noon), Some(noon));
            search.overlaps = true;
        },
        |search, _, _, _| search.provider = Some("other".to_owned()),
        |search, _, _, _| search.min_price = Some(60_000),
        |search, _, _, _| search.max_price = Some(60_000),
        |search, _, _, _| (search.min_price, search.max_price) = (Some(60_000), Some(60_000)),
        |search, _, _, _| search.available = Some(true),
        |search, _, _, _| search.available = Some(false),
        |search, _, _, _| search.gone = Gone::Exclude,
        |search, _, _, _| search.gone = Gone::Only,
        // More than are sorted, about as many, and few.
        |search, _, _, _| search.updated_since = Some(start() - TimeDelta::hours(98)),
        |search, _, _, _| search.updated_since = Some(start() - TimeDelta::hours(74)),
        |search, _, _, _| search.updated_since = Some(start() - TimeDelta::hours(3)),
        |search, _, _, _| search.updated_since = Some(start()),
        |search, _, _, middle| search.after = Some(middle),
        |search, _, _, _| search.limit = Some(1),
        |search, _, _, _| search.limit = Some(32),
        |search, _, _, _| search.limit = Some(33),
        |search, _, _, _| search.limit = Some(700),
    ];
    for (number, narrow) in searches.into_iter().enumerate() {
        let mut search = Search::default();
        narrow(&mut search, noon, later, middle);
        let found = check(&world, &events, &search).await;
        assert!((1..all).contains(&found), "{number}: {found} {search:?}");
    }
    let nobody = Search {
        provider: Some("nobody".to_owned()),
        ..Search::default()
    };
    assert_eq!(check(&world, &events, &nobody).await, 0);
    let nothing = Search {
        limit: Some(0),
        ..Search::default()
    };
    assert_eq!(check(&world, &events, &nothing).await, 0);
}

/// A search whose values are those of events, to meet their edges.
fn search(events: &[(Model, String)], chance: &mut Chance) -> Search {
    let mut search = Search::default();
    let one = |chance: &mut Chance| chance.of(events).0.clone();
    if !chance.once_in(3) {
        let event = one(chance);
        search.starts_at = event
            .ends_at
            .filter(|_| chance.once_in(2))
            .or(Some(event.starts_at));
    }
    if !chance.once_in(3) {
        let event = one(chance);
        search.ends_at = event
            .ends_at
            .filter(|_| chance.once_in(2))
            .or(Some(event.starts_at));
    }
    search.overlaps = chance.once_in(2);
    if chance.once_in(4) {
        search.provider = Some((*chance.of(&PROVIDERS)).to_owned());
    }
    if chance.once_in(4) {
        search.min_price = one(chance).max_price;
    }
    if chance.once_in(4) {
        search.max_price = one(chance).min_price;
    }
    if chance.once_in(4) {
        search.available = Some(chance.once_in(2));
    }
    search.gone = *chance.of(&[Gone::Include, Gone::Include, Gone::Exclude, Gone::Only]);
    if chance.once_in(2) {
        search.updated_since = Some(one(chance).changed_at);
    }
    if chance.once_in(3) {
        search.after = Some(position(&one(chance)));
    }
    if chance.once_in(2) {
        search.limit = Some(1 + chance.below(150) as u64);
    }
    search
}

async fn filters_together_find_what_they_should(world: World) {
    let events = fill(&world, EVENTS).await;
    let mut chance = Chance::new(2);
    let mut found = 0;
    for _ in 0..400 {
        let search = search(&events, &mut chance);
        found += usize::from(check(&world, &events, &search).await > 0);
    }
    assert!(found > 200, "only {found} searches found anything");
}

async fn what_is_found_is_told_as_it_is_stored(world: World) {
    let events = fill(&world, 300).await;
    let events: Vec<&Model> = events
        .iter()
        .map(|(event, _)| event)
        .filter(|event| event.ever_online)
        .collect();
    for (zones, limit) in [
        (false, None),
        (true, None),
        (false, Some(50)),
        (true, Some(50)),
    ] {
        let search = Search {
            zones,
            limit,
            ..Search::default()
        };
        let found = find(&world, &search).await;
        assert_eq!(
            found.len(),
            limit.map_or(events.len(), |limit| limit as usize)
        );
        for (found, event) in found.iter().zip(&events) {
            let expected = Found {
                id: event.id,
                title: event.title.clone(),
                starts_at: event.starts_at,
                starts_local: event.starts_local,
                ends_local: event.ends_local,
                min_price: event.min_price,
                max_price: event.max_price,
                zones: zones.then(|| event.zones.clone()),
            };
            assert_eq!((found, found.position()), (&expected, position(event)));
            assert!(
                found
                    .zones
                    .as_ref()
                    .is_none_or(|Zones(zones)| zones.len() == 1)
            );
        }
    }
}

async fn an_answer_carries_its_version_also_when_nothing_is_found(world: World) {
    let version = async |search: Search| {
        let (version, _) = search::find(world.db.reader(), &search).await.unwrap();
        version
    };
    let before = version(Search::default()).await;
    assert_eq!(before.number, 0);
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &storing([])).await;
    let begun = world.begun("acme").await;
    world.commit(&begun, &creating("acme", [bare("1")])).await;
    for limit in [None, Some(0), Some(1), Some(1000)] {
        for updated_since in [None, Some(start() + TimeDelta::days(36_500))] {
            let search = Search {
                limit,
                updated_since,
                ..Search::default()
            };
            let after = version(search).await;
            assert_eq!((after.number, after.epoch), (1, before.epoch));
        }
    }
}

async fn one_event_comes_with_its_provider_and_without_its_runs(world: World) {
    let events = fill(&world, 100).await;
    for (event, provider) in events {
        let (version, found) = search::event(world.db.reader(), event.id).await.unwrap();
        let found = found.unwrap();
        assert_eq!((found.event, found.provider), (event, provider));
        assert_eq!(version.number, world.version().await);
    }
    let (version, found) = search::event(world.db.reader(), Uuid::nil()).await.unwrap();
    assert_eq!((version.number, found), (world.version().await, None));
}

async fn events_are_counted_by_provider(world: World) {
    let (version, none) = search::counts(&world.db.read).await.unwrap();
    assert_eq!((version.number, none.len()), (0, 0));
    let events = fill(&world, 200).await;
    world.add(&["empty"]).await;
    let (version, counts) = search::counts(&world.db.read).await.unwrap();
    assert_eq!(version.number, world.version().await);
    let names: Vec<&str> = counts.iter().map(|of| of.provider.as_str()).collect();
    assert_eq!(names, ["acme", "empty", "other", "third"]);
    for of in counts {
        let own = events
            .iter()
            .filter(|(_, provider)| *provider == of.provider);
        let (gone, here): (Vec<_>, Vec<_>) = own.partition(|(event, _)| event.gone_at.is_some());
        assert_eq!(of.events, here.len() as i64, "{}", of.provider);
        assert_eq!(of.events_gone, gone.len() as i64, "{}", of.provider);
    }
    // It may come back without a new version.
    entity::provider::retire(&world.db, "other").await.unwrap();
    let (_, counts) = search::counts(&world.db.read).await.unwrap();
    assert_eq!(counts.len(), 4);
}

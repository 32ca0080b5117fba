//! Whoever keeps a copy as the documents say has the very events that a search finds.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::writers::write;
use crate::world::World;

#[tokio::test]
async fn a_copy_is_the_whole_while_others_write_on_postgres() {
    is_the_whole(World::postgres().await, 300).await;
}

#[tokio::test]
async fn a_copy_is_the_whole_while_others_write_on_sqlite() {
    is_the_whole(World::sqlite().await, 60).await;
}

/// What a copy has of each event: whether it is gone, and what a search shows.
type Copy = BTreeMap<String, (bool, Map<String, Value>)>;

/// What a search shows of an event, out of everything that there is to it.
fn shown(event: &Map<String, Value>) -> Map<String, Value> {
    const FIELDS: [&str; 8] = [
        "id",
        "title",
        "start_date",
        "start_time",
        "end_date",
        "end_time",
        "min_price",
        "max_price",
    ];
    let fields = FIELDS.map(|name| (name.to_owned(), event[name].clone()));
    fields.into_iter().collect()
}

/// All events with their marks, and the version of the older of the two searches.
async fn searched(world: &World) -> (Copy, String) {
    let mut copy = Copy::new();
    let mut version = None;
    for (query, gone) in [("exclude", false), ("only", true)] {
        let answer = world.get(&format!("/v1/events/search?gone={query}")).await;
        version.get_or_insert(answer.header("dataset-version").to_owned());
        for event in answer.json()["data"]["events"].as_array().unwrap() {
            let event = event.as_object().unwrap();
            let id = event["id"].as_str().unwrap().to_owned();
            copy.insert(id, (gone, event.clone()));
        }
    }
    (copy, version.unwrap())
}

async fn is_the_whole(world: World, commits: usize) {
    // Some is there before the copy begins.
    write(&world.db, commits / 10).await;
    let (written, writing) = watch::channel(false);
    let db = world.db.clone();
    let writers = async move {
        write(&db, commits).await;
        written.send(true).unwrap();
    };
    let ((), (copy, told)) = tokio::join!(writers, keep(&world, writing));
    let (found, version) = searched(&world).await;
    assert_eq!(copy, found);
    assert!(found.values().any(|(gone, _)| *gone));
    assert!(found.values().any(|(gone, _)| !*gone));
    let last = told.last().unwrap().0;
    let number: i64 = version.rsplit_once('-').unwrap().1.parse().unwrap();
    assert!(last <= number && number - last < 10, "{last} of {number}");
    assert!(told.len() > commits, "{} changes", told.len());
}

/// A copy kept until nobody writes any more, and the places of all changes in the order in which
/// they were told.
async fn keep(world: &World, writing: watch::Receiver<bool>) -> (Copy, Vec<(i64, i64)>) {
    let (mut copy, mut since) = searched(world).await;
    let mut told: Vec<(i64, i64)> = Vec::new();
    let mut limits = [1, 7, 100, 1000].into_iter().cycle();
    loop {
        let nobody_writes = *writing.borrow();
        let limit = limits.next().unwrap();
        let page = world
            .get(&format!("/v1/changes?since={since}&limit={limit}"))
            .await;
        assert_eq!(page.status, 200, "{}", page.text());
        let json = page.json();
        for change in json["data"]["changes"].as_array().unwrap() {
            let place = (
                change["version"].as_i64().unwrap(),
                change["position"].as_i64().unwrap(),
            );
            assert!(
                told.last().is_none_or(|last| *last < place),
                "{place:?} after {told:?}"
            );
            told.push(place);
            let event = change["event"].as_object().unwrap();
            let gone = !event["gone_at"].is_null();
            let id = change["id"].as_str().unwrap().to_owned();
            copy.insert(id, (gone, shown(event)));
        }
        json["meta"]["next"]
            .as_str()
            .unwrap()
            .clone_into(&mut since);
        if json["meta"]["more"] == false {
            if nobody_writes {
                return (copy, told);
            }
            tokio::task::yield_now().await;
        }
    }
}

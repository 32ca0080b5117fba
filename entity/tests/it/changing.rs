//! The public log of changes.

use std::collections::HashMap;
use std::time::Duration;

use entity::changes::{At, Change, Page, page};
use entity::commit::{Changes, Committed, Finish, Upsert, commit};
use entity::event::{Content, Model, SellMode};
use entity::event_change::Kind;
use entity::lease::Held;
use entity::run::Outcome;
use entity::search::{self, Search};
use futures::TryStreamExt;
use sea_orm::{ConnectionTrait, EntityTrait};
use serde_json::Value;
use uuid::Uuid;

use crate::chance::Chance;
use crate::on_both_databases;
use crate::world::{WORKER, World, bare, creating, id, ids, known, new, replacing, storing};

on_both_databases!(
    whoever_reads_along_knows_all_that_many_writers_commit,
    what_was_never_online_is_left_out_and_comes_in_as_created,
    what_the_release_before_logs_is_left_out_as_well,
    a_large_commit_is_told_page_by_page,
    what_is_hidden_is_passed_over_for_good,
    a_log_that_was_pruned_tells_how_far_back_it_reaches,
    an_empty_log_reaches_back_to_its_beginning,
);

/// A provider's run, without the way there.
async fn hold(world: &World, provider_id: i64) -> Held {
    let run = Uuid::now_v7();
    let tx = world.db.begin().await.unwrap();
    let now = world.in_seconds(0);
    let later = world.in_seconds(3600);
    let sql = format!(
        "INSERT INTO run (id, provider_id, token, state, queued_at, started_at, lease_until, worker) \
         SELECT $1, id, token + 1, 'running', {now}, {now}, {later}, $2 \
         FROM provider WHERE id = $3"
    );
    let values = vec![run.into(), WORKER.into(), provider_id.into()];
    tx.execute_raw(world.statement(&sql, values)).await.unwrap();
    let sql = "UPDATE provider SET token = token + 1, current_run = $1 WHERE id = $2 \
               RETURNING token";
    let claim = world.statement(sql, vec![run.into(), provider_id.into()]);
    let row = tx.query_one_raw(claim).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    Held {
        run,
        provider_id,
        token: row.try_get_by_index(0).unwrap(),
        worker: WORKER.to_owned(),
    }
}

async fn write(world: &World, provider_id: i64, changes: &Changes) {
    let held = hold(world, provider_id).await;
    let due = chrono::Utc::now() + Duration::from_secs(900);
    let finish = Finish::new(Outcome::Stored, due, 1);
    let committed = commit(&world.db, &held, &finish, changes).await.unwrap();
    assert!(matches!(committed, Committed::Yes(_)), "{committed:?}");
}

/// What a writer knows of one of its events.
#[derive(Clone)]
struct Own {
    content: Content,
    gone: bool,
}

/// Commits of one provider, each of a few events.
async fn writer(world: &World, name: &str, commits: usize, seed: u64) {
    let mut chance = Chance::new(seed);
    let provider_id = world.provider(name).await.id;
    let mut own: HashMap<String, Own> = HashMap::new();
    for number in 0..commits {
        let mut upserts: HashMap<String, Upsert> = HashMap::new();
        let (mut gone, mut returned) = (Vec::new(), Vec::new());
        for _ in 0..=chance.below(3) {
            let event_id = chance.below(25).to_string();
            if upserts.contains_key(&event_id) {
                continue;
            }
            let id = id(name, &event_id);
            let marked = gone.contains(&id) || returned.contains(&id);
            let Some(event) = own.get_mut(&event_id).filter(|_| !marked) else {
                if !marked {
                    // More begin offline than end there.
                    let sell_mode = *chance.of(&[SellMode::Online, SellMode::Offline]);
                    let content = Content {
                        sell_mode,
                        ..bare(&event_id)
                    };
                    upserts.insert(event_id.clone(), new(name, content.clone()));
                    let event = Own {
                        content,
                        gone: false,
                    };
                    own.insert(event_id, event);
                }
                continue;
            };
            match (chance.once_in(3), event.gone) {
                (true, false) => gone.push(id),
                (true, true) => returned.push(id),
                (false, _) => {
                    event.content.title = format!("{name} {number}");
                    if chance.once_in(4) {
                        event.content.sell_mode = SellMode::Online;
                    }
                    upserts.insert(event_id, known(name, event.content.clone()));
                    event.gone = false;
                    continue;
                }
            }
            event.gone = !event.gone;
        }
        gone.sort();
        returned.sort();
        let changes = Changes {
            gone,
            returned,
            ..storing(upserts.into_values())
        };
        write(world, provider_id, &changes).await;
    }
}

/// Someone who knows nothing but what the log tells.
#[derive(Default)]
struct Reader {
    at: At,
    last: Option<(i64, i64)>,
    events: HashMap<Uuid, Model>,
    gone: HashMap<Uuid, bool>,
    /// The last that was told of each field.
    fields: HashMap<(Uuid, String), Value>,
    read: usize,
}

impl Reader {
    async fn read(&mut self, world: &World, limit: u64) -> Page {
        let page = page(world.db.reader(), self.at, limit).await.unwrap();
        assert!(page.changes.len() as u64 <= limit);
        assert!(page.reaches_back(self.at));
        for change in &page.changes {
            assert!(change.version <= page.version.number);
            self.take(change);
        }
        self.at = page.next;
        page
    }

    fn take(&mut self, change: &Change) {
        let place = (change.version, change.position);
        assert!(self.last < Some(place), "{place:?} after {:?}", self.last);
        self.last = Some(place);
        self.read += 1;
        let id = change.event_id;
        let known = self.gone.get(&id).copied();
        let expected = match change.kind {
            Kind::Created => None,
            Kind::Updated | Kind::Gone => Some(false),
            Kind::Returned => Some(true),
        };
        assert_eq!(known, expected, "{:?} of {id}", change.kind);
        self.gone.insert(id, change.kind == Kind::Gone);
        let event = change.event.as_ref().unwrap();
        assert!(event.event.ever_online);
        self.events.insert(id, event.event.clone());
        assert!(change.kind != Kind::Created || change.changed.is_none());
        for (field, values) in change.changed.iter().flat_map(|it| it.as_object().unwrap()) {
            self.fields.insert((id, field.clone()), values[1].clone());
        }
    }
}

async fn whoever_reads_along_knows_all_that_many_writers_commit(world: World) {
    const PROVIDERS: [&str; 4] = ["a", "b", "c", "d"];
    let commits = match world.db.kind() {
        entity::Kind::Postgres => 500,
        entity::Kind::Sqlite => 60,
    };
    world.add(&PROVIDERS).await;
    let mut reader = Reader::default();
    let writers = futures::future::join_all(
        PROVIDERS
            .iter()
            .zip(1..)
            .map(|(name, seed)| writer(&world, name, commits, seed)),
    );
    let mut pages = 0;
    let along = async {
        let mut chance = Chance::new(9);
        loop {
            let page = reader.read(&world, 1 + chance.below(9) as u64).await;
            pages += u64::from(!page.changes.is_empty());
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = writers => {}
        () = along => {}
    }
    assert!(pages > 50, "{pages} pages read along");
    while reader.read(&world, 7).await.more {}

    let all = world.count("event_change").await;
    assert!(reader.read > 100 && (reader.read as i64) < all, "{all}");
    let (version, found) = search::find(world.db.reader(), &Search::default())
        .await
        .unwrap();
    let found: Vec<search::Found> = found.try_collect().await.unwrap();
    let expected = At {
        version: version.number,
        position: None,
    };
    assert_eq!(reader.at, expected);
    assert_eq!(found.len(), reader.events.len());
    let rows = entity::event::Entity::find()
        .all(&world.db.write)
        .await
        .unwrap();
    let rows: HashMap<Uuid, Model> = rows.into_iter().map(|row| (row.id, row)).collect();
    for event in found {
        let row = &rows[&event.id];
        assert_eq!(&reader.events[&event.id], row);
        assert_eq!(reader.gone[&event.id], row.gone_at.is_some());
    }
    for ((id, field), value) in &reader.fields {
        let content = serde_json::to_value(rows[id].clone().into_content()).unwrap();
        assert_eq!(&content[field], value, "{field} of {id}");
    }
    assert_eq!(entity::invariants::violations(&world.db).await.unwrap(), []);
}

async fn all_from(world: &World, at: At) -> Page {
    page(world.db.reader(), at, 1_000).await.unwrap()
}

/// Version, event and kind of each change from the beginning.
async fn told(world: &World) -> Vec<(i64, Uuid, Kind)> {
    let page = all_from(world, At::default()).await;
    let changes = page.changes.iter();
    changes
        .map(|change| (change.version, change.event_id, change.kind))
        .collect()
}

fn offline(event_id: &str) -> Content {
    Content {
        sell_mode: SellMode::Offline,
        ..bare(event_id)
    }
}

fn renamed(content: Content) -> Content {
    Content {
        title: "Renamed".to_owned(),
        ..content
    }
}

fn going(event_ids: &[&str]) -> Changes {
    Changes {
        gone: ids("acme", event_ids),
        ..Changes::default()
    }
}

async fn what_was_never_online_is_left_out_and_comes_in_as_created(world: World) {
    world.add(&["acme"]).await;
    let provider = world.provider("acme").await.id;
    let steps = [
        creating("acme", ["a", "b", "c"].map(offline)),
        replacing("acme", [renamed(offline("a"))]),
        going(&["a", "b"]),
        Changes {
            returned: ids("acme", &["a"]),
            ..Changes::default()
        },
        // One that is there, and one that comes back.
        replacing("acme", [bare("a"), bare("b")]),
        // Whoever has once been online stays.
        replacing("acme", [renamed(offline("a"))]),
        going(&["a", "c"]),
    ];
    for changes in steps {
        write(&world, provider, &changes).await;
    }
    let [a, b] = ["a", "b"].map(|event_id| id("acme", event_id));
    let mut revealed = [(5, a, Kind::Created), (5, b, Kind::Created)];
    revealed.sort_by_key(|row| row.1);
    let expected = [
        revealed[0],
        revealed[1],
        (6, a, Kind::Updated),
        (7, a, Kind::Gone),
    ];
    assert_eq!(told(&world).await, expected);
    let page = all_from(&world, At::default()).await;
    let changed: Vec<bool> = page.changes.iter().map(|it| it.changed.is_some()).collect();
    assert_eq!(changed, [false, false, true, false]);
    for change in page.changes {
        let with = change.event.unwrap();
        assert_eq!(
            (with.provider.as_str(), with.event.id),
            ("acme", change.event_id)
        );
        assert_eq!(with.event, world.event(change.event_id).await);
    }
}

async fn what_the_release_before_logs_is_left_out_as_well(world: World) {
    world.add(&["acme"]).await;
    let provider = world.provider("acme").await.id;
    write(
        &world,
        provider,
        &creating("acme", [offline("a"), bare("b")]),
    )
    .await;
    world
        .execute("UPDATE event_change SET hidden = false", vec![])
        .await;
    assert_eq!(told(&world).await, [(1, id("acme", "b"), Kind::Created)]);
}

async fn a_large_commit_is_told_page_by_page(world: World) {
    world.add(&["acme"]).await;
    let provider = world.provider("acme").await.id;
    let contents: Vec<Content> = (0..300).map(|number| bare(&number.to_string())).collect();
    write(&world, provider, &creating("acme", contents)).await;
    write(&world, provider, &going(&["1", "2"])).await;
    let whole = told(&world).await;
    assert_eq!(whole.len(), 302);
    for limit in [1, 7, 31, 32, 33, 150, 301, 302, 303] {
        let mut at = At::default();
        let mut all = Vec::new();
        loop {
            let page = page(world.db.reader(), at, limit).await.unwrap();
            let changes = page.changes.iter();
            all.extend(changes.map(|change| (change.version, change.event_id, change.kind)));
            at = page.next;
            if !page.more {
                break;
            }
        }
        assert_eq!(all, whole, "{limit}");
        assert_eq!((at.version, at.position), (2, None));
    }
    let none = page(world.db.reader(), At::default(), 0).await.unwrap();
    assert_eq!((none.changes.len(), none.next), (0, At::default()));
}

async fn what_is_hidden_is_passed_over_for_good(world: World) {
    world.add(&["acme"]).await;
    let provider = world.provider("acme").await.id;
    write(&world, provider, &creating("acme", [bare("a")])).await;
    for number in 0..3 {
        let content = offline(&number.to_string());
        write(&world, provider, &creating("acme", [content])).await;
    }
    let first = page(world.db.reader(), At::default(), 1).await.unwrap();
    let at = At {
        version: 1,
        position: Some(0),
    };
    assert_eq!((first.next, first.more), (at, true));
    let rest = page(world.db.reader(), first.next, 1).await.unwrap();
    let end = At {
        version: 4,
        position: None,
    };
    assert_eq!((rest.changes.len(), rest.next, rest.more), (0, end, false));
    // A replica that lags behind sends nobody back.
    let ahead = At {
        version: 9,
        position: None,
    };
    assert_eq!(all_from(&world, ahead).await.next, ahead);
}

async fn a_log_that_was_pruned_tells_how_far_back_it_reaches(world: World) {
    world.add(&["acme"]).await;
    let provider = world.provider("acme").await.id;
    for number in 0..6 {
        let content = bare(&number.to_string());
        write(&world, provider, &creating("acme", [content])).await;
    }
    let prune = async |version: i64| {
        for sql in [
            "DELETE FROM event_change WHERE run_id IN \
             (SELECT run_id FROM dataset_commit WHERE version <= $1)",
            "DELETE FROM dataset_commit WHERE version <= $1",
        ] {
            world.execute(sql, vec![version.into()]).await;
        }
    };
    let reaches = async |version: i64, position: Option<i64>| {
        let at = At { version, position };
        all_from(&world, at).await.reaches_back(at)
    };
    assert!(reaches(0, None).await);
    prune(3).await;
    let page = all_from(&world, At::default()).await;
    assert_eq!((page.oldest, page.changes.len()), (Some(4), 3));
    for version in 0..3 {
        assert!(!reaches(version, None).await, "{version}");
        assert!(!reaches(version, Some(0)).await, "{version}");
    }
    assert!(reaches(3, None).await, "nothing is missing after it");
    assert!(!reaches(3, Some(0)).await, "perhaps there was more of it");
    for version in 4..=7 {
        assert!(reaches(version, None).await, "{version}");
        assert!(reaches(version, Some(0)).await, "{version}");
    }
    prune(6).await;
    assert_eq!(all_from(&world, At::default()).await.oldest, None);
    assert!(!reaches(5, None).await);
    assert!(!reaches(6, Some(0)).await);
    assert!(reaches(6, None).await, "who has read all misses nothing");
    assert!(reaches(7, None).await);
}

async fn an_empty_log_reaches_back_to_its_beginning(world: World) {
    let page = all_from(&world, At::default()).await;
    assert!(page.reaches_back(At::default()));
    assert_eq!(
        (page.version.number, page.oldest, page.changes.len()),
        (0, None, 0)
    );
    assert_eq!((page.next, page.more), (At::default(), false));
}

//! What an event was, told from what it is and what was logged.

use entity::commit::Changes;
use entity::event::{Content, SellMode, Zone};
use entity::event_change::Kind;
use entity::history::{History, Past, of_event};

use crate::chance::Chance;
use crate::on_both_databases;
use crate::world::{World, bare, creating, id, known, replacing, storing};

on_both_databases!(
    every_version_is_told_as_it_was_stored,
    pages_of_any_length_are_the_whole_history,
    each_absence_has_its_own_beginning,
    what_the_release_before_logged_is_told_by_what_came_later,
    a_pruned_log_tells_what_it_still_can,
    an_event_that_nobody_knows_has_no_history,
);

fn other(content: &Content, chance: &mut Chance) -> Content {
    let mut content = content.clone();
    let at = || Some("2021-07-01T20:00:00.123456Z".parse().unwrap());
    for _ in 0..=chance.below(3) {
        match chance.below(12) {
            0 => content.title.push('!'),
            1 => content.starts_at += chrono::TimeDelta::microseconds(1),
            2 => content.ends_at = at().filter(|_| content.ends_at.is_none()),
            3 => content.starts_local += chrono::TimeDelta::seconds(1),
            4 => {
                let local = at().map(|at: chrono::DateTime<chrono::Utc>| at.naive_utc());
                content.ends_local = local.filter(|_| content.ends_local.is_none());
            }
            5 => content.sell_from = at().filter(|_| content.sell_from.is_none()),
            6 => content.sell_to = at().filter(|_| content.sell_to.is_none()),
            7 => content.sold_out = !content.sold_out,
            8 => content.sell_mode = *chance.of(&[SellMode::Online, SellMode::Offline]),
            9 => content.organizer_company_id = chance.once_in(2).then(|| "1".to_owned()),
            10 => content.push_zone(Zone {
                price: Some(i64::try_from(chance.below(100)).unwrap()),
                ..Zone::default()
            }),
            _ => {
                content.zones.clear();
                (content.min_price, content.max_price) = (None, None);
            }
        }
    }
    content
}

/// What the newest version of an event's history must say.
type Stored = (i64, Content, Option<chrono::DateTime<chrono::Utc>>, bool);

/// An event that lives through many commits, and what was stored after each, newest first.
async fn life(world: &World, seed: u64, commits: usize) -> Vec<Stored> {
    let mut chance = Chance::new(seed);
    world.add(&["acme"]).await;
    let mut content = Content {
        sell_mode: SellMode::Offline,
        ..bare("1")
    };
    let mut stored = Vec::new();
    for number in 0..commits {
        let begun = world.begun("acme").await;
        let id = id("acme", "1");
        let gone = number > 0 && world.event(id).await.gone_at.is_some();
        let changes = if number == 0 {
            creating("acme", [content.clone(), bare("2")])
        } else if gone && chance.once_in(2) {
            Changes {
                returned: vec![id],
                ..Changes::default()
            }
        } else if !gone && chance.once_in(4) {
            Changes {
                gone: vec![id],
                ..Changes::default()
            }
        } else if chance.once_in(5) {
            // Of another event.
            let title = format!("Title {number}");
            storing([known("acme", Content { title, ..bare("2") })])
        } else {
            content = other(&content, &mut chance);
            replacing("acme", [content.clone()])
        };
        world.commit(&begun, &changes).await;
        let row = world.event(id).await;
        let logged = world.log(begun.held.run).await;
        if logged.iter().any(|change| change.event_id == id) {
            let state = (row.gone_at, row.ever_online);
            stored.push((world.version().await, row.into_content(), state.0, state.1));
        }
    }
    stored.reverse();
    stored
}

async fn history(world: &World, before: Option<i64>, limit: u64) -> History {
    let (version, history) = of_event(&world.db.read, id("acme", "1"), before, limit)
        .await
        .unwrap();
    assert_eq!(version.number, world.version().await);
    history.unwrap()
}

async fn every_version_is_told_as_it_was_stored(world: World) {
    let stored = life(&world, 1, 60).await;
    assert!(stored.iter().any(|(_, _, gone_at, _)| gone_at.is_some()));
    assert!(stored.iter().any(|(_, _, _, online)| !online) && stored[0].3);
    let history = history(&world, None, 1_000).await;
    assert_eq!(history.before, None);
    assert_eq!(history.event.provider, "acme");
    assert_eq!(history.event.event, world.event(id("acme", "1")).await);
    assert_eq!(history.versions.len(), stored.len());
    for (past, (version, content, gone_at, ever_online)) in history.versions.iter().zip(&stored) {
        assert_eq!(past.version, *version);
        assert_eq!(&past.content, content, "{version}");
        assert_eq!(past.ever_online, *ever_online, "{version}");
        // Instants of one commit agree only on PostgreSQL.
        assert_eq!(past.gone_at.is_some(), gone_at.is_some(), "{version}");
        assert_eq!(past.kind == Kind::Gone, gone_at.is_some(), "{version}");
        assert_eq!(past.hidden, !ever_online, "{version}");
        if world.db.kind() == entity::Kind::Postgres {
            assert_eq!(past.gone_at, *gone_at, "{version}");
        }
    }
    let newest = &history.versions[0];
    let run = entity::event_change::Model {
        changes: newest.changed.clone(),
        ..world.log(newest.run).await[usize::try_from(newest.position).unwrap()].clone()
    };
    assert_eq!(world.log(newest.run).await, [run]);
    assert_eq!(history.versions.last().unwrap().kind, Kind::Created);
}

async fn pages_of_any_length_are_the_whole_history(world: World) {
    let stored = life(&world, 2, 40).await;
    let whole: Vec<Past> = history(&world, None, 1_000).await.versions;
    assert_eq!(whole.len(), stored.len());
    for limit in [1, 2, 7, whole.len() - 1, whole.len(), whole.len() + 1] {
        let mut before = None;
        let mut all = Vec::new();
        loop {
            let page = history(&world, before, limit as u64).await;
            assert!(page.versions.len() <= limit);
            all.extend(page.versions);
            before = page.before;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(all, whole, "{limit}");
    }
    let none = history(&world, Some(whole.last().unwrap().version), 5).await;
    assert_eq!((none.versions.len(), none.before), (0, None));
}

/// Commits each of the changes on its own.
async fn commit(world: &World, steps: impl IntoIterator<Item = Changes>) {
    world.add(&["acme"]).await;
    for changes in steps {
        let begun = world.begun("acme").await;
        world.commit(&begun, &changes).await;
    }
}

fn gone() -> Changes {
    Changes {
        gone: vec![id("acme", "1")],
        ..Changes::default()
    }
}

async fn each_absence_has_its_own_beginning(world: World) {
    let returned = Changes {
        returned: vec![id("acme", "1")],
        ..Changes::default()
    };
    commit(
        &world,
        [creating("acme", [bare("1")]), gone(), returned, gone()],
    )
    .await;
    let earlier = world.in_seconds(-3600);
    let sql = format!("UPDATE dataset_commit SET committed_at = {earlier} WHERE version = 2");
    world.execute(&sql, vec![]).await;
    let history = history(&world, None, 10).await;
    let told: Vec<_> = history.versions.iter().map(|past| past.gone_at).collect();
    let first = history.versions[2].committed_at;
    let last = world.event(id("acme", "1")).await.gone_at;
    assert!(last > Some(first));
    assert_eq!(told, [last, None, Some(first), None]);
}

async fn what_the_release_before_logged_is_told_by_what_came_later(world: World) {
    let offline = |title: &str| Content {
        title: title.to_owned(),
        sell_mode: SellMode::Offline,
        ..bare("1")
    };
    let steps = [
        creating("acme", [offline("a")]),
        replacing("acme", [offline("b")]),
        replacing("acme", [bare("1")]),
        replacing("acme", [offline("c")]),
    ];
    commit(&world, steps).await;
    world
        .execute("UPDATE event_change SET hidden = false", vec![])
        .await;
    let history = history(&world, None, 10).await;
    let told: Vec<bool> = history
        .versions
        .iter()
        .map(|past| past.ever_online)
        .collect();
    assert_eq!(told, [true, true, false, false]);
}

async fn a_pruned_log_tells_what_it_still_can(world: World) {
    life(&world, 3, 30).await;
    let whole = history(&world, None, 1_000).await;
    let kept = &whole.versions[..5];
    let oldest = kept[4].version;
    for sql in [
        "DELETE FROM event_change WHERE run_id IN \
         (SELECT run_id FROM dataset_commit WHERE version < $1)",
        "DELETE FROM dataset_commit WHERE version < $1",
    ] {
        world.execute(sql, vec![oldest.into()]).await;
    }
    assert_eq!(history(&world, None, 1_000).await.versions, kept);
    world.execute("DELETE FROM event_change", vec![]).await;
    let nothing = history(&world, None, 1_000).await;
    assert_eq!((nothing.versions.len(), nothing.before), (0, None));
    assert_eq!(nothing.event, whole.event);
}

async fn an_event_that_nobody_knows_has_no_history(world: World) {
    let (version, history) = of_event(&world.db.read, id("acme", "1"), None, 5)
        .await
        .unwrap();
    assert_eq!((version.number, history), (0, None));
}

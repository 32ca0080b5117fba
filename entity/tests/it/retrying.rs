//! Commits that PostgreSQL ends for the sake of another transaction come again by themselves.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use entity::commit::{Changes, Chunks, CommitError, Committed, Source, Upsert, Upserts, commit};
use entity::event::Content;
use entity::event_change::Kind;
use entity::lease::Begun;
use entity::run::Outcome;
use futures::stream::{self, StreamExt};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::world::{PATIENCE, World, bare, creating, finish, id, ids, known};

/// A database whose sessions begin with a setting of the server's.
async fn world(setting: &str) -> World {
    let database = testkit::Database::postgres().await;
    let name = database.url().rsplit('/').next().unwrap().to_owned();
    let world = World::over(database).await;
    let sql = format!("ALTER DATABASE {name} SET {setting}");
    world.db.write.execute_unprepared(&sql).await.unwrap();
    // Only new sessions have it.
    World::over(world.database).await
}

fn renamed(event_id: &str) -> Content {
    Content {
        title: "Ours".to_owned(),
        ..bare(event_id)
    }
}

/// One event after the other; the second one comes when it is told to, and at once from the second
/// time on.
#[derive(Clone)]
struct Steered {
    events: Vec<Upsert>,
    asked: Arc<AtomicUsize>,
    go_on: Arc<Semaphore>,
}

impl fmt::Debug for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steered")
    }
}

impl Source for Steered {
    fn chunks(&self) -> Chunks {
        self.asked.fetch_add(1, Relaxed);
        let go_on = Arc::clone(&self.go_on);
        stream::iter(self.events.clone().into_iter().enumerate())
            .then(move |(number, event)| {
                let go_on = Arc::clone(&go_on);
                async move {
                    if number == 1 {
                        // Given back, so that nobody waits a second time.
                        drop(go_on.acquire().await.unwrap());
                    }
                    Ok(vec![event])
                }
            })
            .boxed()
    }
}

struct Committing {
    begun: Begun,
    asked: Arc<AtomicUsize>,
    go_on: Arc<Semaphore>,
    task: JoinHandle<Result<Committed, CommitError>>,
}

/// Two events, and a commit of new titles of them that is under way.
async fn committing(world: &World) -> Committing {
    world.add(&["acme"]).await;
    let begun = world.begun("acme").await;
    world
        .commit(&begun, &creating("acme", [bare("1"), bare("2")]))
        .await;
    let begun = world.begun("acme").await;
    let mut events = ["1", "2"].map(|event_id| known("acme", renamed(event_id)));
    events.sort_by_key(|event| event.id);
    let source = Steered {
        events: events.to_vec(),
        asked: Arc::default(),
        go_on: Arc::new(Semaphore::new(0)),
    };
    let (asked, go_on) = (Arc::clone(&source.asked), Arc::clone(&source.go_on));
    let (db, held, finish) = (world.db.clone(), begun.held.clone(), finish(&begun));
    let task = tokio::spawn(async move {
        let changes = Changes {
            upserts: Upserts::new(source),
            ..Changes::default()
        };
        commit(&db, &held, &finish, &changes).await
    });
    Committing {
        begun,
        asked,
        go_on,
        task,
    }
}

async fn sessions_that_wait(world: &World) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE wait_event_type = 'Lock' AND datname = current_database()";
    world.number(sql).await
}

/// Its effect is there, once.
async fn holds(world: &World, committing: Committing) {
    let committed = committing.task.await.unwrap().unwrap();
    assert_eq!(committed, Committed::Yes(Some(2)));
    assert_eq!(committing.asked.load(Relaxed), 2);
    assert_eq!(
        (world.version().await, world.count("dataset_commit").await),
        (2, 2)
    );
    let run = committing.begun.held.run;
    assert_eq!(world.run(run).await.outcome, Some(Outcome::Stored));
    let expected: Vec<_> = (0..)
        .zip(ids("acme", &["1", "2"]))
        .map(|(position, id)| (position, id, Kind::Updated))
        .collect();
    assert_eq!(world.kinds(run).await, expected);
    for event_id in ["1", "2"] {
        assert_eq!(world.event(id("acme", event_id)).await.title, "Ours");
    }
    assert_eq!(entity::invariants::violations(&world.db).await.unwrap(), []);
}

#[tokio::test]
async fn a_commit_that_a_deadlock_ends_comes_again_and_holds() {
    let world = world("deadlock_timeout = '10ms'").await;
    let committing = committing(&world).await;
    let [first, second] = ids("acme", &["1", "2"])[..] else {
        panic!("there are two events");
    };
    let other = world.db.write.begin().await.unwrap();
    // Whoever looks for a deadlock is who it ends.
    other
        .execute_unprepared("SET LOCAL deadlock_timeout = '1h'")
        .await
        .unwrap();
    let update = |id: uuid::Uuid| {
        let sql = "UPDATE event SET title = 'Theirs' WHERE id = $1";
        world.statement(sql, vec![id.into()])
    };
    testkit::eventually(PATIENCE, "the commit has the first event", async || {
        let sql = format!(
            "SELECT count(*) FROM event WHERE id NOT IN \
             (SELECT id FROM event WHERE id = '{first}' FOR UPDATE SKIP LOCKED) AND id = '{first}'"
        );
        world.number(&sql).await == 1
    })
    .await;
    other.execute_raw(update(second)).await.unwrap();
    let others = tokio::spawn({
        let update = update(first);
        async move {
            other.execute_raw(update).await.unwrap();
            other
        }
    });
    testkit::eventually(PATIENCE, "the other waits for it", async || {
        sessions_that_wait(&world).await == 1
    })
    .await;
    committing.go_on.add_permits(1);
    // It gets what the commit held, which has ended.
    let other = others.await.unwrap();
    assert!(!committing.task.is_finished());
    other.commit().await.unwrap();
    let run = committing.begun.held.run;
    holds(&world, committing).await;
    // The difference is to what is stored, not to what was when the commit first began.
    for logged in world.log(run).await {
        let changes = logged.changes.unwrap().to_string();
        assert_eq!(changes, r#"{"title":["Theirs","Ours"]}"#);
    }
}

#[tokio::test]
async fn a_commit_that_cannot_be_serialized_comes_again_and_holds() {
    let world = world("default_transaction_isolation = 'repeatable read'").await;
    let committing = committing(&world).await;
    let other = world.db.write.begin().await.unwrap();
    let sql = "UPDATE provider SET paused_until = now()";
    other.execute_unprepared(sql).await.unwrap();
    committing.go_on.add_permits(1);
    testkit::eventually(PATIENCE, "the commit waits for the provider", async || {
        sessions_that_wait(&world).await == 1
    })
    .await;
    other.commit().await.unwrap();
    holds(&world, committing).await;
}

#[tokio::test]
async fn a_commit_that_is_always_in_the_way_fails_in_the_end() {
    let world = world("default_transaction_isolation = 'repeatable read'").await;
    let fails = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'always' USING ERRCODE = '40001'; END $$";
    world.db.write.execute_unprepared(fails).await.unwrap();
    let committing = committing(&world).await;
    let before = world.everything().await;
    let trigger = "CREATE TRIGGER fail BEFORE INSERT ON dataset_commit \
                   FOR EACH ROW EXECUTE FUNCTION fail()";
    world.db.write.execute_unprepared(trigger).await.unwrap();
    committing.go_on.add_permits(1);
    let committed = committing.task.await.unwrap();
    assert!(
        matches!(committed, Err(CommitError::Database(_))),
        "{committed:?}"
    );
    assert_eq!(committing.asked.load(Relaxed), 6);
    assert_eq!(world.everything().await, before);
}

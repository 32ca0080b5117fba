//! Many who ask for the same at once cost the database one statement.

use std::time::Duration;

use api::{Config, Context};
use futures::FutureExt;
use futures::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio_util::sync::CancellationToken;

use crate::caching::{HIT, MISS};
use crate::seed::{event, store};
use crate::world::Send;

const ASKED: usize = 50;

/// Reads of the table of events so far, by the one connection that there is for reading.
async fn reads_of_events(db: &entity::Database) -> i64 {
    // A session tells what it has counted once a second at most, or when it is asked to.
    let flush = "SELECT pg_stat_force_next_flush()";
    db.read.execute_unprepared(flush).await.unwrap();
    let counts = sea_orm::Statement::from_string(
        sea_orm::DbBackend::Postgres,
        "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'event'",
    );
    let row = db.read.query_one_raw(counts).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn those_who_ask_for_the_same_at_once_read_the_database_once() {
    let database = testkit::Database::postgres().await;
    let config = entity::Config {
        max_connections: 1,
        timeout: Duration::from_secs(60),
        ..entity::Config::new(database.url().parse().unwrap())
    };
    let db = entity::connect(&config).await.unwrap();
    store(&db, &[event("1", "2021-06-30T19:00:00Z")], &[]).await;
    let config = Config {
        database_timeout: Duration::from_secs(60),
        request_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let context = Context::new(config, db.clone(), CancellationToken::new());
    let service = api::Service::new(context.clone());
    context.look().await;

    let before = reads_of_events(&db).await;
    service.get("/v1/events/search?ends_at=2025-01-01").await;
    let of_one = reads_of_events(&db).await - before;
    assert!(of_one > 0, "reads are counted");

    let before = reads_of_events(&db).await;
    let held = db.read.begin().await.unwrap();
    // The same in many spellings and codings, and another one.
    let asking = (0..=ASKED).map(|number| {
        let (address, coding) = match number {
            0 => ("/v1/events/search?ends_at=2023-01-01", "identity"),
            n if n % 3 == 0 => ("/v1/events/search?starts_at=2021-01-01", "identity"),
            n if n % 3 == 1 => ("/v1/events/search?starts_at=2021-01-01T00:00:00Z", "br"),
            _ => (
                "/v1/events/search?gone=include&starts_at=2021-01-01",
                "gzip",
            ),
        };
        let service = service.clone();
        async move {
            let headers = [("accept-encoding", coding)];
            service.send("GET", address, &headers).await
        }
    });
    let mut asking = Box::pin(tokio::task::unconstrained(join_all(asking)));
    // After this each of them has come as far as it can without the database.
    assert!((&mut asking).now_or_never().is_none());
    held.rollback().await.unwrap();
    let answers = asking.await;
    for answer in &answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-status"), MISS);
    }
    for answer in &answers[2..] {
        assert_eq!(answer.body, answers[1].body);
    }
    assert_eq!(reads_of_events(&db).await - before, 2 * of_one);
    let address = "/v1/events/search?starts_at=2021-01-01";
    assert_eq!(service.get(address).await.header("cache-status"), HIT);
    assert_eq!(reads_of_events(&db).await - before, 2 * of_one);
}

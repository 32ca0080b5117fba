use std::io::Read;
use std::time::Duration;

use api::Config;
use axum::body::Body;
use axum::http::Response;
use futures::StreamExt;
use futures::future::join_all;
use hyper::body::Incoming;
use sea_orm::{ConnectionTrait, DbBackend, TransactionTrait};
use serde_json::Value;
use testkit::{PostgresServer, eventually};

use crate::seed::{event, store};
use crate::server::{self, session, sessions};
use crate::socket::{Served, serve, whole};
use crate::world::{Answer, World};

const SEARCH: &str = "/v1/events/search";
const SAFETY_NET: Duration = Duration::from_secs(20);

/// Stores events, one a minute, and then gives them titles of so many bytes.
pub(crate) async fn seed(db: &entity::Database, events: u32, title: usize) {
    let first = "2021-06-30T19:00:00Z".parse().unwrap();
    let events: Vec<_> = (0..events)
        .map(|number| {
            let mut event = event(&number.to_string(), "2021-06-30T19:00:00Z");
            event.starts_at = first;
            event.starts_at += chrono::Duration::minutes(number.into());
            event.ends_at = None;
            event
        })
        .collect();
    store(db, &events, &[]).await;
    let title = match db.write.get_database_backend() {
        DbBackend::Postgres => format!("repeat('01234567', {})", title / 8),
        _ => format!("hex(zeroblob({}))", title / 2),
    };
    let sql = format!("UPDATE event SET title = {title}");
    db.write.execute_unprepared(&sql).await.unwrap();
}

/// Reads an answer piece by piece, with a pause after each.
pub(crate) async fn read_slowly(response: Response<Incoming>) -> Result<Answer, axum::Error> {
    let (parts, body) = response.into_parts();
    let mut pieces = Body::new(body).into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await.transpose()? {
        bytes.extend_from_slice(&piece);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: bytes.into(),
    })
}

fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200);
    let mut json = answer.json();
    assert_eq!(json["error"], Value::Null);
    let Value::Array(events) = json["data"]["events"].take() else {
        panic!("there is no list of events");
    };
    events
}

crate::on_both_databases!(
    a_window_without_a_limit_is_the_union_of_its_pages,
    a_large_answer_is_conditional_and_the_same_in_every_coding,
    a_large_answer_that_finds_no_room_ends_without_a_valid_end,
);

async fn a_window_without_a_limit_is_the_union_of_its_pages(world: World) {
    seed(&world.db, 12_000, 160).await;
    let served = serve(&world.db, Config::default()).await;
    let whole = served.get(SEARCH).await;
    assert!(whole.body.len() > 3 << 20, "{}", whole.body.len());
    let whole = events(&whole);
    let mut pages = Vec::new();
    let mut next = format!("{SEARCH}?limit=1000");
    loop {
        let page = served.get(&next).await;
        pages.extend(events(&page));
        match page.json()["meta"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("{SEARCH}?limit=1000&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(pages.len(), 12_000);
    assert!(whole == pages, "the whole differs from its pages");
}

async fn a_large_answer_is_conditional_and_the_same_in_every_coding(world: World) {
    seed(&world.db, 12_000, 160).await;
    let served = serve(&world.db, Config::default()).await;
    let plain = served.get(SEARCH).await;
    assert_eq!(events(&plain).len(), 12_000);
    let mut etags = Vec::new();
    for coding in ["identity", "zstd", "br", "gzip"] {
        let accepts = ("accept-encoding", coding);
        let answer = served.send("GET", SEARCH, &[accepts]).await;
        assert_eq!(answer.status, 200, "{coding}");
        let body = decoded(&answer);
        assert!(body == plain.body, "{coding} gives another body");
        assert_eq!(answer.body.len() < plain.body.len(), coding != "identity");
        assert_eq!(answer.header("content-type"), "application/json");

        let etag = answer.header("etag").to_owned();
        let condition = ("if-none-match", etag.as_str());
        let same = served.send("GET", SEARCH, &[accepts, condition]).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
        assert_eq!(same.header("etag"), etag);

        let head = served.send("HEAD", SEARCH, &[accepts]).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        for name in ["etag", "dataset-version", "vary", "cache-control"] {
            assert_eq!(head.header(name), answer.header(name), "{coding} {name}");
        }
        assert_eq!(
            head.headers.get("content-encoding"),
            answer.headers.get("content-encoding")
        );
        assert!(!etags.contains(&etag), "{coding} has another's etag");
        etags.push(etag);
    }
}

fn decoded(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    let coded = &answer.body[..];
    match answer.headers.get("content-encoding") {
        None => return coded.to_vec(),
        Some(coding) if coding == "zstd" => return zstd::decode_all(coded).unwrap(),
        Some(coding) if coding == "br" => {
            brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain)
        }
        Some(coding) if coding == "gzip" => {
            flate2::read::GzDecoder::new(coded).read_to_end(&mut plain)
        }
        Some(other) => panic!("{other:?} was not asked for"),
    }
    .unwrap();
    plain
}

/// A database of 24 MB of events to which there is one connection, with a session to watch it by.
async fn one_connection() -> (
    entity::Database,
    sea_orm::DatabaseConnection,
    testkit::Database,
) {
    let database = testkit::Database::postgres().await;
    let config = entity::Config {
        max_connections: 1,
        ..entity::Config::new(database.url().parse().unwrap())
    };
    let db = entity::connect(&config).await.unwrap();
    seed(&db, 400, 60_000).await;
    let watch = session(database.url()).await;
    (db, watch, database)
}

async fn nothing_is_held(watch: &sea_orm::DatabaseConnection) {
    eventually(SAFETY_NET, "no session holds a snapshot", async || {
        let held = "(state <> 'idle' OR backend_xmin IS NOT NULL)";
        sessions(watch, held).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_client_that_stalls_holds_no_connection_to_the_database() {
    let (db, watch, _database) = one_connection().await;
    let served = serve(&db, Config::default()).await;
    let stalled = served.begin("GET", SEARCH, &[]).await;
    assert_eq!(stalled.status(), 200);
    nothing_is_held(&watch).await;
    let other = served.get("/v1/events/search?limit=1").await;
    assert_eq!(events(&other).len(), 1);
    let answer = whole(stalled).await.unwrap();
    assert_eq!(events(&answer).len(), 400);
}

#[tokio::test]
async fn clients_of_the_same_window_share_one_read() {
    let (db, watch, database) = one_connection().await;
    let served = serve(&db, Config::default()).await;
    let first = served.begin("GET", SEARCH, &[]).await;
    nothing_is_held(&watch).await;
    // Whoever reads the events anew waits for this to end.
    let locking = session(database.url()).await;
    let lock = locking.begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let others = ["identity", "zstd", "gzip", "identity"];
    let others = join_all(others.map(|coding| {
        let served = &served;
        async move {
            served
                .send("GET", SEARCH, &[("accept-encoding", coding)])
                .await
        }
    }))
    .await;
    assert_eq!(sessions(&watch, "wait_event_type = 'Lock'").await, 0);
    let first = whole(first).await.unwrap();
    assert_eq!(events(&first).len(), 400);
    for other in others {
        assert_eq!(other.status, 200);
        assert!(decoded(&other) == first.body);
    }
    lock.rollback().await.unwrap();
}

/// Files in that folder that this process has open, whether they have a name or not.
fn open_files(folder: &std::path::Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter(|file| file.starts_with(folder))
        .count()
}

async fn a_large_answer_that_finds_no_room_ends_without_a_valid_end(world: World) {
    seed(&world.db, 400, 60_000).await;
    let folder = tempfile::tempdir().unwrap();
    let with_room = |spool_bytes| Config {
        spool_bytes,
        spool_folder: Some(folder.path().to_owned()),
        ..Config::default()
    };
    let served = serve(&world.db, with_room(1 << 20)).await;
    let refused = served.get(SEARCH).await;
    refused.error(503, "overloaded");
    assert_eq!(refused.header("retry-after"), "1");

    // Room for the half, of which a part goes to a file.
    let served = serve(&world.db, with_room(12 << 20)).await;
    for coding in ["identity", "gzip"] {
        let response = served
            .begin("GET", SEARCH, &[("accept-encoding", coding)])
            .await;
        assert_eq!(response.status(), 200);
        assert!(whole(response).await.is_err(), "it has a valid end");
    }
    eventually(SAFETY_NET, "the file is given back", async || {
        open_files(folder.path()) == 0
    })
    .await;
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    // 160 minutes of one event each take most of the room, again and again.
    for second in 0..3 {
        let path = format!("{SEARCH}?ends_at=2021-06-30T21:40:0{second}Z");
        let held = served.begin("GET", &path, &[]).await;
        let answer = whole(held).await.unwrap();
        assert_eq!(events(&answer).len(), 161);
    }
}

#[tokio::test]
async fn an_answer_that_went_through_a_file_leaves_none() {
    let world = World::sqlite().await;
    seed(&world.db, 400, 60_000).await;
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        spool_folder: Some(folder.path().to_owned()),
        ..Config::default()
    };
    let served = serve(&world.db, config).await;
    let stalled = served.begin("GET", SEARCH, &[]).await;
    eventually(SAFETY_NET, "it goes through a file", async || {
        open_files(folder.path()) == 1
    })
    .await;
    // One that leaves in the midst gives it back as well.
    drop(stalled);
    eventually(SAFETY_NET, "the file is given back", async || {
        open_files(folder.path()) == 0
    })
    .await;
}

/// Begins an answer of 80 MB and has `happen` to the database while it is read.
async fn amid_an_answer(
    server: &mut PostgresServer,
    happen: impl AsyncFnOnce(&mut PostgresServer),
) -> Served {
    let db = server::connect(&server.url(), None).await;
    seed(&db, 2_000, 40_000).await;
    let config = Config {
        queries: 1,
        ..Config::default()
    };
    let served = serve(&db, config).await;
    let response = served.begin("GET", SEARCH, &[]).await;
    assert_eq!(response.status(), 200);
    happen(server).await;
    let answer = tokio::time::timeout(Duration::from_secs(6), whole(response)).await;
    assert!(answer.expect("it ends").is_err(), "it has a valid end");
    served
}

async fn answers(served: &Served) {
    eventually(SAFETY_NET, "others are answered", async || {
        served.get("/v1/events/search?limit=1").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn an_answer_whose_database_dies_is_broken_off() {
    let mut server = server::start().await;
    let served = amid_an_answer(&mut server, async |server| server.kill().await).await;
    server.start_again().await;
    answers(&served).await;
}

#[tokio::test]
async fn an_answer_whose_database_hangs_is_broken_off_in_time() {
    let mut server = server::start().await;
    let served = amid_an_answer(&mut server, async |server| server.freeze()).await;
    server.thaw();
    answers(&served).await;
}

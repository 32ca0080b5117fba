//! One provider's feed into a database, as a worker syncs it: each figure beside its limit, taken in
//! the same run and by turns.

pub(crate) mod child;
mod copy;
mod feed;
mod server;

use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use entity::provider::{self, Spec};
use entity::{Database, DatabaseUrl};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use testkit::PostgresServer;

use self::child::{Cost, Order, Process};
use self::feed::Shape;
use self::server::{Document, Server};
use crate::{database, show};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Events of the feed that is synced in every way
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// Events of the feed with 300 zones each
    #[arg(long, default_value_t = 10_000)]
    wide: usize,
    /// Events of the huge feed
    #[arg(long, default_value_t = 1_900_000)]
    huge: usize,
    /// Times that everything but the huge feed is measured; the median is shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
    /// Leave the huge feed out
    #[arg(long)]
    no_huge: bool,
}

const ZONES: usize = 3;
const WIDE_ZONES: usize = 300;
/// Conditional requests whose cost is too small to measure one by one.
const ASKED: u32 = 200;
/// One in so many events changes.
const CHANGED: usize = 100;

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let postgres = PostgresServer::start().await;
    let server = Server::start().await?;
    let folder = tempfile::tempdir()?;
    let feeds = Feeds::new(&options, folder.path())?;
    show::line(&format!(
        "feed: {} events of {ZONES} zones, {:.1} MB; median of {} rounds",
        options.events,
        feeds.first.len() as f64 / 1e6,
        options.rounds
    ));
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        rounds.push(on_postgres(&postgres, &server, &feeds, round).await?);
    }
    show_postgres(&options, &feeds, &rounds);
    let mut embedded = Vec::new();
    for round in 0..options.rounds {
        let file = folder.path().join(format!("{round}.db"));
        embedded.push(on_sqlite(&server, &feeds, &file).await?);
    }
    show_sqlite(&options, &embedded);
    memory(&postgres, &server, &options, folder.path()).await
}

/// The same events in other bytes, and with some changed.
struct Feeds {
    first: bytes::Bytes,
    other_bytes: bytes::Bytes,
    changed: bytes::Bytes,
    path: std::path::PathBuf,
}

impl Feeds {
    fn new(options: &Options, folder: &Path) -> anyhow::Result<Self> {
        let shape = Shape::new(options.events, ZONES);
        let other = Shape { stamp: 1, ..shape };
        let changed = Shape {
            stamp: 2,
            changed_one_in: CHANGED,
            ..shape
        };
        let path = folder.join("feed.xml");
        std::fs::write(&path, other.bytes())?;
        Ok(Self {
            first: shape.bytes(),
            other_bytes: other.bytes(),
            changed: changed.bytes(),
            path,
        })
    }
}

struct OnPostgres {
    first: Cost,
    merge: Duration,
    other_bytes: Cost,
    walk: Cost,
    same_bytes: Cost,
    discard: Cost,
    not_modified: Cost,
    ask: Cost,
    changed: Cost,
    /// Event rows written by other bytes, and by some changed.
    written: [i64; 2],
}

async fn on_postgres(
    postgres: &PostgresServer,
    server: &Server,
    feeds: &Feeds,
    round: u8,
) -> anyhow::Result<OnPostgres> {
    let name = format!("sync_{round}");
    let db = database::fresh(postgres, &name, 2).await?;
    let url = database::url(postgres, &name)?;
    add_provider(&db, &server.url("feed")).await?;
    serve(server, "1", &feeds.first);
    let mut process = Process::start(&url).await?;
    let first = process.sync().await?;
    let rows = copy::export(&url).await?;
    let merge = merged(postgres, server, &rows, round).await?;
    db.write.execute_unprepared("VACUUM ANALYZE").await?;

    serve(server, "2", &feeds.other_bytes);
    let before = transaction(&db).await?;
    let other_bytes = process.sync().await?;
    let written = written_since(&db, before).await?;
    let walk = process
        .order(&Order::Walk {
            path: feeds.path.clone(),
        })
        .await?;

    // Another validator, so that the body travels, and the same bytes.
    serve(server, "3", &feeds.other_bytes);
    let same_bytes = process.sync().await?;
    let url = server.url("feed");
    let discard = process.order(&Order::Discard { url: url.clone() }).await?;

    let not_modified = process.order(&Order::Sync { times: ASKED }).await?;
    let etag = "3".to_owned();
    let times = ASKED;
    let ask = process.order(&Order::Ask { url, etag, times }).await?;

    serve(server, "4", &feeds.changed);
    let before = transaction(&db).await?;
    let changed = process.sync().await?;
    let written = [written, written_since(&db, before).await?];
    process.stop().await?;
    db.close().await;
    Ok(OnPostgres {
        first,
        merge,
        other_bytes,
        walk,
        same_bytes,
        discard,
        not_modified,
        ask,
        changed,
        written,
    })
}

fn serve(server: &Server, etag: &str, feed: &bytes::Bytes) {
    server.put("feed", etag, Document::Memory(feed.clone()));
}

async fn add_provider(db: &Database, url: &str) -> anyhow::Result<()> {
    let interval = Duration::from_secs(900);
    let spec = Spec {
        timeout: Duration::from_secs(600),
        ..Spec::new(
            "primary".to_owned(),
            url.parse()?,
            "plan-list".to_owned(),
            interval,
        )
    };
    provider::apply(db, &[spec], false, false).await?;
    Ok(())
}

/// `COPY` and merge in a database of its own.
async fn merged(
    postgres: &PostgresServer,
    server: &Server,
    rows: &[u8],
    round: u8,
) -> anyhow::Result<Duration> {
    let name = format!("merge_{round}");
    let db = database::fresh(postgres, &name, 1).await?;
    add_provider(&db, &server.url("feed")).await?;
    db.close().await;
    copy::merge(&database::url(postgres, &name)?, rows).await
}

async fn number(db: &Database, sql: &str) -> anyhow::Result<i64> {
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = db.write.query_one_raw(statement).await?;
    Ok(row.context("no row")?.try_get_by_index(0)?)
}

async fn transaction(db: &Database) -> anyhow::Result<i64> {
    number(db, "SELECT txid_current()::bigint").await
}

/// Event rows that transactions after this one have written.
async fn written_since(db: &Database, transaction: i64) -> anyhow::Result<i64> {
    let sql =
        format!("SELECT count(*) FROM event WHERE xmin::text::bigint > {transaction} % 4294967296");
    number(db, &sql).await
}

fn show_postgres(options: &Options, feeds: &Feeds, rounds: &[OnPostgres]) {
    let events = options.events as f64;
    let size = feeds.first.len() as f64 / 1e6;
    let seconds = |of: &dyn Fn(&OnPostgres) -> Duration| median(rounds.iter().map(of));
    let first = seconds(&|round| round.first.wall);
    let merge = seconds(&|round| round.merge);
    show::line(&format!(
        "first sync        {first:.3} s, {:.0} events/s; COPY and merge of the rows {merge:.3} s: \
         ratio {:.2}, at least 0.50",
        events / first,
        merge / first
    ));
    let other = seconds(&|round| round.other_bytes.wall);
    let walk = seconds(&|round| round.walk.wall);
    show::line(&format!(
        "other bytes       {other:.3} s, {:.0} MB/s, {:.0} events/s, {} event rows written; quick-xml alone \
         {walk:.3} s: ratio {:.2}, at least 0.30",
        size / other,
        events / other,
        rounds
            .iter()
            .map(|round| round.written[0])
            .max()
            .unwrap_or(0),
        walk / other
    ));
    let same = seconds(&|round| round.same_bytes.wall);
    let discard = seconds(&|round| round.discard.wall);
    show::line(&format!(
        "same bytes        {same:.3} s, {:.0} MB/s; reqwest alone {discard:.3} s: ratio {:.2}, at least 0.50",
        size / same,
        discard / same
    ));
    let not_modified = seconds(&|round| round.not_modified.cpu) * 1e3;
    let ask = seconds(&|round| round.ask.cpu) * 1e3;
    show::line(&format!(
        "not modified      {not_modified:.3} ms CPU; the request alone {ask:.3} ms: {:.3} ms above, less \
         than 1.000",
        not_modified - ask
    ));
    let changed = seconds(&|round| round.changed.wall);
    show::line(&format!(
        "1 in {CHANGED} changed  {changed:.3} s, {} event rows written: {:.2} times other bytes, at most 1.50",
        rounds
            .iter()
            .map(|round| round.written[1])
            .max()
            .unwrap_or(0),
        changed / other
    ));
    for (what, round) in [
        ("first", &rounds[0].first),
        ("other bytes", &rounds[0].other_bytes),
        ("changed", &rounds[0].changed),
    ] {
        show::line(&format!("    {what}: {:?}", round.told));
    }
}

struct OnSqlite {
    first: Cost,
    other_bytes: Cost,
    same_bytes: Cost,
    not_modified: Cost,
    changed: Cost,
}

async fn on_sqlite(server: &Server, feeds: &Feeds, file: &Path) -> anyhow::Result<OnSqlite> {
    let mut process = Process::start(&embedded(server, file, "feed").await?).await?;
    serve(server, "1", &feeds.first);
    let first = process.sync().await?;
    serve(server, "2", &feeds.other_bytes);
    let other_bytes = process.sync().await?;
    serve(server, "3", &feeds.other_bytes);
    let same_bytes = process.sync().await?;
    let not_modified = process.order(&Order::Sync { times: ASKED }).await?;
    serve(server, "4", &feeds.changed);
    let changed = process.sync().await?;
    process.stop().await?;
    Ok(OnSqlite {
        first,
        other_bytes,
        same_bytes,
        not_modified,
        changed,
    })
}

/// The address of a fresh embedded database that knows the provider.
async fn embedded(server: &Server, file: &Path, name: &str) -> anyhow::Result<String> {
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let db = entity::connect(&entity::Config::new(url.parse::<DatabaseUrl>()?)).await?;
    migration::migrate(&db.write).await?;
    add_provider(&db, &server.url(name)).await?;
    db.close().await;
    Ok(url)
}

fn show_sqlite(options: &Options, rounds: &[OnSqlite]) {
    let events = options.events as f64;
    let seconds = |of: &dyn Fn(&OnSqlite) -> Duration| median(rounds.iter().map(of));
    let first = seconds(&|round| round.first.wall);
    let other = seconds(&|round| round.other_bytes.wall);
    show::line(&format!(
        "embedded SQLite   first {first:.3} s, {:.0} events/s; other bytes {other:.3} s, {:.0} events/s; \
         same bytes {:.3} s; not modified {:.3} ms CPU; 1 in {CHANGED} changed {:.3} s",
        events / first,
        events / other,
        seconds(&|round| round.same_bytes.wall),
        seconds(&|round| round.not_modified.cpu) * 1e3,
        seconds(&|round| round.changed.wall),
    ));
}

fn median(durations: impl Iterator<Item = Duration>) -> f64 {
    let mut durations: Vec<Duration> = durations.collect();
    durations.sort_unstable();
    durations[durations.len() / 2].as_secs_f64()
}

async fn memory(
    postgres: &PostgresServer,
    server: &Server,
    options: &Options,
    folder: &Path,
) -> anyhow::Result<()> {
    let wide = ("wide", Shape::new(options.wide, WIDE_ZONES), 96);
    let huge = ("huge", Shape::new(options.huge, ZONES), 192);
    let all = if options.no_huge {
        vec![wide]
    } else {
        vec![wide, huge]
    };
    for (name, shape, limit_mib) in all {
        let db = database::fresh(postgres, name, 1).await?;
        add_provider(&db, &server.url(name)).await?;
        db.close().await;
        let file = folder.join(format!("{name}.db"));
        let databases = [
            ("PostgreSQL", database::url(postgres, name)?),
            ("SQLite", embedded(server, &file, name).await?),
        ];
        for (stamp, what) in [(1, "first sync"), (2, "other bytes")] {
            let path = folder.join(name);
            let shape = Shape { stamp, ..shape };
            shape.write(BufWriter::new(std::fs::File::create(&path)?))?;
            let length = std::fs::metadata(&path)?.len();
            server.put(name, &stamp.to_string(), Document::File(path, length));
            show::line(&format!(
                "{} events of {} zones, {:.0} MB, {what}:",
                shape.events,
                shape.zones,
                length as f64 / 1e6
            ));
            for (database, url) in &databases {
                peak(database, url, shape.events as f64, limit_mib).await?;
            }
        }
    }
    Ok(())
}

/// The most memory that a fresh process needs for a sync.
async fn peak(database: &str, url: &str, events: f64, limit_mib: u64) -> anyhow::Result<()> {
    let mut process = Process::start(url).await?;
    let cost = process.sync().await?;
    process.stop().await?;
    if cost.told.get("outcome").map(String::as_str) != Some("stored") {
        bail!("the feed was not stored: {:?}", cost.told);
    }
    show::line(&format!(
        "    {database:10} {:.1} s, {:.0} events/s; peak {} MiB above idle ({} MiB), {:.0} bytes an event; \
         less than {limit_mib} MiB",
        cost.wall.as_secs_f64(),
        events / cost.wall.as_secs_f64(),
        cost.above_kib / 1024,
        cost.idle_kib / 1024,
        cost.above_kib as f64 * 1024.0 / events,
    ));
    Ok(())
}

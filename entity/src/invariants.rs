//! What holds in every state of the database, whatever happened: for tests, and for operators who
//! want to know.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde::Serialize;

use crate::Database;
use crate::dialect::Dialect;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What should hold.
    pub invariant: &'static str,
    /// How many times it does not.
    pub count: i64,
    /// One example.
    pub example: String,
}

/// Invariants that hold at any moment; each query gives the rows that break it.
const ALWAYS: [(&str, &str); 9] = [
    (
        "a claimed provider's current run is open, its own, and bears its token",
        "SELECT p.name AS example FROM provider p WHERE p.current_run IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM run r WHERE r.id = p.current_run AND r.provider_id = p.id \
          AND r.token = p.token AND r.finished_at IS NULL)",
    ),
    (
        "an open run is its provider's current one",
        "SELECT p.name AS example FROM run r JOIN provider p ON p.id = r.provider_id \
         WHERE r.finished_at IS NULL AND (p.current_run IS NULL OR p.current_run <> r.id)",
    ),
    (
        "an identity has one event",
        "SELECT min(base_id) || '/' || min(event_id) AS example FROM event \
         GROUP BY provider_id, base_id, event_id HAVING count(*) > 1",
    ),
    (
        "an event is created once",
        "SELECT CAST(count(*) AS text) AS example FROM event_change WHERE kind = 'created' \
         GROUP BY event_id HAVING count(*) > 1",
    ),
    (
        "a run changes an event once",
        "SELECT CAST(count(*) AS text) AS example FROM event_change \
         GROUP BY run_id, event_id HAVING count(*) > 1",
    ),
    (
        "changes belong to a commit of the dataset",
        "SELECT CAST(c.position AS text) AS example FROM event_change c WHERE NOT EXISTS \
         (SELECT 1 FROM dataset_commit d WHERE d.run_id = c.run_id)",
    ),
    (
        "a run commits to the dataset once",
        "SELECT CAST(count(*) AS text) AS example FROM dataset_commit \
         GROUP BY run_id HAVING count(*) > 1",
    ),
    (
        "the dataset's versions have no gap",
        "SELECT CAST(d.version AS text) AS example FROM dataset d, \
         (SELECT count(*) AS n, min(version) AS lo, max(version) AS hi FROM dataset_commit) c \
         WHERE c.n > 0 AND (d.version <> c.hi OR c.hi - c.lo + 1 <> c.n)",
    ),
    (
        "a closed fan-out has no open run",
        "SELECT CAST(count(*) AS text) AS example FROM fan_out f \
         JOIN fan_out_run m ON m.fan_out_id = f.id JOIN run r ON r.id = m.run_id \
         WHERE f.closed_at IS NOT NULL AND r.finished_at IS NULL GROUP BY f.id",
    ),
];

/// What holds besides once nothing is due and everything has settled.
const AT_REST: [(&str, &str); 3] = [
    (
        "every run is finished",
        "SELECT p.name || ' ' || r.state AS example FROM run r \
         JOIN provider p ON p.id = r.provider_id WHERE r.finished_at IS NULL",
    ),
    (
        "every fan-out is closed",
        "SELECT trigger AS example FROM fan_out WHERE closed_at IS NULL",
    ),
    (
        "every request is taken",
        "SELECT 'a request' AS example FROM fan_out_request",
    ),
];

/// Tells every invariant that does not hold now.
///
/// # Errors
/// Whatever the database answers.
pub async fn violations(db: &Database) -> Result<Vec<Violation>, DbErr> {
    broken(db, &ALWAYS).await
}

/// Tells what has not settled yet: runs, fan-outs and requests that are open.
///
/// # Errors
/// Whatever the database answers.
pub async fn unsettled(db: &Database) -> Result<Vec<Violation>, DbErr> {
    broken(db, &AT_REST).await
}

#[derive(FromQueryResult)]
struct Broken {
    count: i64,
    example: Option<String>,
}

async fn broken(
    db: &Database,
    invariants: &[(&'static str, &'static str)],
) -> Result<Vec<Violation>, DbErr> {
    let dialect = Dialect::of(&db.write);
    // One snapshot for all: they are about how rows of several tables fit together.
    let tx = snapshot(db).await?;
    let mut violations = Vec::new();
    for (invariant, query) in invariants {
        let sql =
            format!("SELECT count(*) AS count, min(example) AS example FROM ({query}) AS bad");
        let broken = Broken::find_by_statement(dialect.statement(sql, Vec::new()))
            .one(&tx)
            .await?;
        if let Some(Broken { count, example }) = broken
            && count > 0
        {
            violations.push(Violation {
                invariant,
                count,
                example: example.unwrap_or_default(),
            });
        }
    }
    tx.rollback().await?;
    Ok(violations)
}

async fn snapshot(db: &Database) -> Result<sea_orm::DatabaseTransaction, DbErr> {
    let tx = db.begin().await?;
    if Dialect::of(&tx) == Dialect::Postgres {
        tx.execute_unprepared("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await?;
    }
    Ok(tx)
}

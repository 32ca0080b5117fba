//! The dataset's version, which rises with every commit that changes events, and its epoch.

mod listen;

use std::fmt;

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::Database;
use crate::dialect::Dialect;
pub use listen::{Listener, listen};

/// Which state of which history of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// Names the history; renewed when it may have branched.
    pub epoch: Uuid,
    /// Rises by one with each commit that changes events.
    pub number: i64,
}

/// The one row of the dataset.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dataset")]
#[expect(
    missing_docs,
    reason = "the columns are told where the table is laid out"
)]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub version: i64,
    pub epoch: Uuid,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
#[expect(missing_docs, reason = "no relations are followed")]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The present version.
///
/// # Errors
/// Whatever the database answers.
pub async fn version(db: &impl ConnectionTrait) -> Result<Version, DbErr> {
    let row = Entity::find_by_id(1)
        .one(db)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the dataset's row is missing".to_owned()))?;
    Ok(Version {
        epoch: row.epoch,
        number: row.version,
    })
}

/// The present version, and the key that cursors are signed with. Debug output leaves the key out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The present version.
    pub version: Version,
    /// Random, the same for all processes and for as long as the database lives.
    pub secret: [u8; 32],
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The present state, in one statement.
///
/// # Errors
/// Whatever the database answers, and a key that is missing or too short.
pub async fn state(db: &impl ConnectionTrait) -> Result<State, DbErr> {
    let sql = "SELECT epoch, version, secret FROM dataset WHERE id = 1";
    let row = db
        .query_one_raw(Dialect::of(db).statement(sql, Vec::new()))
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the dataset's row is missing".to_owned()))?;
    let secret: Option<Vec<u8>> = row.try_get_by_index(2)?;
    let secret = secret.and_then(|secret| secret.try_into().ok());
    Ok(State {
        version: Version {
            epoch: row.try_get_by_index(0)?,
            number: row.try_get_by_index(1)?,
        },
        secret: secret
            .ok_or_else(|| DbErr::Custom("the dataset's secret is not 32 bytes".to_owned()))?,
    })
}

/// Changes by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromQueryResult)]
#[expect(missing_docs, reason = "the names are the docs")]
pub struct Changes {
    pub created: i64,
    pub updated: i64,
    pub gone: i64,
    pub returned: i64,
}

impl Changes {
    /// All of them.
    pub fn total(&self) -> u64 {
        (self.created + self.updated + self.gone + self.returned).unsigned_abs()
    }
}

/// How many changes of each kind came after a version.
///
/// # Errors
/// Whatever the database answers.
pub async fn changes_since(db: &Database, version: i64) -> Result<Changes, DbErr> {
    let dialect = Dialect::of(&db.read);
    let sql = "SELECT count(CASE WHEN c.kind = 'created' THEN 1 END) AS created, \
               count(CASE WHEN c.kind = 'updated' THEN 1 END) AS updated, \
               count(CASE WHEN c.kind = 'gone' THEN 1 END) AS gone, \
               count(CASE WHEN c.kind = 'returned' THEN 1 END) AS returned \
               FROM dataset_commit d JOIN event_change c ON c.run_id = d.run_id \
               WHERE d.version > $1";
    let changes = Changes::find_by_statement(dialect.statement(sql, vec![version.into()]))
        .one(&db.read)
        .await?;
    Ok(changes.unwrap_or_default())
}

/// Gives the history a new name and tells those who listen. The version stands. Whoever mirrors the
/// events is told by the name to start over. The row's lock is held until the transaction ends.
///
/// # Errors
/// Whatever the database answers.
pub async fn renew_epoch(db: &impl ConnectionTrait) -> Result<Uuid, DbErr> {
    let dialect = Dialect::of(db);
    let returning = match dialect {
        Dialect::Postgres => format!("RETURNING {NOTIFY}"),
        Dialect::Sqlite => String::new(),
    };
    let epoch = Uuid::new_v4();
    let sql = format!("UPDATE dataset SET epoch = $1 {returning}");
    let renewed = db
        .execute_raw(dialect.statement(sql, vec![epoch.into()]))
        .await?;
    match renewed.rows_affected() {
        1 => Ok(epoch),
        _ => Err(DbErr::RecordNotUpdated),
    }
}

/// What PostgreSQL tells listeners at the commit, once a transaction.
const NOTIFY: &str = "pg_notify('fanfare_dataset', '')";

/// Raises the version for `run` and tells those who listen. The row's lock is held until the transaction ends, so this is the
/// last statement before the commit.
pub(crate) async fn raise(db: &impl ConnectionTrait, run: Uuid) -> Result<i64, DbErr> {
    let dialect = Dialect::of(db);
    let now = dialect.now();
    match dialect {
        Dialect::Postgres => {
            let sql = format!(
                "WITH raised AS (UPDATE dataset SET version = version + 1 RETURNING version) \
                 INSERT INTO dataset_commit (version, run_id, committed_at) \
                 SELECT version, $1, {now} FROM raised RETURNING version, {NOTIFY}"
            );
            let row = db
                .query_one_raw(dialect.statement(sql, vec![run.into()]))
                .await?;
            row.ok_or_else(|| DbErr::RecordNotUpdated)?
                .try_get_by_index(0)
        }
        Dialect::Sqlite => {
            db.execute_unprepared("UPDATE dataset SET version = version + 1")
                .await?;
            let sql = format!(
                "INSERT INTO dataset_commit (version, run_id, committed_at) \
                 SELECT version, $1, {now} FROM dataset RETURNING version"
            );
            let row = db
                .query_one_raw(dialect.statement(sql, vec![run.into()]))
                .await?;
            row.ok_or_else(|| DbErr::RecordNotUpdated)?
                .try_get_by_index(0)
        }
    }
}

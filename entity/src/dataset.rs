//! The dataset's version, which rises with every commit that changes events, and its epoch.

use sea_orm::ConnectionTrait;
use sea_orm::entity::prelude::*;

use crate::dialect::Dialect;

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

/// Raises the version for `run`. The row's lock is held until the transaction ends, so this is the
/// last statement before the commit.
pub(crate) async fn raise(db: &impl ConnectionTrait, run: Uuid) -> Result<i64, DbErr> {
    let dialect = Dialect::of(db);
    let now = dialect.now();
    match dialect {
        Dialect::Postgres => {
            let sql = format!(
                "WITH raised AS (UPDATE dataset SET version = version + 1 RETURNING version) \
                 INSERT INTO dataset_commit (version, run_id, committed_at) \
                 SELECT version, $1, {now} FROM raised RETURNING version"
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

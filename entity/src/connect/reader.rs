//! Reading in a hurry: on connections that go from one question to the next.
//!
//! The pool asks each connection that is given back whether it is still there, which costs about as
//! much as a small answer does. Here a connection that has just answered well is believed for a moment,
//! and whoever asks next goes on with it; the pool has it back as soon as it rests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, Postgres};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, QueryResult, RuntimeErr, Statement};
use sea_query_sqlx::SqlxValues;
use tokio::time::Instant;

use crate::dialect::Dialect;

/// One of the two databases, for those who ask it small questions all along. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    db: DatabaseConnection,
    /// Only PostgreSQL's connections are asked when they are given back.
    kept: Option<Arc<Kept>>,
}

impl Reader {
    /// Keeps up to `most` connections of the pool between questions.
    pub(super) fn of_postgres(db: &DatabaseConnection, most: usize) -> Self {
        Self {
            db: db.clone(),
            kept: Some(Arc::new(Kept::new(most))),
        }
    }

    /// Leaves every connection to the pool.
    pub(super) fn of_sqlite(db: &DatabaseConnection) -> Self {
        Self {
            db: db.clone(),
            kept: None,
        }
    }

    /// The pool, for answers that come as a stream.
    pub fn db(&self) -> &DatabaseConnection {
        if let Some(kept) = &self.kept {
            // Whoever is let in is to find a connection, and this one rests.
            drop(kept.pop());
        }
        &self.db
    }

    /// The pool, for what only looks at it.
    pub(crate) fn pool(&self) -> &DatabaseConnection {
        &self.db
    }

    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::of(&self.db)
    }

    /// Connections between two questions, which the pool takes for used.
    pub(super) fn resting(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.resting().len())
    }

    /// Gives the pool back what rests.
    pub(super) fn rest(&self) {
        if let Some(kept) = &self.kept {
            let resting = std::mem::take(&mut *kept.resting());
            drop(resting);
        }
    }

    /// All rows of a small answer.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(crate) async fn all(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Some(kept) = &self.kept else {
            return self.db.query_all_raw(statement).await;
        };
        if let Some(connection) = kept.pop() {
            match rows_of(kept, connection, statement.clone()).await {
                // It was not there any more, whatever was believed.
                Err(error) if was_ended(&error) => {}
                answered => return answered.map_err(failed),
            }
        }
        let pool = self.db.get_postgres_connection_pool();
        let connection = pool
            .acquire()
            .await
            .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))?;
        rows_of(kept, connection, statement).await.map_err(failed)
    }

    /// The first row of a small answer.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(crate) async fn one(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.all(statement).await?.into_iter().next())
    }
}

/// Whether the server had ended the session (PostgreSQL, appendix A, class 57P) or was gone.
fn was_ended(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// Asks on that connection, which is kept if it answers well. Dropped midway it goes back to the pool,
/// which closes it.
async fn rows_of(
    kept: &Arc<Kept>,
    mut connection: PoolConnection<Postgres>,
    statement: Statement,
) -> Result<Vec<QueryResult>, sqlx::Error> {
    let values = statement.values.unwrap_or(sea_orm::Values(Vec::new()));
    let text = sqlx::AssertSqlSafe(statement.sql);
    let rows = sqlx::query_with(text, SqlxValues(values))
        .fetch_all(&mut *connection)
        .await?;
    kept.push(connection);
    Ok(rows.into_iter().map(QueryResult::from).collect())
}

/// How long a connection that has answered is believed to be there.
const BELIEVED: Duration = Duration::from_secs(1);

/// Connections between two questions, the one that rests longest first.
#[derive(Debug)]
struct Kept {
    resting: Mutex<Vec<Resting>>,
    most: usize,
    /// Whether someone gives back what rests for too long.
    swept: AtomicBool,
}

#[derive(Debug)]
struct Resting {
    connection: PoolConnection<Postgres>,
    since: Instant,
}

impl Kept {
    fn new(most: usize) -> Self {
        Self {
            resting: Mutex::default(),
            most,
            swept: AtomicBool::new(false),
        }
    }

    fn resting(&self) -> std::sync::MutexGuard<'_, Vec<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that answered last, if that was a moment ago.
    fn pop(&self) -> Option<PoolConnection<Postgres>> {
        let mut resting = self.resting();
        let last = resting.pop()?;
        if last.since.elapsed() < BELIEVED {
            return Some(last.connection);
        }
        // The others rest even longer: the pool may look at them.
        let others = std::mem::take(&mut *resting);
        drop(resting);
        drop((last, others));
        None
    }

    fn push(self: &Arc<Self>, connection: PoolConnection<Postgres>) {
        let mut resting = self.resting();
        if resting.len() >= self.most {
            return;
        }
        resting.push(Resting {
            connection,
            since: Instant::now(),
        });
        drop(resting);
        if !self.swept.swap(true, Ordering::AcqRel) {
            tokio::spawn(Arc::clone(self).sweep());
        }
    }

    /// Gives back what rests for too long, until nothing rests.
    async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(BELIEVED).await;
            let mut resting = self.resting();
            let too_long = resting.partition_point(|one| one.since.elapsed() >= BELIEVED);
            let gone: Vec<_> = resting.drain(..too_long).collect();
            if resting.is_empty() {
                self.swept.store(false, Ordering::Release);
                drop(resting);
                drop(gone);
                return;
            }
            drop(resting);
            drop(gone);
        }
    }
}

//! What every handler works with.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use entity::dataset::Version;
use entity::{Database, DbErr};
use tokio_util::sync::CancellationToken;

use crate::{Config, Error, openapi_json};

/// What every handler works with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    db: Database,
    shutdown: CancellationToken,
    schema_seen: AtomicBool,
    openapi: Bytes,
}

impl Context {
    /// Readiness ends when `shutdown` fires.
    pub fn new(config: Config, db: Database, shutdown: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            config,
            db,
            shutdown,
            schema_seen: AtomicBool::new(false),
            openapi: openapi_json().into(),
        }))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn db(&self) -> &Database {
        &self.0.db
    }

    pub(crate) fn openapi(&self) -> Bytes {
        self.0.openapi.clone()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.shutdown.is_cancelled()
    }

    /// Waits for the database, but not for longer than it may take to answer.
    pub(crate) async fn read<T>(
        &self,
        query: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, Error> {
        let limit = self.config().database_timeout;
        match tokio::time::timeout(limit, query).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::DatabaseSilent { limit }),
        }
    }

    /// The dataset's present version.
    pub(crate) async fn version(&self) -> Result<Version, Error> {
        self.read(entity::dataset::version(&self.db().read)).await
    }

    /// Whether the schema has been there at least once: an outage after that is answered with 503
    /// request by request, and taking all replicas out of service would help nobody.
    pub(crate) async fn has_seen_schema(&self) -> bool {
        if self.0.schema_seen.load(Ordering::Relaxed) {
            return true;
        }
        let seen = self.version().await.is_ok();
        self.0.schema_seen.fetch_or(seen, Ordering::Relaxed);
        seen
    }
}

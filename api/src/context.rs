//! What every handler works with.

use std::future::Future;
use std::sync::{self, Arc};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use entity::{Database, DbErr};
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::cache::Cache;
use crate::cache_control::ForCaches;
use crate::flight::Flights;
use crate::metrics::{self, Level, Metrics};
use crate::providers::Listing;
use crate::reader::Outcome;
use crate::reader::large::Larges;
use crate::shared_cache::SharedCache;
use crate::spool::Spools;
use crate::standing::{Lag, Standing};
use crate::{Config, Error, openapi_json};

/// What every handler works with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    db: Database,
    shutdown: CancellationToken,
    openapi: Bytes,
    standing: ArcSwapOption<Standing>,
    looking: Mutex<Lag>,
    poke: Notify,
    cache: Cache,
    shared: Option<SharedCache>,
    flights: Flights<Outcome>,
    larges: Larges,
    spools: Spools,
    admission: Admission,
    listing: Listing,
    for_caches: ForCaches,
    metrics: Option<Metrics>,
    active: Level,
    connections: Level,
    began: Instant,
    newer_since: ArcSwapOption<Instant>,
}

/// Does not keep the API alive.
#[derive(Debug, Clone)]
pub(crate) struct Weak(sync::Weak<Inner>);

impl Weak {
    pub(crate) fn upgrade(&self) -> Option<Context> {
        self.0.upgrade().map(Context)
    }
}

impl Context {
    /// Readiness ends when `shutdown` fires.
    pub fn new(config: Config, db: Database, shutdown: CancellationToken) -> Self {
        let cache = Cache::new(config.cache_bytes);
        let shared = config.shared_cache.clone();
        let spools = Spools::new(config.spool_folder.clone(), config.spool_bytes);
        let admission = Admission::new(config.queries, config.waiting);
        let meter = config.meter.clone();
        let context = Self(Arc::new(Inner {
            metrics: meter.as_ref().map(Metrics::new),
            active: Level::default(),
            connections: Level::default(),
            began: Instant::now(),
            newer_since: ArcSwapOption::empty(),
            for_caches: ForCaches::new(&config.cache_control, &config.cors),
            config,
            db,
            shutdown,
            openapi: openapi_json().into(),
            standing: ArcSwapOption::empty(),
            looking: Mutex::default(),
            poke: Notify::new(),
            cache,
            shared,
            flights: Flights::default(),
            larges: Larges::default(),
            spools,
            admission,
            listing: Listing::default(),
        }));
        if let Some(meter) = meter {
            metrics::observe(&meter, &Weak(Arc::downgrade(&context.0)));
        }
        context
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

    pub(crate) fn cache(&self) -> &Cache {
        &self.0.cache
    }

    pub(crate) fn shared(&self) -> Option<&SharedCache> {
        self.0.shared.as_ref()
    }

    pub(crate) fn flights(&self) -> &Flights<Outcome> {
        &self.0.flights
    }

    pub(crate) fn larges(&self) -> &Larges {
        &self.0.larges
    }

    pub(crate) fn spools(&self) -> &Spools {
        &self.0.spools
    }

    /// A place among those who work with the database, and until when the work is to be done: half of
    /// the time may go by waiting for the place, the rest is for the work.
    ///
    /// # Errors
    /// See [`Admission::enter`].
    pub(crate) async fn enter(&self) -> Result<(OwnedSemaphorePermit, Instant), Error> {
        let limit = self.config().database_timeout;
        let deadline = Instant::now() + limit;
        let place = self.0.admission.enter(deadline - limit / 2, limit).await?;
        Ok((place, deadline))
    }

    /// What every answer tells caches.
    pub(crate) fn for_caches(&self) -> &ForCaches {
        &self.0.for_caches
    }

    pub(crate) fn listing(&self) -> &Listing {
        &self.0.listing
    }

    /// Fires when the process is to stop.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.shutdown.is_cancelled()
    }

    /// What was adopted last, if anything was.
    pub(crate) fn present(&self) -> Option<Arc<Standing>> {
        self.0.standing.load_full()
    }

    pub(crate) fn replace(&self, standing: Standing) {
        self.0.standing.store(Some(Arc::new(standing)));
    }

    /// The instruments, if anything is measured.
    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.0.metrics.as_ref()
    }

    /// Requests that are past the answers at hand.
    pub(crate) fn active(&self) -> &Level {
        &self.0.active
    }

    /// Open connections.
    pub(crate) fn connections(&self) -> &Level {
        &self.0.connections
    }

    /// Notes since when there has been a newer version than what is answered from, if one is known.
    pub(crate) fn note_newer(&self, since: Option<Instant>) {
        self.0.newer_since.store(since.map(Arc::new));
    }

    /// How long there has been a newer version than what is answered from, or may have been because
    /// the database is away.
    pub(crate) fn lag(&self) -> Duration {
        let Some(standing) = self.present() else {
            return self.0.began.elapsed();
        };
        let newer_since = self.0.newer_since.load_full().map(|since| *since);
        let since = [standing.down_since, newer_since].into_iter().flatten();
        since.min().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Held during a look, so that one comes after the other.
    pub(crate) fn looking(&self) -> &Mutex<Lag> {
        &self.0.looking
    }

    /// Asks for a look soon: something newer than what was adopted has been seen.
    pub(crate) fn poke(&self) {
        self.0.poke.notify_one();
    }

    pub(crate) async fn poked(&self) {
        self.0.poke.notified().await;
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

    /// Whether the schema has been there at least once: an outage after that is answered with 503
    /// request by request, and taking all replicas out of service would help nobody.
    pub(crate) async fn has_seen_schema(&self) -> bool {
        self.present().is_some() || self.standing().await.is_ok()
    }
}

//! A fresh database, and the short ways in which tests bring it into a state and look at it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::commit::{Changes, Committed, Finish, Upsert, commit};
use entity::event::{self, Content, SellMode};
use entity::host::Politeness;
use entity::lease::{self, Ask, Begin, Begun};
use entity::provider::Spec;
use entity::run::Outcome;
use entity::{Config, Database, Kind, claim, dataset, event_change, fan_out, provider, run};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, Statement, Value,
};
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(20);
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const WORKER: &str = "worker-1";

/// What a worker that treats no host in any special way asks for.
pub(crate) const ASK: Ask<'_> = Ask {
    worker: WORKER,
    lease: LEASE,
    politeness: Politeness {
        concurrency: 1000,
        gap: Duration::ZERO,
    },
    holds_suspect: false,
};

pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) database: testkit::Database,
}

impl World {
    pub(crate) async fn postgres() -> Self {
        Self::over(testkit::Database::postgres().await).await
    }

    pub(crate) async fn sqlite() -> Self {
        Self::over(testkit::Database::sqlite().await).await
    }

    pub(crate) async fn over(database: testkit::Database) -> Self {
        let config = Config::new(database.url().parse().unwrap());
        Self {
            db: entity::connect(&config).await.unwrap(),
            database,
        }
    }

    pub(crate) fn statement(&self, sql: &str, values: Vec<Value>) -> Statement {
        let backend = match self.db.kind() {
            Kind::Postgres => DbBackend::Postgres,
            Kind::Sqlite => DbBackend::Sqlite,
        };
        Statement::from_sql_and_values(backend, sql, values)
    }

    /// Runs a statement that must change at least one row.
    pub(crate) async fn execute(&self, sql: &str, values: Vec<Value>) {
        let done = self.db.write.execute_raw(self.statement(sql, values)).await;
        assert!(done.unwrap().rows_affected() > 0, "{sql} changes no row");
    }

    /// The first column of the first row.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let row = self.db.write.query_one_raw(self.statement(sql, vec![]));
        row.await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }

    /// SQL for the database's time so many seconds from now.
    pub(crate) fn in_seconds(&self, seconds: i64) -> String {
        match self.db.kind() {
            Kind::Postgres => format!("(now() + interval '{seconds} seconds')"),
            Kind::Sqlite => {
                format!("strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', '{seconds} seconds')")
            }
        }
    }

    /// The database's present.
    pub(crate) async fn now(&self) -> DateTime<Utc> {
        let sql = format!("SELECT {}", self.in_seconds(0));
        let row = self.db.write.query_one_raw(self.statement(&sql, vec![]));
        row.await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    /// Adds providers, all due at once.
    pub(crate) async fn add(&self, names: &[&str]) {
        let specs: Vec<Spec> = names.iter().map(|name| spec(name)).collect();
        provider::apply(&self.db, &specs, false, false)
            .await
            .unwrap();
    }

    pub(crate) async fn provider(&self, name: &str) -> provider::Model {
        let found = provider::by_name(&self.db.write, name).await.unwrap();
        found.unwrap_or_else(|| panic!("there is no provider {name}"))
    }

    pub(crate) async fn run(&self, id: Uuid) -> run::Model {
        let found = run::Entity::find_by_id(id).one(&self.db.write).await;
        found.unwrap().unwrap()
    }

    /// Every row of every table that a run can write, to tell whether anything was written.
    pub(crate) async fn everything(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let db = &self.db.write;
        (
            provider::Entity::find().all(db).await.unwrap(),
            run::Entity::find().all(db).await.unwrap(),
            event::Entity::find().all(db).await.unwrap(),
            event_change::Entity::find().all(db).await.unwrap(),
            entity::set_aside::Entity::find().all(db).await.unwrap(),
            dataset::version(db).await.unwrap(),
            self.count("dataset_commit").await,
        )
    }

    pub(crate) async fn version(&self) -> i64 {
        dataset::version(&self.db.write).await.unwrap().number
    }

    /// Claims up to `limit` due providers and gives their runs.
    pub(crate) async fn claim(&self, limit: u64) -> Vec<Uuid> {
        self.claim_for(Uuid::now_v7(), limit).await
    }

    pub(crate) async fn claim_for(&self, fan_out: Uuid, limit: u64) -> Vec<Uuid> {
        let claimed = claim::claim_due(&self.db, fan_out, None, limit).await;
        claimed.unwrap().unwrap().iter().map(|run| run.id).collect()
    }

    /// `None` if there is nothing to begin.
    pub(crate) async fn begin(&self, run: Uuid) -> Option<Begun> {
        self.begin_as(run, WORKER).await
    }

    pub(crate) async fn begin_as(&self, run: Uuid, worker: &str) -> Option<Begun> {
        let ask = Ask { worker, ..ASK };
        match lease::begin(&self.db, run, ask).await.unwrap() {
            Begin::Begun(begun) => Some(*begun),
            Begin::Stale => None,
            Begin::Postponed(reason) => panic!("postponed for {reason:?}"),
        }
    }

    /// Begins a run of the provider, which is made due if it is not claimed.
    pub(crate) async fn begun(&self, name: &str) -> Begun {
        if let Some(run) = self.provider(name).await.current_run {
            return self.begin(run).await.unwrap();
        }
        let sql = format!(
            "UPDATE provider SET next_due_at = {} WHERE name = $1",
            self.in_seconds(-1)
        );
        self.execute(&sql, vec![name.into()]).await;
        self.claim(100).await;
        let run = self.provider(name).await.current_run.unwrap();
        self.begin(run).await.unwrap()
    }

    /// Lets the run's lease be over.
    pub(crate) async fn expire(&self, run: Uuid) {
        let sql = format!(
            "UPDATE run SET lease_until = {} WHERE id = $1",
            self.in_seconds(-1)
        );
        self.execute(&sql, vec![run.into()]).await;
    }

    pub(crate) async fn commit(&self, begun: &Begun, changes: &Changes) -> Committed {
        commit(&self.db, &begun.held, &finish(begun), changes)
            .await
            .unwrap()
    }

    pub(crate) async fn event(&self, id: Uuid) -> event::Model {
        let mut rows = event::by_ids(&self.db.write, &[id]).await.unwrap();
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    /// What the run has logged, in order.
    pub(crate) async fn log(&self, run: Uuid) -> Vec<event_change::Model> {
        event_change::Entity::find()
            .filter(event_change::Column::RunId.eq(run))
            .order_by_asc(event_change::Column::Position)
            .all(&self.db.write)
            .await
            .unwrap()
    }

    /// Position, event and kind of each change that the run has logged.
    pub(crate) async fn kinds(&self, run: Uuid) -> Vec<(i64, Uuid, event_change::Kind)> {
        let log = self.log(run).await;
        log.iter()
            .map(|row| (row.position, row.event_id, row.kind))
            .collect()
    }

    pub(crate) async fn known(&self, name: &str) -> entity::known::Known {
        let id = self.provider(name).await.id;
        entity::known::of_provider(&self.db, id).await.unwrap()
    }

    /// An operator's request for a sync of each provider.
    pub(crate) async fn request(&self, names: &[&str], accept_gone: bool) -> Uuid {
        let mut providers = Vec::new();
        for name in names {
            providers.push(self.provider(name).await.id);
        }
        let request = fan_out::Request {
            trigger: fan_out::Trigger::Command,
            traceparent: Some("00-trace"),
            providers: &providers,
            accept_gone,
        };
        fan_out::request(&self.db, request).await.unwrap()
    }

    pub(crate) async fn progress(&self, fan_out: Uuid) -> fan_out::Progress {
        let progress = fan_out::progress(&self.db.read, fan_out).await;
        progress.unwrap().unwrap()
    }

    pub(crate) async fn fan_out(&self, id: Uuid) -> fan_out::Model {
        let found = fan_out::Entity::find_by_id(id).one(&self.db.write).await;
        found.unwrap().unwrap()
    }
}

pub(crate) fn spec(name: &str) -> Spec {
    let url = "http://127.0.0.1:9/feed".parse().unwrap();
    let interval = Duration::from_secs(900);
    Spec {
        timezone: "Europe/Madrid".to_owned(),
        ..Spec::new(name.to_owned(), url, "plan-list".to_owned(), interval)
    }
}

/// A good end, with the next visit in a quarter of an hour.
pub(crate) fn finish(begun: &Begun) -> Finish {
    let next_due_at = begun.at + Duration::from_secs(900);
    Finish {
        http_status: Some(200),
        bytes: Some(1234),
        ..Finish::new(Outcome::Stored, next_due_at, begun.provider.revision)
    }
}

/// An event with nothing that it need not have.
pub(crate) fn bare(event_id: &str) -> Content {
    Content {
        base_id: "291".to_owned(),
        event_id: event_id.to_owned(),
        title: "Camela en concierto".to_owned(),
        starts_at: "2021-06-30T19:00:00Z".parse().unwrap(),
        ends_at: None,
        starts_local: "2021-06-30T21:00:00".parse().unwrap(),
        ends_local: None,
        sell_from: None,
        sell_to: None,
        sold_out: false,
        sell_mode: SellMode::Online,
        organizer_company_id: None,
        min_price: None,
        max_price: None,
        zones: Vec::new(),
    }
}

/// The id of [`bare`]'s event.
pub(crate) fn id(provider: &str, event_id: &str) -> Uuid {
    event::id(provider, "291", event_id)
}

/// The ids of [`bare`]'s events, in order.
pub(crate) fn ids(provider: &str, event_ids: &[&str]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = event_ids.iter().map(|each| id(provider, each)).collect();
    ids.sort();
    ids
}

/// An event that is not stored yet.
pub(crate) fn new(provider: &str, content: Content) -> Upsert {
    Upsert {
        id: event::id(provider, &content.base_id, &content.event_id),
        digest: content.digest(),
        content,
        known: false,
    }
}

/// An event that is stored already, in whatever state.
pub(crate) fn known(provider: &str, content: Content) -> Upsert {
    Upsert {
        known: true,
        ..new(provider, content)
    }
}

/// Stores each of `upserts`, in the order of their ids as a commit wants them.
pub(crate) fn storing(upserts: impl IntoIterator<Item = Upsert>) -> Changes {
    let mut upserts: Vec<Upsert> = upserts.into_iter().collect();
    upserts.sort_by_key(|upsert| upsert.id);
    Changes {
        upserts: upserts.into(),
        ..Changes::default()
    }
}

/// Creates each of `contents`.
pub(crate) fn creating(provider: &str, contents: impl IntoIterator<Item = Content>) -> Changes {
    storing(contents.into_iter().map(|content| new(provider, content)))
}

/// Replaces each of `contents`.
pub(crate) fn replacing(provider: &str, contents: impl IntoIterator<Item = Content>) -> Changes {
    storing(contents.into_iter().map(|content| known(provider, content)))
}

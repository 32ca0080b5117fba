//! A fresh database and the tools of a worker that fetches without waiting long.

use std::time::Duration;

use entity::commit::Finish;
use entity::host::Politeness;
use entity::lease::{self, Ask, Begin, Begun};
use entity::provider::Spec;
use entity::{Config, Database, Kind, claim, dataset, event, event_change, provider, run};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder};
use sea_orm::{Statement, Value};
use uuid::Uuid;
use worker::fetch::{Fetcher, Networks};
use worker::spool::SpoolConfig;
use worker::{Synced, Tools, fetch, format, sync_provider};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) tools: Tools,
    _database: Option<testkit::Database>,
}

impl World {
    pub(crate) async fn postgres() -> Self {
        Self::over(testkit::Database::postgres().await).await
    }

    pub(crate) async fn sqlite() -> Self {
        Self::over(testkit::Database::sqlite().await).await
    }

    async fn over(database: testkit::Database) -> Self {
        // Patient: a busy machine is not what is tested.
        let mut world = Self::connect(database.url(), PATIENCE).await;
        world._database = Some(database);
        world
    }

    /// Over a database that is migrated and whose life is the caller's.
    pub(crate) async fn at(url: &str) -> Self {
        Self::connect(url, Duration::from_secs(2)).await
    }

    async fn connect(url: &str, timeout: Duration) -> Self {
        let mut config = Config::new(url.parse().unwrap());
        config.timeout = timeout;
        let db = entity::connect(&config).await.unwrap();
        Self {
            tools: tools(&db, fetch::Limits::default()),
            db,
            _database: None,
        }
    }

    /// On PostgreSQL, where sessions begin with a setting of the server's.
    pub(crate) async fn postgres_with(setting: &str) -> Self {
        let mut world = Self::postgres().await;
        let name = world.url().rsplit('/').next().unwrap();
        let sql = format!("ALTER DATABASE {name} SET {setting}");
        world.db.write.execute_unprepared(&sql).await.unwrap();
        // Only new sessions have it.
        let again = Self::connect(world.url(), PATIENCE).await;
        (world.db, world.tools) = (again.db, again.tools);
        world
    }

    fn url(&self) -> &str {
        self._database.as_ref().unwrap().url()
    }

    /// The same with one connection to the database; SQLite never has more that write.
    pub(crate) async fn narrow(&mut self) {
        if self.db.kind() == Kind::Postgres {
            let mut config = Config::new(self.url().parse().unwrap());
            (config.timeout, config.max_connections) = (PATIENCE, 1);
            self.db = entity::connect(&config).await.unwrap();
            self.limit(fetch::Limits::default());
        }
    }

    /// Fetches under other limits from now on.
    pub(crate) fn limit(&mut self, limits: fetch::Limits) {
        self.tools = tools(&self.db, limits);
    }

    /// Spools in another way from now on.
    pub(crate) fn spool(&mut self, spool: SpoolConfig) {
        let config = fetch::Config {
            spool,
            ..fetch_config(fetch::Limits::default())
        };
        self.tools.http = Fetcher::new(config).unwrap();
    }

    pub(crate) fn statement(&self, sql: &str, values: Vec<Value>) -> Statement {
        let backend = match self.db.kind() {
            Kind::Postgres => DbBackend::Postgres,
            Kind::Sqlite => DbBackend::Sqlite,
        };
        Statement::from_sql_and_values(backend, sql, values)
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let done = self.db.write.execute_raw(self.statement(sql, vec![])).await;
        assert!(done.unwrap().rows_affected() > 0, "{sql} changes no row");
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

    pub(crate) async fn add(&self, name: &str, url: &str) {
        self.apply(&spec(name, url)).await;
    }

    pub(crate) async fn apply(&self, spec: &Spec) {
        let specs = std::slice::from_ref(spec);
        provider::apply(&self.db, specs, false, false)
            .await
            .unwrap();
    }

    /// Believes every feed, however much of it vanishes.
    pub(crate) async fn never_hold(&self) {
        self.execute("UPDATE provider SET hold_percent = 100").await;
    }

    pub(crate) async fn provider(&self, name: &str) -> provider::Model {
        let found = provider::by_name(&self.db.write, name).await.unwrap();
        found.unwrap_or_else(|| panic!("there is no provider {name}"))
    }

    pub(crate) async fn run(&self, id: Uuid) -> run::Model {
        let found = run::Entity::find_by_id(id).one(&self.db.write).await;
        found.unwrap().unwrap()
    }

    pub(crate) async fn runs(&self, name: &str) -> Vec<run::Model> {
        let id = self.provider(name).await.id;
        run::latest(&self.db.write, id, 100).await.unwrap()
    }

    pub(crate) async fn version(&self) -> i64 {
        dataset::version(&self.db.write).await.unwrap().number
    }

    /// Every row of the tables that a sync writes.
    pub(crate) async fn everything(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let db = &self.db.write;
        (
            provider::Entity::find().all(db).await.unwrap(),
            run::Entity::find().all(db).await.unwrap(),
            event::Entity::find().all(db).await.unwrap(),
            event_change::Entity::find().all(db).await.unwrap(),
            entity::set_aside::Entity::find().all(db).await.unwrap(),
            self.version().await,
        )
    }

    /// A provider's events by identity.
    pub(crate) async fn events(&self, name: &str) -> Vec<event::Model> {
        let id = self.provider(name).await.id;
        event::Entity::find()
            .filter(event::Column::ProviderId.eq(id))
            .order_by_asc(event::Column::BaseId)
            .order_by_asc(event::Column::EventId)
            .all(&self.db.write)
            .await
            .unwrap()
    }

    pub(crate) async fn changes(&self, run: Uuid) -> Vec<event_change::Model> {
        event_change::Entity::find()
            .filter(event_change::Column::RunId.eq(run))
            .order_by_asc(event_change::Column::Position)
            .all(&self.db.write)
            .await
            .unwrap()
    }

    /// Claims what is due and gives its runs.
    pub(crate) async fn claim(&self) -> Vec<Uuid> {
        let claimed = claim::claim_due(&self.db, Uuid::now_v7(), None, 1000).await;
        claimed.unwrap().unwrap().iter().map(|run| run.id).collect()
    }

    /// Makes the provider due and claims it.
    pub(crate) async fn claim_one(&self, name: &str) -> Uuid {
        let sql = format!(
            "UPDATE provider SET next_due_at = {} WHERE name = '{name}'",
            self.in_seconds(-1)
        );
        self.execute(&sql).await;
        self.claim().await;
        self.provider(name).await.current_run.unwrap()
    }

    pub(crate) async fn begin(&self, name: &str) -> Begun {
        let run = self.claim_one(name).await;
        let ask = Ask {
            worker: "worker-1",
            lease: Duration::from_secs(600),
            politeness: Politeness::default(),
            holds_suspect: false,
        };
        match lease::begin(&self.db, run, ask).await.unwrap() {
            Begin::Begun(begun) => *begun,
            begin => panic!("{begin:?}"),
        }
    }

    /// One sync of the provider, whenever it is due.
    pub(crate) async fn sync(&self, name: &str) -> (Finish, run::Model) {
        let begun = self.begin(name).await;
        let synced = sync_provider(&self.tools, &begun).await.unwrap();
        let Synced::Recorded(finish) = synced else {
            panic!("{synced:?}")
        };
        (*finish, self.run(begun.held.run).await)
    }

    /// What a sync can change of stored events, to tell whether anything was written. On PostgreSQL
    /// a row that was rewritten with the same content shows by its version.
    pub(crate) async fn stored(&self, name: &str) -> impl PartialEq + std::fmt::Debug + use<> {
        let mut rows = Vec::new();
        if self.db.kind() == Kind::Postgres {
            let sql = "SELECT id, xmin::text FROM event ORDER BY id";
            let found = self
                .db
                .write
                .query_all_raw(self.statement(sql, vec![]))
                .await;
            rows.extend(found.unwrap().iter().map(|row| {
                let id: Uuid = row.try_get_by_index(0).unwrap();
                let version: String = row.try_get_by_index(1).unwrap();
                (id, version)
            }));
        }
        (self.events(name).await, rows, self.version().await)
    }
}

fn tools(db: &Database, limits: fetch::Limits) -> Tools {
    Tools {
        db: db.clone(),
        http: Fetcher::new(fetch_config(limits)).unwrap(),
        format: format::Limits::default(),
    }
}

/// Servers of tests are on this machine.
pub(crate) fn fetch_config(limits: fetch::Limits) -> fetch::Config {
    fetch::Config {
        limits,
        allow: Networks::loopback(),
        ..fetch::Config::default()
    }
}

pub(crate) fn spec(name: &str, url: &str) -> Spec {
    let (name, url) = (name.to_owned(), url.parse().unwrap());
    let interval = Duration::from_secs(900);
    Spec {
        timezone: "Europe/Madrid".to_owned(),
        timeout: Duration::from_secs(60),
        ..Spec::new(name, url, "plan-list".to_owned(), interval)
    }
}

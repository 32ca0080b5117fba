//! A database with providers, and an in-process queue whose jobs nobody takes.

use std::time::Duration;

use entity::commit::{Changes, Finish, commit};
use entity::host::Politeness;
use entity::lease::{self, Ask, Begin, Begun};
use entity::provider::Spec;
use entity::run::{self, Outcome};
use entity::{Config, Database, Kind, fan_out, provider};
use queue::{Queue, QueueConfig};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement};
use uuid::Uuid;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) queue: Queue,
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
        Self {
            db: entity::connect(&config).await.unwrap(),
            queue: queue::open(QueueConfig::default()).await.unwrap(),
            _database: None,
        }
    }

    /// Runs a statement that must change at least one row.
    pub(crate) async fn execute(&self, sql: &str) {
        let backend = match self.db.kind() {
            Kind::Postgres => DbBackend::Postgres,
            Kind::Sqlite => DbBackend::Sqlite,
        };
        let statement = Statement::from_string(backend, sql);
        let done = self.db.write.execute_raw(statement).await.unwrap();
        assert!(done.rows_affected() > 0, "{sql} changes no row");
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

    /// Adds providers, all due at once.
    pub(crate) async fn add_providers(&self, count: usize) {
        let specs: Vec<Spec> = (0..count)
            .map(|number| {
                let url = "http://127.0.0.1:9/feed".parse().unwrap();
                let interval = Duration::from_secs(900);
                Spec::new(
                    format!("provider-{number}"),
                    url,
                    "plan-list".into(),
                    interval,
                )
            })
            .collect();
        provider::apply(&self.db, &specs, false, false)
            .await
            .unwrap();
    }

    pub(crate) async fn provider(&self, number: usize) -> provider::Model {
        let name = format!("provider-{number}");
        let found = provider::by_name(&self.db.write, &name).await.unwrap();
        found.unwrap()
    }

    pub(crate) async fn runs(&self) -> Vec<run::Model> {
        run::Entity::find().all(&self.db.write).await.unwrap()
    }

    /// Jobs that wait in the queue.
    pub(crate) async fn waiting(&self) -> u64 {
        self.queue.producer().depth().await.unwrap().waiting
    }

    pub(crate) async fn waits_for(&self, jobs: u64) {
        let what = format!("{jobs} jobs wait");
        testkit::eventually(PATIENCE, what, async || self.waiting().await >= jobs).await;
    }

    /// Begins a run as a worker does.
    pub(crate) async fn begin(&self, run: Uuid) -> Begun {
        let ask = Ask {
            worker: "worker-1",
            lease: Duration::from_secs(600),
            politeness: Politeness {
                concurrency: 1000,
                gap: Duration::ZERO,
            },
            holds_suspect: false,
        };
        match lease::begin(&self.db, run, ask).await.unwrap() {
            Begin::Begun(begun) => *begun,
            begin => panic!("{begin:?}"),
        }
    }

    /// Ends a run well, with the next visit in a quarter of an hour.
    pub(crate) async fn finish(&self, begun: &Begun) {
        let next_due_at = begun.at + Duration::from_secs(900);
        let finish = Finish {
            http_status: Some(304),
            ..Finish::new(Outcome::Unchanged, next_due_at, begun.provider.revision)
        };
        commit(&self.db, &begun.held, &finish, &Changes::default())
            .await
            .unwrap();
    }

    /// An operator's request for a sync of each provider.
    pub(crate) async fn request(&self, numbers: &[usize]) -> Uuid {
        self.request_in(numbers, None).await
    }

    /// The same within a trace.
    pub(crate) async fn request_in(&self, numbers: &[usize], traceparent: Option<&str>) -> Uuid {
        let mut providers = Vec::new();
        for number in numbers {
            providers.push(self.provider(*number).await.id);
        }
        let request = fan_out::Request {
            trigger: fan_out::Trigger::Api,
            traceparent,
            providers: &providers,
            accept_gone: false,
        };
        fan_out::request(&self.db, request).await.unwrap()
    }

    pub(crate) async fn fan_outs(&self) -> Vec<fan_out::Model> {
        fan_out::Entity::find().all(&self.db.write).await.unwrap()
    }
}

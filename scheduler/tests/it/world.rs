//! A database with providers, and an in-process queue whose jobs nobody takes.

use std::time::Duration;

use entity::provider::Spec;
use entity::{Access, Config, Database};
use queue::{Queue, QueueConfig};

pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) queue: Queue,
    _database: testkit::Database,
}

impl World {
    pub(crate) async fn postgres() -> Self {
        Self::new(testkit::Database::postgres().await).await
    }

    pub(crate) async fn sqlite() -> Self {
        Self::new(testkit::Database::sqlite().await).await
    }

    async fn new(database: testkit::Database) -> Self {
        let mut config = Config::new(database.url().parse().unwrap());
        config.access = Access::Roles;
        Self {
            db: entity::connect(&config).await.unwrap(),
            queue: queue::open(QueueConfig::default()).await.unwrap(),
            _database: database,
        }
    }

    /// Adds providers, all due at once.
    pub(crate) async fn add_providers(&self, count: usize) {
        let specs: Vec<Spec> = (0..count)
            .map(|number| Spec {
                name: format!("provider-{number}"),
                url: "http://127.0.0.1:9/feed".parse().unwrap(),
                format: "plan-list".into(),
                interval: Duration::from_secs(900),
                timezone: "UTC".into(),
                timeout: Duration::from_secs(30),
            })
            .collect();
        entity::provider::apply(&self.db, &specs, false, false)
            .await
            .unwrap();
    }
}

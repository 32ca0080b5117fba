//! What must hold after every fault, once everything has settled.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use entity::{Database, event, invariants, provider};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use simulator::Simulator;
use testkit::eventually;

use crate::expected::Row;
use crate::world::{PATIENCE, World};
use crate::{history, queue_keys};

/// What is to be found after a fault.
pub(crate) struct Check<'a> {
    simulator: &'a Simulator,
    db: &'a Database,
    /// Whose Redis must be empty, where there is one.
    world: Option<&'a World>,
    since: DateTime<Utc>,
    paused: BTreeMap<String, &'static str>,
    stored: BTreeMap<String, Vec<u64>>,
}

impl<'a> Check<'a> {
    /// Every provider was synced after `since`, the fault's end by the database's clock, and all
    /// that was served whole has been stored.
    pub(crate) fn after(world: &'a World, db: &'a Database, since: DateTime<Utc>) -> Self {
        Self {
            world: Some(world),
            ..Self::embedded(&world.simulator, db, since)
        }
    }

    /// The same for one process with an embedded database.
    pub(crate) fn embedded(
        simulator: &'a Simulator,
        db: &'a Database,
        since: DateTime<Utc>,
    ) -> Self {
        Self {
            simulator,
            db,
            world: None,
            since,
            paused: BTreeMap::new(),
            stored: BTreeMap::new(),
        }
    }

    /// This provider is paused, with a reason that has these words.
    pub(crate) fn paused(mut self, name: &str, reason: &'static str) -> Self {
        self.paused.insert(name.to_owned(), reason);
        self
    }

    /// Of this provider's feed only these rounds were stored; whoever fetched others was not to
    /// store them.
    pub(crate) fn stored(mut self, name: &str, rounds: &[u64]) -> Self {
        self.stored.insert(name.to_owned(), rounds.to_vec());
        self
    }

    /// Waits for everything to settle, and checks.
    pub(crate) async fn holds(self) {
        self.settles().await;
        let violations = invariants::violations(self.db).await.unwrap();
        assert_eq!(violations, []);
        history::check(self.db).await;
        for provider in provider::active(&self.db.write).await.unwrap() {
            assert_eq!(provider.current_run, None, "{}", provider.name);
            self.compare(&provider).await;
        }
    }

    async fn settles(&self) {
        let unrest = Unrest::default();
        eventually(PATIENCE, &unrest, async || {
            let settled = self.settled().await;
            settled.map_err(|reason| unrest.0.replace(reason)).is_ok()
        })
        .await;
    }

    async fn settled(&self) -> Result<(), String> {
        for provider in provider::active(&self.db.write).await.unwrap() {
            self.settled_provider(&provider)?;
        }
        let unsettled = invariants::unsettled(self.db).await.unwrap();
        if !unsettled.is_empty() {
            return Err(format!("{unsettled:?}"));
        }
        match self.world {
            Some(world) => queue_keys::left(world).await,
            None => Ok(()),
        }
    }

    fn settled_provider(&self, provider: &provider::Model) -> Result<(), String> {
        let settled = match self.paused.get(&provider.name) {
            Some(reason) => {
                let told = provider.paused_reason.as_deref();
                told.is_some_and(|told| told.contains(reason))
            }
            None => {
                let synced = provider.last_success_at.is_some_and(|at| at > self.since);
                synced
                    && provider.paused_at.is_none()
                    && provider.consecutive_crashes == 0
                    && provider.consecutive_failures == 0
            }
        };
        match settled {
            true => Ok(()),
            false => Err(format!("since {}: {provider:?}", self.since)),
        }
    }

    /// Compares all rows of a provider with what it served.
    async fn compare(&self, provider: &provider::Model) {
        let name = &provider.name;
        let simulator = self.simulator;
        let expected = match self.stored.get(name) {
            Some(rounds) => simulator.expected_for_rounds(name, rounds),
            None => simulator.expected(name),
        };
        // A provider of the test's own has nothing to be compared with.
        let Ok(expected) = expected else { return };
        let mut expected: Vec<_> = expected
            .into_iter()
            .map(|event| Row::expected(provider, event))
            .collect();
        expected.sort_by_key(|row| row.id);
        let rows = event::Entity::find()
            .filter(event::Column::ProviderId.eq(provider.id))
            .all(&self.db.write)
            .await
            .unwrap();
        let mut rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
        rows.sort_by_key(|row| row.id);
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row, expected, "{name}");
        }
        let ids = |rows: &[Row]| rows.iter().map(|row| row.id).collect::<BTreeSet<_>>();
        assert_eq!(ids(&rows), ids(&expected), "{name}");
    }
}

/// Why it has not settled yet.
#[derive(Default)]
struct Unrest(RefCell<String>);

impl fmt::Display for Unrest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to settle: {}", self.0.borrow())
    }
}

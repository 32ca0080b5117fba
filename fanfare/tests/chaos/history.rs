//! The log of changes, told again from its beginning: each change must fit onto the one before.

use std::collections::HashMap;

use entity::event_change::Kind;
use entity::{Database, event_change};
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::Value;
use uuid::Uuid;

use crate::sql;

#[derive(Default)]
struct Event {
    gone: bool,
    /// The last value of each field that has changed.
    fields: HashMap<String, Value>,
}

/// Checks that no change stands there twice and none is missing between two others.
pub(crate) async fn check(db: &Database) {
    const IN_ORDER: &str = "SELECT c.* FROM event_change c \
         JOIN dataset_commit d ON d.run_id = c.run_id ORDER BY d.version, c.position";
    let rows = db.write.query_all_raw(sql::statement(db, IN_ORDER)).await;
    let mut events: HashMap<Uuid, Event> = HashMap::new();
    for row in rows.unwrap() {
        let change = event_change::Model::from_query_result(&row, "").unwrap();
        match events.get_mut(&change.event_id) {
            None => {
                assert_eq!(change.kind, Kind::Created, "the first of {change:?}");
                events.insert(change.event_id, Event::default());
            }
            Some(event) => event.follow(&change),
        }
    }
    let stored: i64 = sql::value(db, "SELECT count(*) FROM event").await;
    assert_eq!(i64::try_from(events.len()).unwrap(), stored);
}

impl Event {
    fn follow(&mut self, change: &event_change::Model) {
        let fits = match change.kind {
            Kind::Created => false,
            Kind::Updated | Kind::Gone => !self.gone,
            Kind::Returned => self.gone,
        };
        assert!(fits, "gone: {}, and then {change:?}", self.gone);
        self.gone = change.kind == Kind::Gone;
        let fields = change.changes.as_ref().and_then(Value::as_object);
        for (name, values) in fields.into_iter().flatten() {
            let before = self.fields.insert(name.clone(), values[1].clone());
            let fits = before.is_none_or(|before| before == values[0]);
            assert!(fits, "{name} was something else before {change:?}");
        }
    }
}

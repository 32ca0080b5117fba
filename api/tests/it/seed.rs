//! Fills a database through the very functions that workers use.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::commit::{self, Changes, Committed, Finish, Upsert};
use entity::event::{Content, SellMode, Zone};
use entity::host::Politeness;
use entity::lease::{self, Ask, Begin, Begun};
use entity::run::Outcome;
use entity::{Database, claim, known, provider};
use uuid::Uuid;

pub(crate) const PROVIDER: &str = "primary";

/// An event sold online, from 21:00 in Madrid to an hour later.
pub(crate) fn event(id: &str, starts_at: &str) -> Content {
    let starts_at: DateTime<Utc> = starts_at.parse().unwrap();
    let local = starts_at.naive_utc() + chrono::Duration::hours(2);
    Content {
        base_id: "291".into(),
        event_id: id.into(),
        title: format!("event {id}"),
        starts_at,
        ends_at: Some(starts_at + chrono::Duration::hours(1)),
        starts_local: local,
        ends_local: Some(local + chrono::Duration::hours(1)),
        sell_from: None,
        sell_to: None,
        sold_out: false,
        sell_mode: SellMode::Online,
        organizer_company_id: None,
        min_price: Some(150_000),
        max_price: Some(305_000),
        zones: vec![Zone {
            id: Some("40".into()),
            name: Some("Platea".into()),
            capacity: Some(243),
            price: Some(200_000),
            numbered: Some(true),
        }],
    }
}

pub(crate) fn id(content: &Content) -> Uuid {
    id_of(PROVIDER, content)
}

pub(crate) fn id_of(provider: &str, content: &Content) -> Uuid {
    entity::event::id(provider, &content.base_id, &content.event_id)
}

/// Makes the provider, if it is not there.
pub(crate) async fn provider(db: &Database) {
    provider_called(db, PROVIDER).await;
}

pub(crate) async fn provider_called(db: &Database, name: &str) {
    let file = format!(
        "[[provider]]\nname = \"{name}\"\n\
         url = \"http://feeds.example:8080/secret?key=secret\"\n\
         format = \"plan-list\"\ninterval = \"15m\"\ntimezone = \"Europe/Madrid\"\n"
    );
    let specs = provider::parse(&file, &["plan-list"]).unwrap();
    provider::apply(db, &specs, false, false).await.unwrap();
}

/// One run that stores `events` and finds `gone` gone.
pub(crate) async fn store(db: &Database, events: &[Content], gone: &[Uuid]) {
    store_of(db, PROVIDER, events, gone).await;
}

/// The same of another provider.
pub(crate) async fn store_of(db: &Database, provider: &str, events: &[Content], gone: &[Uuid]) {
    let begun = begin(db, provider).await;
    let changes = Changes {
        gone: gone.to_vec(),
        ..storing(db, &begun, events).await
    };
    finish(db, &begun, &changes, begun.at + begun.provider.interval()).await;
}

/// One run that finds `returned` in their feed again as they were.
pub(crate) async fn give_back(db: &Database, returned: &[Uuid]) {
    let begun = begin(db, PROVIDER).await;
    let changes = Changes {
        returned: returned.to_vec(),
        ..Changes::default()
    };
    finish(db, &begun, &changes, begun.at + begun.provider.interval()).await;
}

/// Begins a run of that provider, the only one that is due.
async fn begin(db: &Database, provider: &str) -> Begun {
    provider_called(db, provider).await;
    provider::resume(db, provider).await.unwrap();
    let begun = begin_due(db).await.expect("it is due");
    assert_eq!(begun.provider.name, provider);
    begun
}

/// Begins a run of some provider that is due.
pub(crate) async fn begin_due(db: &Database) -> Option<Begun> {
    let claimed = claim::claim_due(db, Uuid::now_v7(), None, 1).await.unwrap();
    let run = claimed.unwrap().first()?.id;
    let ask = Ask {
        worker: "test",
        lease: Duration::from_secs(60),
        politeness: Politeness::default(),
        holds_suspect: false,
    };
    let Begin::Begun(begun) = lease::begin(db, run, ask).await.unwrap() else {
        panic!("the run is not to be begun");
    };
    Some(*begun)
}

/// What stores `events` of the provider that was begun.
pub(crate) async fn storing(db: &Database, begun: &Begun, events: &[Content]) -> Changes {
    let provider = &begun.provider;
    let stored = known::of_provider(db, provider.id).await.unwrap();
    let mut upserts: Vec<Upsert> = events
        .iter()
        .map(|content| {
            let id = id_of(&provider.name, content);
            Upsert {
                id,
                digest: content.digest(),
                content: content.clone(),
                known: stored.get(id).is_some(),
            }
        })
        .collect();
    upserts.sort_by_key(|upsert| upsert.id);
    Changes {
        upserts: upserts.into(),
        ..Changes::default()
    }
}

/// Commits a run whose provider is due again at that instant.
pub(crate) async fn finish(
    db: &Database,
    begun: &Begun,
    changes: &Changes,
    next_due_at: DateTime<Utc>,
) {
    let finish = Finish {
        http_status: Some(200),
        ..Finish::new(Outcome::Stored, next_due_at, begun.provider.revision)
    };
    let committed = commit::commit(db, &begun.held, &finish, changes).await;
    assert!(matches!(committed.unwrap(), Committed::Yes(_)));
}

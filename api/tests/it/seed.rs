//! Fills a database through the very functions that workers use.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::commit::{self, Changes, Committed, Finish, Upsert};
use entity::event::{Content, SellMode, Zone};
use entity::host::Politeness;
use entity::lease::{self, Ask, Begin};
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
    entity::event::id(PROVIDER, &content.base_id, &content.event_id)
}

/// Makes the provider, if it is not there.
pub(crate) async fn provider(db: &Database) {
    let file = format!(
        "[[provider]]\nname = \"{PROVIDER}\"\n\
         url = \"http://feeds.example:8080/secret?key=secret\"\n\
         format = \"plan-list\"\ninterval = \"15m\"\ntimezone = \"Europe/Madrid\"\n"
    );
    let specs = provider::parse(&file, &["plan-list"]).unwrap();
    provider::apply(db, &specs, false, false).await.unwrap();
}

/// One run that stores `events` and finds `gone` gone.
pub(crate) async fn store(db: &Database, events: &[Content], gone: &[Uuid]) {
    provider(db).await;
    provider::resume(db, PROVIDER).await.unwrap();
    let claimed = claim::claim_due(db, Uuid::now_v7(), None, 1).await.unwrap();
    let run = claimed.unwrap()[0].id;
    let ask = Ask {
        worker: "test",
        lease: Duration::from_secs(60),
        politeness: Politeness::default(),
        holds_suspect: false,
    };
    let Begin::Begun(begun) = lease::begin(db, run, ask).await.unwrap() else {
        panic!("the run is not to be begun");
    };
    let stored = known::of_provider(db, begun.provider.id).await.unwrap();
    let mut upserts: Vec<Upsert> = events
        .iter()
        .map(|content| Upsert {
            id: id(content),
            digest: content.digest(),
            content: content.clone(),
            known: stored.get(id(content)).is_some(),
        })
        .collect();
    upserts.sort_by_key(|upsert| upsert.id);
    let changes = Changes {
        upserts: upserts.into(),
        gone: gone.to_vec(),
        ..Changes::default()
    };
    let finish = Finish {
        http_status: Some(200),
        ..Finish::new(Outcome::Stored, begun.at, begun.provider.revision)
    };
    let committed = commit::commit(db, &begun.held, &finish, &changes).await;
    assert!(matches!(committed.unwrap(), Committed::Yes(_)));
}

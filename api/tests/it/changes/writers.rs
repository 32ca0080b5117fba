//! Workers that commit at random, all at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use entity::Database;
use entity::commit::Changes;
use entity::event::{Content, SellMode};
use entity::lease::Begun;
use futures::future::join_all;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use uuid::Uuid;

use crate::seed::{begin_due, event, finish, provider_called, storing};

/// As many as may work on one host at once.
const WRITERS: u8 = 4;

/// Ids of events that a provider may have.
const EVENTS: usize = 12;

/// Makes `commits` commits, of which some change nothing.
pub(super) async fn write(db: &Database, commits: usize) {
    for number in 0..WRITERS {
        provider_called(db, &format!("provider-{number}")).await;
    }
    let left = AtomicUsize::new(commits);
    let writers = (0..WRITERS).map(|number| {
        let (db, left) = (db.clone(), &left);
        async move {
            let mut chance = Chance::new(number);
            let take = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                let begun = loop {
                    match begin_due(&db).await {
                        Some(begun) => break begun,
                        None => tokio::task::yield_now().await,
                    }
                };
                let changes = changes(&db, &begun, &mut chance).await;
                finish(&db, &begun, &changes, begun.at).await;
            }
        }
    });
    join_all(writers).await;
}

/// A feed in which some things have changed.
async fn changes(db: &Database, begun: &Begun, chance: &mut Chance) -> Changes {
    let provider = &begun.provider;
    let stored = entity::known::of_provider(db, provider.id).await.unwrap();
    let mut upserts: Vec<Content> = Vec::new();
    let (mut gone, mut returned): (Vec<Uuid>, Vec<Uuid>) = Default::default();
    for number in 0..EVENTS {
        let id = crate::seed::id_of(&provider.name, &event(&number.to_string(), START));
        let known = stored.get(id);
        match chance.below(6) {
            0 => upserts.push(content(number, chance)),
            1 if known.is_some_and(|event| event.gone) => returned.push(id),
            1 if known.is_some() => gone.push(id),
            _ => {}
        }
    }
    gone.sort();
    returned.sort();
    Changes {
        gone,
        returned,
        ..storing(db, begun, &upserts).await
    }
}

const START: &str = "2021-06-30T19:00:00Z";

fn content(number: usize, chance: &mut Chance) -> Content {
    let mut content = event(&number.to_string(), START);
    content.title = format!("title {}", chance.below(1_000_000));
    content.min_price = Some(i64::try_from(chance.below(100_000)).unwrap());
    content.starts_at += chrono::Duration::minutes(i64::try_from(chance.below(3)).unwrap());
    if chance.below(3) == 0 {
        content.sell_mode = SellMode::Offline;
    }
    content
}

struct Chance(TestRng);

impl Chance {
    fn new(seed: u8) -> Self {
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0.next_u32() as usize % limit
    }
}

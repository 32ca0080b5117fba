//! A sync that panics. There is no feed that makes one, so the panic comes from where spans go.

use entity::run::Outcome;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::feeds::{Answer, Feeds, base, feed};
use crate::on_both_databases;
use crate::role::{Role, config, memory, push};
use crate::world::World;

on_both_databases!(
    a_sync_that_panics_costs_its_own_run,
    the_third_panic_in_a_row_pauses_the_provider,
);

/// Panics when a feed of this host is about to be fetched.
struct PanicAt {
    host: String,
}

#[derive(Default)]
struct Host {
    address: Option<String>,
    port: Option<u64>,
}

impl Visit for Host {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "server.address" {
            self.address = Some(value.to_owned());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "server.port" {
            self.port = Some(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Subscriber for PanicAt {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut host = Host::default();
        span.record(&mut host);
        if let Host {
            address: Some(address),
            port: Some(port),
        } = host
        {
            let at = format!("{address}:{port}");
            assert!(at != self.host, "by order of the test");
        }
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Worlds {
    feeds: [Feeds; 2],
    host: String,
}

/// Two providers on two hosts; the first one's syncs panic.
async fn two(world: &World) -> Worlds {
    let answer = || Answer::feed(feed(&base("1", "One")));
    let feeds = [Feeds::start(answer()).await, Feeds::start(answer()).await];
    world.add("poisoned", &feeds[0].url).await;
    world.add("sound", &feeds[1].url).await;
    let host = world.provider("poisoned").await.host;
    Worlds { feeds, host }
}

async fn a_sync_that_panics_costs_its_own_run(world: World) {
    let Worlds { feeds, host } = two(&world).await;
    let queue = memory().await;
    let role = Role::start_told(&world, &queue, config("worker-1"), PanicAt { host });
    for run in world.claim().await {
        push(&queue, run).await;
    }
    role.idle().await;
    let run = world.runs("poisoned").await.remove(0);
    assert_eq!(run.outcome, Some(Outcome::Failed));
    assert_eq!(
        run.error.as_deref(),
        Some("the sync panicked: by order of the test; this is a fault of ours, please report it")
    );
    let provider = world.provider("poisoned").await;
    assert_eq!(
        (provider.consecutive_failures, provider.consecutive_crashes),
        (1, 1)
    );
    assert!(provider.next_due_at > run.started_at.unwrap());
    assert!(feeds[0].asked().is_empty());

    assert_eq!(world.runs("sound").await[0].outcome, Some(Outcome::Stored));
    // The worker goes on with what comes.
    let next = world.claim_one("sound").await;
    push(&queue, next).await;
    role.idle().await;
    assert_eq!(world.run(next).await.outcome, Some(Outcome::Unchanged));
    role.stop().await;
}

async fn the_third_panic_in_a_row_pauses_the_provider(world: World) {
    let Worlds {
        feeds: _feeds,
        host,
    } = two(&world).await;
    let queue = memory().await;
    let role = Role::start_told(&world, &queue, config("worker-1"), PanicAt { host });
    for crashes in 1..=3 {
        let run = world.claim_one("poisoned").await;
        push(&queue, run).await;
        role.idle().await;
        assert_eq!(
            world.provider("poisoned").await.consecutive_crashes,
            crashes
        );
    }
    assert!(world.provider("poisoned").await.paused_at.is_some());
    assert_eq!(world.provider("sound").await.paused_at, None);
    role.stop().await;
}

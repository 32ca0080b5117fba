//! Property tests of a run's life: whatever schedulers, workers and operators do, in whatever order,
//! with deliveries that come late, twice or never, the invariants hold and nobody is stuck.

mod model;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::World;
use model::Model;

const PROVIDERS: usize = 2;
const WORKERS: usize = 2;

/// One thing that someone does. Indices count back from the latest, modulo what there is.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A scheduler claims what is due.
    Claim { limit: u64 },
    /// The providers become due.
    TimePasses,
    /// An operator asks for a sync, perhaps one that accepts what is gone.
    Request { provider: usize, accept_gone: bool },
    /// A scheduler takes requests up.
    TakeRequests,
    /// A scheduler pushes what nobody has begun.
    PushOverdue,
    /// A worker gets a job: any that was ever pushed, again or for the first time.
    Deliver { job: usize, worker: usize },
    /// A worker finishes a run that it has, or believes to have.
    Commit { begun: usize },
    /// A worker that stops hands such a run back.
    HandBack { begun: usize },
    /// A worker falls silent for a lease.
    Silence { begun: usize },
    /// A worker gives a sign of life.
    Renew { worker: usize },
    /// A scheduler reaps.
    Reap,
    /// A scheduler closes what is over.
    Close,
    /// An operator pauses a provider.
    Pause { provider: usize },
    /// An operator resumes it.
    Resume { provider: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let any_index = 0..64_usize;
    prop_oneof![
        4 => (1..4_u64).prop_map(|limit| Step::Claim { limit }),
        3 => Just(Step::TimePasses),
        2 => (0..PROVIDERS, any::<bool>())
            .prop_map(|(provider, accept_gone)| Step::Request { provider, accept_gone }),
        1 => Just(Step::TakeRequests),
        1 => Just(Step::PushOverdue),
        8 => (any_index.clone(), 0..WORKERS).prop_map(|(job, worker)| Step::Deliver { job, worker }),
        6 => any_index.clone().prop_map(|begun| Step::Commit { begun }),
        2 => any_index.clone().prop_map(|begun| Step::HandBack { begun }),
        3 => any_index.prop_map(|begun| Step::Silence { begun }),
        1 => (0..WORKERS).prop_map(|worker| Step::Renew { worker }),
        3 => Just(Step::Reap),
        1 => Just(Step::Close),
        1 => (0..PROVIDERS).prop_map(|provider| Step::Pause { provider }),
        1 => (0..PROVIDERS).prop_map(|provider| Step::Resume { provider }),
    ]
}

fn no_order_of_events_breaks_the_invariants(world: fn() -> World, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let _in_runtime = runtime.enter();
    let world = world();
    let steps = proptest::collection::vec(step(), 1..60);
    runner
        .run(&steps, |steps| {
            runtime.block_on(async {
                let mut model = Model::new(&world, PROVIDERS).await;
                for step in &steps {
                    model.step(step).await?;
                }
                model.heal().await
            })
        })
        .unwrap();
}

#[test]
fn no_order_of_events_breaks_the_invariants_on_postgres() {
    let world = || futures_block(World::postgres());
    no_order_of_events_breaks_the_invariants(world, 60);
}

#[test]
fn no_order_of_events_breaks_the_invariants_on_sqlite() {
    let world = || futures_block(World::sqlite());
    no_order_of_events_breaks_the_invariants(world, 60);
}

fn futures_block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(future)
}

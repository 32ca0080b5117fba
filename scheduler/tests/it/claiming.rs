//! What is due is claimed and pushed once, by whoever comes first.

use std::time::Duration;

use entity::claim;
use scheduler::Config;
use tokio_util::sync::CancellationToken;

use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(30);

fn config() -> Config {
    Config {
        tick: Duration::from_millis(20),
        batch: 50,
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_racing_over_500_due_providers_enqueue_each_exactly_once() {
    let world = World::postgres().await;
    world.add_providers(500).await;
    let stop = CancellationToken::new();
    let schedulers: Vec<_> = (0..2)
        .map(|_| {
            let producer = world.queue.producer();
            tokio::spawn(scheduler::run(
                config(),
                world.db.clone(),
                producer,
                stop.clone(),
            ))
        })
        .collect();
    let producer = world.queue.producer();
    testkit::eventually(PATIENCE, "all are pushed", async || {
        producer.depth().await.unwrap().waiting >= 500
    })
    .await;
    stop.cancel();
    for scheduler in schedulers {
        scheduler.await.unwrap().unwrap();
    }
    assert_eq!(world.queue.producer().depth().await.unwrap().waiting, 500);
    assert_eq!(claim::outstanding(&world.db).await.unwrap(), 500);
    let providers = entity::provider::active(&world.db.read).await.unwrap();
    assert!(providers.iter().all(|provider| provider.token == 1));
}

//! Small reads go on with the connection that has just answered.

use std::time::Duration;

use entity::Config;
use entity::search::{self, Search};
use futures::TryStreamExt;
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::world::World;

const SAFETY_NET: Duration = Duration::from_secs(20);

/// A pool of two connections, of which one may rest between questions.
async fn of_two() -> World {
    let mut world = World::postgres().await;
    let mut config = Config::new(world.database.url().parse().unwrap());
    config.max_connections = 2;
    config.timeout = Duration::from_secs(2);
    world.db = entity::connect(&config).await.unwrap();
    world
}

async fn ask(world: &World) -> Result<(), sea_orm::DbErr> {
    let page = Search {
        limit: Some(5),
        ..Search::default()
    };
    let (_, found) = search::find(world.db.reader(), &page).await?;
    let found: Vec<_> = found.try_collect().await?;
    assert_eq!(found, []);
    Ok(())
}

/// Connections that the pool has given out.
fn given_out(world: &World) -> usize {
    let pool = world.db.read.get_postgres_connection_pool();
    usize::try_from(pool.size()).unwrap() - pool.num_idle()
}

#[tokio::test]
async fn a_connection_that_rests_goes_back_to_the_pool_and_is_not_in_the_way_meanwhile() {
    let world = of_two().await;
    for _ in 0..20 {
        ask(&world).await.unwrap();
    }
    assert_eq!(given_out(&world), 1, "it rests with the reader");
    // The other half of the pool is for others all along.
    let first = world.db.read.begin().await.unwrap();
    assert_eq!(given_out(&world), 2);
    testkit::eventually(SAFETY_NET, "the pool has it back", async || {
        given_out(&world) == 1
    })
    .await;
    let second = world.db.read.begin().await.unwrap();
    second.rollback().await.unwrap();
    first.rollback().await.unwrap();
}

#[tokio::test]
async fn a_stream_finds_the_connection_that_rests() {
    let mut world = of_two().await;
    let mut config = Config::new(world.database.url().parse().unwrap());
    config.max_connections = 1;
    config.timeout = Duration::from_secs(2);
    world.db = entity::connect(&config).await.unwrap();
    for _ in 0..3 {
        ask(&world).await.unwrap();
        let (_, rows) = search::find(world.db.reader(), &Search::default())
            .await
            .unwrap();
        let rows: Vec<_> = rows.try_collect().await.unwrap();
        assert_eq!(rows, []);
    }
}

#[tokio::test]
async fn a_connection_that_was_ended_while_it_rested_fails_nobody() {
    let world = of_two().await;
    ask(&world).await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    world.db.read.execute_unprepared(end).await.unwrap();
    ask(&world).await.unwrap();
}

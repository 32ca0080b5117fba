//! A database that goes away and comes back: the scheduler waits for it, and is no judge at first.

use std::time::{Duration, Instant};

use entity::run::State;
use scheduler::Config;
use sea_orm::{ConnectOptions, ConnectionTrait};
use testkit::PostgresServer;

use crate::role::{Role, config};
use crate::world::{PATIENCE, World};

async fn server() -> (PostgresServer, World) {
    let server = PostgresServer::start().await;
    let mut options = ConnectOptions::new(server.url());
    options.max_connections(1).sqlx_logging(false);
    let database = sea_orm::Database::connect(options).await.unwrap();
    migration::migrate(&database).await.unwrap();
    database.close().await.unwrap();
    let world = World::at(&server.url()).await;
    (server, world)
}

#[tokio::test]
async fn an_outage_is_waited_for_and_is_no_crash_of_anybody() {
    const LEASE: Duration = Duration::from_secs(2);
    let (mut server, world) = server().await;
    world.add_providers(1).await;
    let scheduler = Role::start(
        &world,
        Config {
            lease: LEASE,
            ..config()
        },
    );
    world.waits_for(1).await;
    let run = world.runs().await[0].id;
    world.begin(run).await;
    server.stop().await;
    // Taken before: the scheduler may have the database sooner than this test.
    let back = Instant::now();
    server.start_again().await;
    // Connections that the outage has broken each cost an answer.
    testkit::eventually(PATIENCE, "the worker's lease is over", async || {
        let sql = "UPDATE run SET lease_until = now() - interval '1 minute'";
        world.db.write.execute_unprepared(sql).await.is_ok()
    })
    .await;
    let lost = async || {
        world
            .runs()
            .await
            .iter()
            .any(|run| run.state == State::Finished)
    };
    testkit::eventually(PATIENCE, "the run is reaped after all", lost).await;
    assert!(back.elapsed() >= LEASE, "{:?}", back.elapsed());
    world.waits_for(2).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn a_scheduler_stops_while_the_database_is_away() {
    let (mut server, world) = server().await;
    world.add_providers(1).await;
    let scheduler = Role::start(&world, config());
    world.waits_for(1).await;
    server.stop().await;
    scheduler.stop().await;
}

#[tokio::test]
async fn a_scheduler_whose_database_falls_silent_goes_on_trying_and_then_on() {
    const PATIENT: Duration = Duration::from_secs(1);
    let (server, world) = server().await;
    let config = Config {
        patience: PATIENT,
        ..config()
    };
    let (pulse, turns) = (config.pulse.clone(), config.turns.clone());
    let scheduler = Role::start(&world, config);
    let silence = 5 * PATIENT;
    testkit::eventually(PATIENCE, "it works", async || pulse.within(PATIENT)).await;
    server.freeze();
    // Its connections stay open, and nothing ever comes on them.
    testkit::eventually(PATIENCE, "no tick goes well", async || {
        pulse.stopped(2 * silence)
    })
    .await;
    assert!(turns.within(silence), "it waits for one answer for ever");
    server.thaw();
    testkit::eventually(PATIENCE, "it works again", async || pulse.within(PATIENT)).await;
    scheduler.stop().await;
}

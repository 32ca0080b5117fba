//! Reading from a replica, and taking one for the primary.

use testkit::PostgresServer;

use super::postgres::{migrate, run, superuser};
use super::{Told, doctor, until};

#[tokio::test]
async fn a_replica_is_held_against_its_primary() {
    let primary = PostgresServer::start().await;
    migrate(&primary.url()).await;
    let standby = primary.standby().await;
    standby.caught_up().await;
    let other = PostgresServer::start().await;
    migrate(&other.url()).await;
    let look = async |write: &str, read: &str, lag: &str| -> Told {
        doctor(&[
            ("FANFARE_DATABASE_URL", write),
            ("FANFARE_DATABASE_READ_URL", read),
            ("FANFARE_REPLICA_LAG", lag),
        ])
        .await
    };

    let (ours, replica) = (primary.url(), standby.url());
    let good = async || look(&ours, &replica, "600s").await;
    until(good, |told| {
        told.ends_with(0)?;
        told.is_ok("replica", "lag")?;
        told.is("replica", "schema", "ok", "up to date", "")?;
        let (found, fix) = ("hot_standby_feedback is off", "hot_standby_feedback = on");
        told.is("replica", "conflicts", "note", found, fix)?;
        told.has_none("replica", "stream")
    })
    .await;

    let wrong = async || look(&replica, &ours, "600s").await;
    until(wrong, |told| {
        told.ends_with(1)?;
        let found = "this is a replica";
        told.is(
            "database",
            "primary",
            "error",
            found,
            "FANFARE_DATABASE_URL",
        )?;
        let found = "no replica, but a primary";
        told.is(
            "replica",
            "following",
            "warning",
            found,
            "FANFARE_DATABASE_READ_URL",
        )
    })
    .await;

    let other = other.url();
    let foreign = async || look(&ours, &other, "600s").await;
    until(foreign, |told| {
        let found = "another server's history";
        told.is(
            "replica",
            "following",
            "error",
            found,
            "FANFARE_DATABASE_URL",
        )
    })
    .await;

    let alone = async || look("postgres://me@127.0.0.1:1/fanfare", &replica, "600s").await;
    until(alone, |told| {
        told.ends_with(1)?;
        told.is("database", "address", "error", "nobody listens", "")?;
        let found = "not known: the primary could not be asked";
        told.is("replica", "lag", "note", found, "")?;
        told.is_ok("replica", "schema")
    })
    .await;

    standby.pause_replay().await;
    let admin = superuser(&primary.url()).await;
    run(&admin, &["UPDATE dataset SET version = version + 1"]).await;
    let behind = async || look(&ours, &replica, "0s").await;
    until(behind, |told| {
        told.is(
            "replica",
            "replay",
            "warning",
            "paused",
            "pg_wal_replay_resume",
        )?;
        let found = "beyond FANFARE_REPLICA_LAG";
        told.is("replica", "lag", "warning", found, "")?;
        // The primary is read meanwhile.
        told.ends_with(0)
    })
    .await;
}

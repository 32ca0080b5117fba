//! Reading from a replica, and taking one for the primary.

use testkit::PostgresServer;

use super::postgres::{migrate, run, superuser};
use super::{Told, doctor};

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

    let good = look(&primary.url(), &standby.url(), "60s").await;
    assert_eq!(good.code, Some(0), "{}", good.text);
    good.is("replica", "lag", "ok", "", "");
    good.is("replica", "schema", "ok", "up to date", "");
    good.is(
        "replica",
        "conflicts",
        "note",
        "hot_standby_feedback is off",
        "hot_standby_feedback = on",
    );
    assert!(!good.has("replica", "stream"), "{}", good.text);

    let wrong = look(&standby.url(), &primary.url(), "60s").await;
    assert_eq!(wrong.code, Some(1));
    wrong.is(
        "database",
        "primary",
        "error",
        "this is a replica",
        "FANFARE_DATABASE_URL",
    );
    wrong.is(
        "replica",
        "following",
        "warning",
        "no replica, but a primary",
        "FANFARE_DATABASE_READ_URL",
    );

    let foreign = look(&primary.url(), &other.url(), "60s").await;
    foreign.is(
        "replica",
        "following",
        "error",
        "another server's history",
        "FANFARE_DATABASE_URL",
    );

    standby.pause_replay().await;
    let admin = superuser(&primary.url()).await;
    run(&admin, &["UPDATE dataset SET version = version + 1"]).await;
    let behind = look(&primary.url(), &standby.url(), "0s").await;
    behind.is(
        "replica",
        "replay",
        "warning",
        "paused",
        "pg_wal_replay_resume",
    );
    behind.is(
        "replica",
        "lag",
        "warning",
        "beyond FANFARE_REPLICA_LAG",
        "",
    );
    assert_eq!(behind.code, Some(0), "the primary is read meanwhile");
}

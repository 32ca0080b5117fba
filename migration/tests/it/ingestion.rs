//! The second migration, over rows of the first schema and under statements of its release.

use migration::{Migrator, MigratorTrait, Status, migrate, status};
use sea_orm_migration::sea_orm::ConnectionTrait;

use crate::on_both_databases;
use crate::world::World;

on_both_databases!(
    rows_of_the_first_schema_keep_their_values_and_get_the_defaults,
    statements_of_the_release_before_work_on,
    what_no_setting_may_be_is_refused,
);

const PROVIDER: &str = "INSERT INTO provider (name, url, host, format, interval_ms, timezone, \
    timeout_ms, created_at, next_due_at, late_at) VALUES ('acme', 'http://a.example/', 'a.example', \
    'plan-list', 900000, 'Europe/Madrid', 30000, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, \
    CURRENT_TIMESTAMP)";
const RUN: &str = "INSERT INTO run (id, provider_id, token, state, queued_at, bytes) \
    SELECT {id}, id, 7, 'queued', CURRENT_TIMESTAMP, 1234 FROM provider";
const FAN_OUT: &str = "INSERT INTO fan_out (id, trigger, started_at) \
    VALUES ({id}, 'command', CURRENT_TIMESTAMP)";
const REQUEST: &str = "INSERT INTO fan_out_request (fan_out_id, provider_id) \
    SELECT {id}, id FROM provider";
const EVENT: &str = "INSERT INTO event (id, provider_id, base_id, event_id, title, starts_at, \
    starts_local, sold_out, sell_mode, ever_online, zones, digest, first_seen_at, changed_at) \
    SELECT {id}, id, '291', '1642', 'Camela', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, false, 'online', \
    true, '[]', {bytes}, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP FROM provider";

/// What the release before this one writes.
async fn write(world: &World) {
    let sqlite = world.db.get_database_backend() == sea_orm_migration::sea_orm::DbBackend::Sqlite;
    let (id, bytes) = match sqlite {
        true => ("x'00112233445566778899aabbccddeeff'", "x'0102'"),
        false => (
            "'00112233-4455-6677-8899-aabbccddeeff'::uuid",
            "'\\x0102'::bytea",
        ),
    };
    for sql in [PROVIDER, RUN, FAN_OUT, REQUEST, EVENT] {
        world
            .execute(&sql.replace("{id}", id).replace("{bytes}", bytes))
            .await;
    }
}

/// What it wrote is there, with what this release makes of it.
async fn is_as_written(world: &World) {
    let kept = world
        .only("provider", &["name", "url", "interval_ms", "token"])
        .await;
    assert_eq!(kept, ["acme", "http://a.example/", "900000", "0"]);
    let settings = [
        "access",
        "max_interval_ms",
        "max_body",
        "hold_percent",
        "hold_events",
    ];
    let settings = world.only("provider", &settings).await;
    assert_eq!(settings, ["{}", "null", "null", "50", "20"]);
    let told = world.only("provider", &["moved_to", "events_held"]).await;
    assert_eq!(told, ["null", "0"]);
    let kept = world.only("run", &["state", "token", "bytes"]).await;
    assert_eq!(kept, ["queued", "7", "1234"]);
    let told = ["wire_bytes", "set_aside_reasons", "warning_reasons"];
    assert_eq!(world.only("run", &told).await, ["null", "null", "null"]);
    for table in ["run", "fan_out_request"] {
        world
            .only(&format!("{table} WHERE NOT accept_gone"), &["1"])
            .await;
    }
    let kept = world
        .only("event", &["title", "zones", "length(digest)"])
        .await;
    assert_eq!(kept, ["Camela", "[]", "2"]);
}

async fn rows_of_the_first_schema_keep_their_values_and_get_the_defaults(world: World) {
    Migrator::up(&world.db, Some(1)).await.unwrap();
    write(&world).await;
    let behind = status(&world.db).await.unwrap();
    let Status::Behind(names) = behind else {
        panic!("{behind:?}");
    };
    assert_eq!(names[0], "m20261122_000002_ingestion");
    assert_eq!(migrate(&world.db).await.unwrap(), names);
    assert_eq!(status(&world.db).await.unwrap(), Status::Current);
    is_as_written(&world).await;
}

async fn statements_of_the_release_before_work_on(world: World) {
    migrate(&world.db).await.unwrap();
    write(&world).await;
    is_as_written(&world).await;
}

async fn what_no_setting_may_be_is_refused(world: World) {
    migrate(&world.db).await.unwrap();
    world.execute(PROVIDER).await;
    for good in [
        "max_body = 1",
        "hold_percent = 0",
        "hold_percent = 100",
        "hold_events = 0",
    ] {
        world.execute(&format!("UPDATE provider SET {good}")).await;
    }
    for bad in [
        "max_body = 0",
        "hold_percent = -1",
        "hold_percent = 101",
        "hold_events = -1",
    ] {
        let sql = format!("UPDATE provider SET {bad}");
        assert!(world.db.execute_unprepared(&sql).await.is_err(), "{bad}");
    }
}

//! The third migration, over what the second schema holds and under statements of its release.

use migration::{Migrator, MigratorTrait, migrate};
use sea_orm_migration::sea_orm::DbBackend;

use crate::on_both_databases;
use crate::world::World;

on_both_databases!(
    changes_of_what_was_never_online_become_hidden,
    what_the_release_before_logs_is_not_hidden,
    every_database_has_a_secret_of_its_own,
);

const BEFORE: u32 = 2;
const PROVIDER: &str = "INSERT INTO provider (name, url, host, format, interval_ms, timezone, \
    timeout_ms, created_at, next_due_at, late_at) VALUES ('acme', 'http://a.example/', 'a.example', \
    'plan-list', 900000, 'Europe/Madrid', 30000, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, \
    CURRENT_TIMESTAMP)";
const EVENT: &str = "INSERT INTO event (id, provider_id, base_id, event_id, title, starts_at, \
    starts_local, sold_out, sell_mode, ever_online, zones, digest, first_seen_at, changed_at) \
    SELECT {id}, id, '291', '{name}', 'Camela', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, false, \
    'online', {online}, '[]', {id_bytes}, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP FROM provider";
const CHANGE: &str = "INSERT INTO event_change (run_id, position, event_id, kind) \
    SELECT id, 0, id, 'created' FROM event WHERE event_id = '{name}'";

/// An event of that name and the log of its creation, as the release before writes them.
async fn write(world: &World, name: char, online: bool) {
    let hex = format!("0011223344556677889900000000000{name}");
    let (id, bytes) = match world.db.get_database_backend() {
        DbBackend::Sqlite => (format!("x'{hex}'"), format!("x'{hex}'")),
        _ => (format!("'{hex}'::uuid"), format!("'\\x{hex}'::bytea")),
    };
    for sql in [EVENT, CHANGE] {
        let sql = sql
            .replace("{id_bytes}", &bytes)
            .replace("{id}", &id)
            .replace("{online}", &online.to_string())
            .replace("{name}", &name.to_string());
        world.execute(&sql).await;
    }
}

async fn marks(world: &World, name: char) -> Vec<String> {
    let change = format!(
        "event_change WHERE event_id = (SELECT id FROM event WHERE event_id = '{name}') \
         AND NOT revealed"
    );
    let hidden = "CASE WHEN hidden THEN 'hidden' ELSE 'shown' END";
    world.only(&change, &["kind", hidden]).await
}

async fn changes_of_what_was_never_online_become_hidden(world: World) {
    Migrator::up(&world.db, Some(BEFORE)).await.unwrap();
    world.execute(PROVIDER).await;
    write(&world, 'a', true).await;
    write(&world, 'b', false).await;
    assert_eq!(
        migrate(&world.db).await.unwrap(),
        ["m20261123_000003_serving"]
    );
    assert_eq!(marks(&world, 'a').await, ["created", "shown"]);
    assert_eq!(marks(&world, 'b').await, ["created", "hidden"]);
}

async fn what_the_release_before_logs_is_not_hidden(world: World) {
    migrate(&world.db).await.unwrap();
    world.execute(PROVIDER).await;
    write(&world, 'a', false).await;
    assert_eq!(marks(&world, 'a').await, ["created", "shown"]);
}

async fn every_database_has_a_secret_of_its_own(world: World) {
    migrate(&world.db).await.unwrap();
    let other = World::sqlite().await;
    migrate(&other.db).await.unwrap();
    let mut secrets = Vec::new();
    for world in [&world, &other] {
        let hex = match world.db.get_database_backend() {
            DbBackend::Sqlite => "hex(secret)",
            _ => "upper(encode(secret, 'hex'))",
        };
        let [secret] = &world.only("dataset", &[hex]).await[..] else {
            panic!("there is one column");
        };
        assert_eq!(secret.len(), 64, "32 bytes");
        secrets.push(secret.clone());
    }
    assert_ne!(secrets[0], secrets[1]);
}

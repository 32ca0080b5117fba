//! Migrations only expand: what the release before reads and writes is there after each, and is refused
//! nothing. So both can run on one database, and one can go back.

mod catalog;
mod planted;
mod rules;

use migration::{Migrator, MigratorTrait, Status, migrate, status};

use crate::on_both_databases;
use crate::world::World;
use catalog::Catalog;
use rules::breaches;

on_both_databases!(
    every_migration_leaves_the_release_before_what_it_needs,
    a_migration_that_takes_something_away_is_found,
    a_migration_that_only_adds_is_none,
    a_release_takes_a_newer_schema_for_current,
);

/// What a migration takes away that no release needs which may still run: the migration and the breach.
const FORGOTTEN: [(&str, &str); 0] = [];

async fn every_migration_leaves_the_release_before_what_it_needs(world: World) {
    Migrator::up(&world.db, Some(1)).await.unwrap();
    let mut before = Catalog::of(&world).await;
    assert!(before.tables.len() > 5, "{:?}", before.tables.keys());
    for migration in &Migrator::migrations()[1..] {
        Migrator::up(&world.db, Some(1)).await.unwrap();
        let after = Catalog::of(&world).await;
        assert_ne!(before, after, "{} does something", migration.name());
        let mut breaches = breaches(&before, &after);
        breaches.retain(|breach| !FORGOTTEN.contains(&(migration.name(), breach)));
        assert_eq!(breaches, [""; 0], "{}", migration.name());
        before = after;
    }
    assert_eq!(status(&world.db).await.unwrap(), Status::Current);
}

async fn a_migration_that_takes_something_away_is_found(world: World) {
    migrate(&world.db).await.unwrap();
    for planted in planted::bad(&world) {
        let found = planted.breaches(&world).await;
        assert!(
            found.iter().any(|breach| breach.contains(planted.found)),
            "{}: {found:?}",
            planted.sql
        );
    }
}

async fn a_migration_that_only_adds_is_none(world: World) {
    migrate(&world.db).await.unwrap();
    for planted in planted::good() {
        assert_eq!(planted.breaches(&world).await, [""; 0], "{}", planted.sql);
    }
}

/// A process of the release before may start again at any time, also after the next one's migrations.
async fn a_release_takes_a_newer_schema_for_current(world: World) {
    let next =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_next', 0)";
    migrate(&world.db).await.unwrap();
    world.execute(next).await;
    assert_eq!(status(&world.db).await.unwrap(), Status::Current);
    assert_eq!(migrate(&world.db).await.unwrap(), [""; 0]);
    world
        .execute("DELETE FROM seaql_migrations WHERE version LIKE '%serving'")
        .await;
    let behind = Status::Behind(vec!["m20261123_000003_serving".to_owned()]);
    assert_eq!(status(&world.db).await.unwrap(), behind);
}
